// Plain bytes in files that tasks leave for each other: a file written from its begin to its end,
// files joined from parts of others, values as they lie in memory, and their reader. One thread
// each.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

struct XXH3_state_s;

namespace polysome {

class RawFile {
 public:
  // The file must not exist. `hashed`: hash() will be asked for.
  static Result<std::unique_ptr<RawFile>> create(const std::string& path, bool hashed);
  ~RawFile();
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  Status write(std::string_view bytes);
  // Bytes [offset, offset + size) of another file. Without a hash they do not pass through this
  // process where the system can do that. kIo ("output lost") when it is shorter or gone.
  Status append(const std::string& from, std::uint64_t offset, std::uint64_t size);
  // What was written begins to go to the disk.
  void begin_sync();
  // Everything on the disk.
  Status sync();
  // Of what was written, as manifests have it: so that it need not be read again.
  std::string hash() const;

 private:
  RawFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  Status copy(int from, std::uint64_t offset, std::uint64_t size, const std::string& name);

  std::string path_;
  UniqueFd fd_;
  XXH3_state_s* state_ = nullptr;
};

// A file whose middle lies in parts of other files.
struct JoinedFile {
  struct Part {
    std::string path;
    std::uint64_t offset = 0, size = 0;
  };
  std::string head;
  std::vector<Part> parts;
  std::string tail;

  std::uint64_t size() const;
  // Durably. Answers the hash, if it is to be `hashed`.
  Result<std::string> write(const std::string& path, bool hashed) const;
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
