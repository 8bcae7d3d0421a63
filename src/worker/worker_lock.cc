#include "worker/worker_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>

#include "base/files.h"
#include "base/process.h"

namespace polysome {

Result<UniqueFd> take_worker_lock(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return fail(errno_error("cannot open the lock file", path, errno));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return fail(Code::kConflict, path + " is held by a worker that still runs");
    return fail(errno_error("cannot lock", path, errno));
  }
  const auto times = process_times(::getpid());
  const std::string text =
      fmt::format("{} {}\n", ::getpid(), times ? times->start_ticks : std::uint64_t{0});
  if (::ftruncate(fd.get(), 0) != 0 ||
      ::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return fail(errno_error("cannot write", path, errno));
  return fd;
}

}  // namespace polysome
