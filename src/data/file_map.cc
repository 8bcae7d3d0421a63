#include "data/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"

namespace polysome {
namespace {

// What is let go at a time, and what stays before the place that is read.
constexpr std::size_t kStep = 4 << 20;
constexpr std::size_t kBehind = 1 << 20;
// Files up to this size are read, not mapped.
constexpr std::size_t kTiny = 4096;

std::int64_t nanoseconds(const struct timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

Result<std::shared_ptr<const FileMap>> FileMap::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error("cannot open", path, errno));
  struct stat st{};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    const int reason = S_ISREG(st.st_mode) ? errno : EINVAL;
    ::close(fd);
    return fail(errno_error("cannot read", path, reason));
  }
  std::shared_ptr<FileMap> file(new FileMap());
  file->size_ = static_cast<std::size_t>(st.st_size);
  file->mtime_ns_ = nanoseconds(st.st_mtim);
  if (file->size_ > 0 && file->size_ <= kTiny) {
    file->tiny_ = std::make_unique_for_overwrite<char[]>(file->size_);
    const ssize_t n = ::pread(fd, file->tiny_.get(), file->size_, 0);
    const int reason = errno;
    file->size_ = n < 0 ? 0 : static_cast<std::size_t>(n);
    file->data_ = file->tiny_.get();
    if (n < 0) {
      ::close(fd);
      return fail(errno_error("cannot read", path, reason));
    }
  } else if (file->size_ > 0) {
    void* data = ::mmap(nullptr, file->size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int reason = errno;
    if (data == MAP_FAILED) {
      ::close(fd);
      file->size_ = 0;
      return fail(errno_error("cannot map", path, reason));
    }
    ::madvise(data, file->size_, MADV_SEQUENTIAL);
    file->data_ = static_cast<const char*>(data);
  }
  ::close(fd);
  return std::shared_ptr<const FileMap>(std::move(file));
}

FileMap::~FileMap() {
  if (size_ > 0 && tiny_ == nullptr) ::munmap(const_cast<char*>(data_), size_);
}

void FileMap::let_go(std::size_t position) const {
  const std::size_t end = std::min(position, size_) / kBehind * kBehind;
  std::size_t from = let_go_.load(std::memory_order_relaxed);
  if (end < kBehind || end - kBehind < from + kStep) return;
  // A reader that began late in the file: nothing before its first step is mapped.
  ::madvise(const_cast<char*>(data_) + from, end - kBehind - from, MADV_DONTNEED);
  let_go_.store(end - kBehind, std::memory_order_relaxed);
}

Result<FileStamp> stamp_of(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return fail(errno_error("cannot read", path, errno));
  return FileStamp{static_cast<std::uint64_t>(st.st_size), nanoseconds(st.st_mtim)};
}

}  // namespace polysome
