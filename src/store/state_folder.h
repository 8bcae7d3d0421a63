// The folder that holds the store: on a local disk, and of one service alone. The lock is a flock
// on STATE/lock held as long as the object lives; the kernel frees it whatever way the service
// ends.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace polysome {

// "NFS", "Lustre", "SMB" …: the name of a filesystem (f_type of statfs) on which SQLite's locks and
// shared memory can't be trusted; nullopt for the others.
std::optional<std::string_view> unsafe_filesystem(std::int64_t magic);

class StateFolder {
 public:
  // Makes the folder if it is absent. Errors: kConflict when another service holds it, kInvalid on
  // a network filesystem, kIo.
  static Result<StateFolder> take(const std::filesystem::path& folder);
  ~StateFolder();
  StateFolder(StateFolder&& other) noexcept
      : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}
  StateFolder& operator=(StateFolder&&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  StateFolder(std::filesystem::path path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace polysome
