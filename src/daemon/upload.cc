#include "daemon/upload.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "base/bytes.h"
#include "base/files.h"

namespace polysome {
namespace {

constexpr std::size_t kBlock = 1 << 18;

}  // namespace

Upload::Upload(std::string path, int fd, std::uint64_t most)
    : path_(std::move(path)), fd_(fd), most_(most), hash_(XXH3_createState(), &XXH3_freeState) {
  XXH3_128bits_reset(hash_.get());
}

Result<std::shared_ptr<Upload>> Upload::create(const std::string& path, std::uint64_t most) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  if (fd < 0) return fail(errno_error("cannot create", path, errno));
  return std::shared_ptr<Upload>(new Upload(path, fd, most));
}

Upload::~Upload() { discard(); }

void Upload::discard() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (!kept_) ::unlink(path_.c_str());
  kept_ = true;  // what may come to lie there later is another's
}

Status Upload::take(std::string_view bytes) {
  bytes_ += bytes.size();
  if (bytes_ > most_)
    return fail(Code::kTooLarge, fmt::format("more than {} were sent", format_bytes(most_)),
                "serve --max-upload SIZE allows more; or put the file below a data folder");
  XXH3_128bits_update(hash_.get(), bytes.data(), bytes.size());
  buffer_.append(bytes);
  return buffer_.size() < kBlock ? Status{} : flush();
}

Status Upload::flush() {
  POLYSOME_TRY(write_all(fd_, buffer_, path_));
  buffer_.clear();
  return {};
}

Status Upload::finish() {
  if (bytes_ == 0)
    return fail(Code::kInvalid, "the request has no content",
                "send the file as the body: curl -T FILE URL");
  POLYSOME_TRY(flush());
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0) return fail(errno_error("cannot write", path_, errno));
  return {};
}

std::string Upload::hash() const {
  const XXH128_hash_t h = XXH3_128bits_digest(hash_.get());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

}  // namespace polysome
