#include "data/raw_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"

namespace polysome {
namespace {

constexpr std::size_t kCopyBlock = 1 << 18;  // stays in the cache

Error lost(const std::string& path) {
  return Error(Code::kIo, "output lost: " + path + " is shorter than it was");
}

}  // namespace

Result<std::unique_ptr<RawFile>> RawFile::create(const std::string& path, bool hashed) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (fd.get() < 0) return fail(errno_error("cannot write", path, errno));
  std::unique_ptr<RawFile> out(new RawFile(path, std::move(fd)));
  if (!hashed) return out;
  out->state_ = XXH3_createState();
  if (out->state_ == nullptr) return fail(Code::kOutOfMemory, "no memory for a hash");
  XXH3_64bits_reset(out->state_);
  return out;
}

RawFile::~RawFile() { XXH3_freeState(state_); }

Status RawFile::write(std::string_view bytes) {
  if (state_ != nullptr) XXH3_64bits_update(state_, bytes.data(), bytes.size());
  return write_all(fd_.get(), bytes, path_);
}

Status RawFile::append(const std::string& from, std::uint64_t offset, std::uint64_t size) {
  const UniqueFd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (in.get() < 0) return fail(Code::kIo, "output lost: " + from + " is not there");
  if (state_ != nullptr) return copy(in.get(), offset, size, from);
  auto position = static_cast<off_t>(offset);
  const std::uint64_t end = offset + size;
  while (static_cast<std::uint64_t>(position) < end) {
    const ssize_t n = ::copy_file_range(in.get(), &position, fd_.get(), nullptr,
                                        end - static_cast<std::uint64_t>(position), 0);
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    if (n == 0) return fail(lost(from));
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
      return fail(errno_error("cannot write", path_, errno));
    const auto at = static_cast<std::uint64_t>(position);
    return copy(in.get(), at, end - at, from);
  }
  return {};
}

Status RawFile::copy(int from, std::uint64_t offset, std::uint64_t size, const std::string& name) {
  std::string block(std::min<std::uint64_t>(size, kCopyBlock), '\0');
  while (size > 0) {
    const ssize_t n = ::pread(from, block.data(), std::min<std::uint64_t>(size, block.size()),
                              static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("cannot read", name, errno));
    if (n == 0) return fail(lost(name));
    POLYSOME_TRY(write(std::string_view(block).substr(0, static_cast<std::size_t>(n))));
    offset += static_cast<std::uint64_t>(n);
    size -= static_cast<std::uint64_t>(n);
  }
  return {};
}

void RawFile::begin_sync() {
  // A hint: what goes wrong is told by sync().
  (void)::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

Status RawFile::sync() {
  while (::fsync(fd_.get()) != 0)
    if (errno != EINTR) return fail(errno_error("cannot write", path_, errno));
  return {};
}

std::string RawFile::hash() const {
  return state_ == nullptr ? "" : fmt::format("{:016x}", XXH3_64bits_digest(state_));
}

std::uint64_t JoinedFile::size() const {
  std::uint64_t out = head.size() + tail.size();
  for (const auto& p : parts) out += p.size;
  return out;
}

Result<std::string> JoinedFile::write(const std::string& path, bool hashed) const {
  POLYSOME_ASSIGN(const auto file, RawFile::create(path, hashed));
  POLYSOME_TRY(file->write(head));
  for (const auto& p : parts) {
    POLYSOME_TRY(file->append(p.path, p.offset, p.size));
    file->begin_sync();
  }
  POLYSOME_TRY(file->write(tail));
  POLYSOME_TRY(file->sync());
  return file->hash();
}

}  // namespace polysome
