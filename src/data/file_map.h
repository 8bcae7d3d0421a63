// A whole file mapped for reading. Pages come in as they are touched, and do not count as the
// task's memory; a tiny file is read instead, which takes a third of the time. A file that shrinks
// under its reader ends the process (SIGBUS), which costs one attempt; the next one finds the
// changed size. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

class FileMap {
 public:
  static Result<std::shared_ptr<const FileMap>> open(const std::string& path);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  std::string_view text() const { return {data_, size_}; }
  std::int64_t mtime_ns() const { return mtime_ns_; }
  // What is before `position` has been read: its pages need not count as this process's memory any
  // more. They can be read again all the same.
  void let_go(std::size_t position) const;

 private:
  FileMap() = default;
  std::unique_ptr<char[]> tiny_;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t mtime_ns_ = 0;
  mutable std::atomic<std::size_t> let_go_ = 0;  // of the begin
};

// Size and time of change. Errors: kIo.
struct FileStamp {
  std::uint64_t bytes = 0;
  std::int64_t mtime_ns = 0;
};
Result<FileStamp> stamp_of(const std::string& path);

}  // namespace polysome
