// The structs of Arrow's C data interface, as its specification gives them (apache.org,
// CDataInterface), and their release on leaving a scope.
#pragma once

#include <cstdint>

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

extern "C" {
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};
struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};
}

#endif  // ARROW_C_DATA_INTERFACE

namespace polysome {

template <class Raw>
class ArrowOwned {
 public:
  ArrowOwned() = default;
  ~ArrowOwned() { clear(); }
  ArrowOwned(const ArrowOwned&) = delete;
  ArrowOwned& operator=(const ArrowOwned&) = delete;
  Raw* get() { return &raw_; }
  void clear() {
    if (raw_.release != nullptr) raw_.release(&raw_);
    raw_ = Raw{};
  }

 private:
  Raw raw_{};
};

}  // namespace polysome
