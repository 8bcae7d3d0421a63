// Plain bytes in files that tasks leave for each other: a file written from its begin to its end,
// values as they lie in memory, and their reader. One thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/result.h"
#include "base/unique_fd.h"

namespace polysome {

class RawFile {
 public:
  // The file must not exist.
  static Result<std::unique_ptr<RawFile>> create(const std::string& path);

  Status write(std::string_view bytes);
  // Bytes [offset, offset + size) of another file; where the system can, they do not pass through
  // this process. kIo ("output lost") when it is shorter or gone.
  Status append(const std::string& from, std::uint64_t offset, std::uint64_t size);
  // Everything on the disk.
  Status finish();
  std::uint64_t at() const { return at_; }

 private:
  RawFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  UniqueFd fd_;
  std::uint64_t at_ = 0;
};

template <typename T>
void put_raw(std::string* out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Reads what put_raw wrote; false beyond the end.
class RawTaker {
 public:
  explicit RawTaker(std::string_view text) : left_(text) {}
  template <typename T>
  bool take(T* out) {
    static_assert(std::is_trivially_copyable_v<T>);
    return take_bytes(out, sizeof *out);
  }
  bool take_bytes(void* out, std::size_t bytes) {
    if (left_.size() < bytes) return false;
    std::memcpy(out, left_.data(), bytes);
    left_.remove_prefix(bytes);
    return true;
  }
  std::string_view left() const { return left_; }

 private:
  std::string_view left_;
};

}  // namespace polysome
