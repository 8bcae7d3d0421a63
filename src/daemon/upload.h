// The content of a dataset as a client sends it: a file of the state folder under a name of its
// own, removed again unless it was kept. Bytes are hashed on the way, so that the same content sent
// twice is known. Loop thread.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <memory>
#include <string>

#include "api/http_message.h"

namespace polysome {

class Upload final : public api::BodySink {
 public:
  // `most`: of bytes. Errors: kIo, kDiskFull.
  static Result<std::shared_ptr<Upload>> create(const std::string& path, std::uint64_t most);
  ~Upload() override;
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  Status take(std::string_view bytes) override;
  // Closes the file. Errors: kIo, kDiskFull; kInvalid when nothing was sent.
  Status finish();
  // The file stays.
  void keep() { kept_ = true; }
  // The file goes now, unless it was kept.
  void discard();
  const std::string& path() const { return path_; }
  std::string hash() const;  // of all bytes taken, 32 hex digits

 private:
  Upload(std::string path, int fd, std::uint64_t most);
  Status flush();

  std::string path_;
  int fd_;
  std::uint64_t most_;
  std::uint64_t bytes_ = 0;
  bool kept_ = false;
  std::string buffer_;
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> hash_;
};

}  // namespace polysome
