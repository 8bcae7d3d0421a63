// What tells a file from a changed one: size, time of change, and a hash of its first and last
// bytes (a copy that keeps times is noticed too). One open a file, so that folders of a hundred
// thousand stay quick. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

struct FileLook {
  std::uint64_t bytes = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t fingerprint = 0;  // XXH3-64 over size, first and last 4 kB; 0: it was not opened
  std::string compression;        // "", gzip, zstd by its first bytes
  std::uint64_t first_line = 0;   // hash of its first line; 0: that is longer than 4 kB
};
// Errors: kIo; also for what is not a regular file.
Result<FileLook> look_at_file(const std::string& path);
// Without opening it: size and time, and what its name says of compression.
Result<FileLook> glance_at_file(const std::string& path);
// The hash of a first line, its newline included.
std::uint64_t first_line_hash(std::string_view line);

struct SourceFile;
// kIo naming the file when it is not the one that was looked at. Parts that have no fingerprint are
// known by size and time.
Status check_unchanged(const SourceFile& file);
// The same of a file that is open already.
class FileMap;
Status check_unchanged(const SourceFile& file, const FileMap& now);

}  // namespace polysome
