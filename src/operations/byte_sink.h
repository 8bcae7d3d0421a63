// A file that is written once, in blocks, plain or as gzip members or zstd frames. The file is
// removed unless finish() succeeded. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

class ByteSink {
 public:
  // compression: none, gzip, zstd. The file must not exist.
  static Result<std::unique_ptr<ByteSink>> create(const std::string& path,
                                                  const std::string& compression);
  virtual ~ByteSink();
  ByteSink(const ByteSink&) = delete;
  ByteSink& operator=(const ByteSink&) = delete;

  // Compresses and writes.
  virtual Status write(std::string_view bytes) = 0;
  // Ends the gzip member or zstd frame, if one was begun.
  virtual Status end_stream() = 0;
  // Writes bytes as they are; only between streams.
  Status write_raw(std::string_view bytes);
  // Ends the stream, flushes, fsyncs and closes.
  Status finish();

 protected:
  ByteSink(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

 private:
  Status flush();
  std::string path_;
  int fd_;
  std::string buffer_;
};

// Calls `take` with the blocks of a file, in order.
Status read_blocks(const std::string& path, const std::function<Status(std::string_view)>& take);

}  // namespace polysome
