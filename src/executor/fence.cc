// LocalExecutor::fence: no task of an earlier service may still run when a new one starts its own.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "executor/local_executor.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kEndByThemselves{3};
constexpr std::chrono::seconds kEndWhenKilled{5};
constexpr std::chrono::milliseconds kLookAgain{10};

// A lock nobody holds is of a worker that is gone; its file goes too.
bool let_go(const fs::path& lock) {
  const int fd = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
  const bool free = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (free) ::unlink(lock.c_str());
  ::close(fd);
  return free;
}

// Kills the process that wrote the lock file, and no other that has its pid by now. False: there is
// no such process.
bool kill_holder(const fs::path& lock) {
  const auto text = read_file(lock, 4096);
  int pid = 0;
  unsigned long long start = 0;
  if (!text || std::sscanf(text->c_str(), "%d %llu", &pid, &start) != 2 || pid <= 1) return false;
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return false;
  // Looked at after pidfd_open, so that it is the process which the descriptor stands for.
  const auto times = process_times(pid);
  const bool same = times && times->start_ticks == start;
  if (same) {
    log::warning("killing the worker process {} of an earlier service ({})", pid,
                 lock.filename().string());
    ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  }
  ::close(pidfd);
  return same;
}

void wait_for(std::vector<fs::path>* locks, Clock::duration within) {
  const auto deadline = Clock::now() + within;
  for (;;) {
    std::erase_if(*locks, let_go);
    if (locks->empty() || Clock::now() >= deadline) return;
    std::this_thread::sleep_for(kLookAgain);
  }
}

}  // namespace

Status LocalExecutor::fence(const std::string& lock_folder) {
  std::error_code ec;
  if (!fs::exists(lock_folder, ec)) return {};
  std::vector<fs::path> locks;
  for (fs::directory_iterator it(lock_folder, ec), end; !ec && it != end; it.increment(ec))
    if (it->path().extension() == ".lock") locks.push_back(it->path());
  if (ec) return fail(errno_error("cannot list", lock_folder, ec.value()));
  wait_for(&locks, kEndByThemselves);
  bool killed = false;
  for (const auto& lock : locks) killed = kill_holder(lock) || killed;
  if (killed) wait_for(&locks, kEndWhenKilled);
  if (locks.empty()) return {};
  return fail(
      Code::kUnavailable,
      fmt::format("{} is still held by a process of an earlier service", locks.front().string()),
      fmt::format("end it (see: fuser -v {}), then start again", locks.front().string()));
}

}  // namespace polysome
