#include "operations/raw_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"

namespace polysome {
namespace {

constexpr std::size_t kCopyBlock = 1 << 20;

Error lost(const std::string& path) {
  return Error(Code::kIo, "output lost: " + path + " is shorter than it was");
}

}  // namespace

Result<std::unique_ptr<RawFile>> RawFile::create(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (fd.get() < 0) return fail(errno_error("cannot write", path, errno));
  return std::unique_ptr<RawFile>(new RawFile(path, std::move(fd)));
}

Status RawFile::write(std::string_view bytes) {
  at_ += bytes.size();
  return write_all(fd_.get(), bytes, path_);
}

Status RawFile::append(const std::string& from, std::uint64_t offset, std::uint64_t size) {
  const UniqueFd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (in.get() < 0) return fail(Code::kIo, "output lost: " + from + " is not there");
  auto position = static_cast<off_t>(offset);
  std::uint64_t left = size;
  while (left > 0) {
    const ssize_t n = ::copy_file_range(in.get(), &position, fd_.get(), nullptr, left, 0);
    if (n > 0) {
      left -= static_cast<std::uint64_t>(n);
      at_ += static_cast<std::uint64_t>(n);
      continue;
    }
    if (n == 0) return fail(lost(from));
    if (errno == EINTR) continue;
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
      return fail(errno_error("cannot write", path_, errno));
    break;
  }
  std::string block;
  while (left > 0) {
    block.resize(std::min<std::uint64_t>(left, kCopyBlock));
    const ssize_t n = ::pread(in.get(), block.data(), block.size(), position);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("cannot read", from, errno));
    if (n == 0) return fail(lost(from));
    POLYSOME_TRY(write(std::string_view(block).substr(0, static_cast<std::size_t>(n))));
    position += n;
    left -= static_cast<std::uint64_t>(n);
  }
  return {};
}

Status RawFile::finish() {
  while (::fsync(fd_.get()) != 0)
    if (errno != EINTR) return fail(errno_error("cannot write", path_, errno));
  fd_ = UniqueFd();
  return {};
}

}  // namespace polysome
