// What tells a file from a changed one: size, time of change, and a hash of its first and last
// bytes (a copy that keeps times is noticed too). One open a file, so that folders of a hundred
// thousand stay quick. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace polysome {

struct FileLook {
  std::uint64_t bytes = 0;
  std::int64_t mtime_ns = 0;
  std::string fingerprint;  // 16 hex digits of XXH3-64 over size, first and last 4 kB
  std::string compression;  // "", gzip, zstd by its first bytes
};
// Errors: kIo; also for what is not a regular file.
Result<FileLook> look_at_file(const std::string& path);

struct SourceFile;
// kIo naming the file when it is not the one that was looked at. Parts that have no fingerprint are
// known by size and time.
Status check_unchanged(const SourceFile& file);

}  // namespace polysome
