// The file operations durability rests on: whole-file read and write, fsync of files and folders,
// and publication by link(2), which creates a name only if it is absent (rename would let the last
// writer win). Any thread. Errors carry the path and the system's reason; ENOSPC is kDiskFull.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

// An error about a path from errno.
Error errno_error(std::string_view what, const std::filesystem::path& path, int error_number);

// All of it to an open file or pipe; `path` is for the message.
Status write_all(int fd, std::string_view content, const std::filesystem::path& path);
Result<std::string> read_file(const std::filesystem::path& path,
                              std::uint64_t max_bytes = 1ULL << 30);
// The same of a file with secrets: kForbidden unless it is ours (or root's) and nobody else may
// read or write it.
Result<std::string> read_private_file(const std::filesystem::path& path,
                                      std::uint64_t max_bytes = 1ULL << 20);
// Appends to such a file or makes it, durably; writers take turns. `check` sees what is there and
// may refuse.
Status append_private_file(const std::filesystem::path& path, std::string_view content,
                           const std::function<Status(const std::string& before)>& check);
// Replaces what such a file holds, in its place and durably.
Status rewrite_private_file(const std::filesystem::path& path,
                            const std::function<std::string(const std::string& before)>& change);
// Writes, optionally fsyncs, under a temporary name in the same folder, then renames over `path`.
Status write_file(const std::filesystem::path& path, std::string_view content, bool durable);
Status make_folders(const std::filesystem::path& path);
Status sync_file(const std::filesystem::path& path);
Status sync_folder(const std::filesystem::path& path);
// Writes `content` durably under a temporary name of `owner` and links it to `path`. True: this
// call published it; false: the name existed already, nothing changed.
Result<bool> publish_file(const std::filesystem::path& path, std::string_view content,
                          std::string_view owner);
// Removes a file or a folder with all it holds; absent is fine.
Status remove_all(const std::filesystem::path& path);
std::optional<std::uint64_t> free_disk_bytes(const std::filesystem::path& path);

}  // namespace polysome
