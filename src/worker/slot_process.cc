#include "worker/slot_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <system_error>

namespace polysome {
namespace {

// Where a slot finds its socket and the lock it inherits.
constexpr int kSlotSocket = 3;
constexpr int kSlotLock = 4;
constexpr std::size_t kReadBytes = 1 << 18;

std::unexpected<Error> refused(const char* what) {
  return fail(Code::kIo, std::string("cannot start a slot process: ") + what + ": " +
                             std::system_category().message(errno));
}

// In the child: leaves only stdio, the socket and the lock open.
void leave_the_supervisor(pid_t supervisor, int socket, int lock_fd, int index) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != supervisor) ::_exit(1);  // it ended before it could be asked to take us along
  ::prctl(PR_SET_NAME, ("polysome-slot" + std::to_string(index)).c_str());
  // Out of the way first: either may lie where the other has to go.
  socket = ::fcntl(socket, F_DUPFD, kSlotLock + 1);
  lock_fd = lock_fd < 0 ? -1 : ::fcntl(lock_fd, F_DUPFD, kSlotLock + 1);
  ::dup2(socket, kSlotSocket);
  if (lock_fd >= 0) ::dup2(lock_fd, kSlotLock);
  ::close_range(lock_fd >= 0 ? kSlotLock + 1 : kSlotSocket + 1, ~0U, 0);
}

}  // namespace

SlotProcess::SlotProcess(WorkerOptions options, int lock_fd, SlotMain main)
    : options_(std::move(options)), lock_fd_(lock_fd), main_(std::move(main)) {
  options_.mode = WorkerMode::kSlot;
  options_.fd = kSlotSocket;
  options_.lock_file.clear();
  options_.control_group.clear();
}

Status SlotProcess::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return refused("socketpair");
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  const pid_t supervisor = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return refused("fork");
  if (pid == 0) {
    leave_the_supervisor(supervisor, theirs.get(), lock_fd_, options_.index);
    ::_exit(main_(options_));
  }
  pid_ = pid;
  socket_ = std::move(ours);
  reader_ = FrameReader();
  return {};
}

void SlotProcess::queue(FrameKind kind, std::string_view payload) {
  append_frame(&out_, kind, static_cast<std::uint16_t>(options_.index), payload);
}

void SlotProcess::flush() {
  std::string_view rest = out_;
  while (socket_ && !rest.empty()) {
    const ssize_t n = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;  // full, or gone: the reading side notices
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  out_.erase(0, out_.size() - rest.size());
}

bool SlotProcess::receive(const std::function<void(Frame&&)>& take) {
  static const auto buffer = std::make_unique_for_overwrite<char[]>(kReadBytes);
  const ssize_t n = ::recv(socket_.get(), buffer.get(), kReadBytes, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  reader_.feed({buffer.get(), static_cast<std::size_t>(n)});
  for (;;) {
    auto frame = reader_.next();
    if (!frame) return false;
    if (!*frame) return true;
    take(std::move(**frame));
  }
}

void SlotProcess::kill() const {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

SlotProcess::End SlotProcess::reap() {
  End end;
  end.pid = pid_;
  // A process whose socket has closed is ending already and keeps its own status.
  kill();
  int status = 0;
  rusage usage{};
  while (::wait4(pid_, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  end.peak_memory = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  end.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  if (WIFEXITED(status)) end.status = WEXITSTATUS(status);
  pid_ = -1;
  socket_.reset();
  return end;
}

}  // namespace polysome
