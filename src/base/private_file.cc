// The part of files.h about files with secrets.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/files.h"
#include "base/unique_fd.h"

namespace polysome {
namespace {

Status check_private(int fd, const std::filesystem::path& path) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) return fail(errno_error("cannot look at", path, errno));
  if (!S_ISREG(st.st_mode))
    return fail(Code::kForbidden, path.string() + " is not a file", "name a file of your own");
  if (st.st_uid != ::geteuid() && st.st_uid != 0)
    return fail(Code::kForbidden, path.string() + " belongs to another user",
                "whoever owns it could let anybody in; make one of your own");
  if ((st.st_mode & 077) != 0)
    return fail(Code::kForbidden, path.string() + " may be read or written by others",
                "chmod 600 " + path.string());
  return {};
}

Result<std::string> read_all(int fd, const std::filesystem::path& path, std::uint64_t max_bytes) {
  std::string out;
  std::string part(65'536, '\0');
  for (;;) {
    const ssize_t n = ::read(fd, part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("cannot read", path, errno));
    if (n == 0) return out;
    out.append(part.data(), static_cast<std::size_t>(n));
    if (out.size() > max_bytes)
      return fail(Code::kTooLarge, path.string() + " is larger than such a file can be");
  }
}

}  // namespace

Result<std::string> read_private_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return fail(errno_error("cannot open", path, errno));
  POLYSOME_TRY(check_private(fd.get(), path));
  return read_all(fd.get(), path, max_bytes);
}

Status append_private_file(const std::filesystem::path& path, std::string_view content,
                           const std::function<Status(const std::string& before)>& check) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600));
  if (fd.get() < 0) return fail(errno_error("cannot open", path, errno));
  POLYSOME_TRY(check_private(fd.get(), path));
  if (::flock(fd.get(), LOCK_EX) != 0) return fail(errno_error("cannot lock", path, errno));
  POLYSOME_ASSIGN(const std::string before, read_all(fd.get(), path, 1ULL << 20));
  POLYSOME_TRY(check(before));
  // One write, so that a reader never sees half a line.
  std::string text = before.empty() || before.ends_with('\n') ? "" : "\n";
  text += content;
  const ssize_t n = ::pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(before.size()));
  if (n != static_cast<ssize_t>(text.size()) || ::fsync(fd.get()) != 0) {
    const int why = n >= 0 && errno == 0 ? ENOSPC : errno;
    if (::ftruncate(fd.get(), static_cast<off_t>(before.size())) != 0)
      return fail(errno_error("half a line was written to", path, why));
    return fail(errno_error("cannot write", path, why));
  }
  return sync_folder(path.parent_path().empty() ? "." : path.parent_path());
}

Status rewrite_private_file(const std::filesystem::path& path,
                            const std::function<std::string(const std::string& before)>& change) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return fail(errno_error("cannot open", path, errno));
  POLYSOME_TRY(check_private(fd.get(), path));
  if (::flock(fd.get(), LOCK_EX) != 0) return fail(errno_error("cannot lock", path, errno));
  POLYSOME_ASSIGN(const std::string before, read_all(fd.get(), path, 1ULL << 20));
  const std::string after = change(before);
  // Appenders wait for the lock of this very file, so it is not replaced by another one.
  const ssize_t n = ::pwrite(fd.get(), after.data(), after.size(), 0);
  if (n != static_cast<ssize_t>(after.size()) ||
      ::ftruncate(fd.get(), static_cast<off_t>(after.size())) != 0 || ::fsync(fd.get()) != 0)
    return fail(errno_error("cannot write", path, errno));
  return {};
}

}  // namespace polysome
