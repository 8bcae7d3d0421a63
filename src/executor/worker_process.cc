#include "executor/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

namespace polysome {
namespace asio = boost::asio;
namespace {

// Where the program finds its socket.
constexpr int kChildSocket = 3;
constexpr std::size_t kReadBytes = 1 << 18;
// Far more than five frames for each of 64 slots: a worker that far behind does not read.
constexpr std::size_t kMostQueuedBytes = 64'000'000;
constexpr std::chrono::seconds kLinger{2};

// What a worker's result may depend on, or it cannot start without; everything else (credentials
// above all) stays with the service. One thread for BLAS: the same bits on every machine. DuckDB's
// allocator, which reads this when a program is loaded, returns what it frees: memory that it keeps
// aside would count as the next task's.
std::vector<std::string> clean_environment() {
  std::vector<std::string> out = {"OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1",
                                  "DUCKDB_JE_MALLOC_CONF=retain:false"};
  for (const char* name : {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH",
                           "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"})
    if (const char* value = std::getenv(name)) out.push_back(std::string(name) + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// The file actions and attributes of posix_spawn, released at the end.
class SpawnPlan {
 public:
  explicit SpawnPlan(int socket) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    // The service's own output may be a result; what a worker prints is for its log.
    ::posix_spawn_file_actions_adddup2(&actions_, 2, 1);
    ::posix_spawn_file_actions_adddup2(&actions_, socket, kChildSocket);
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, kChildSocket + 1);
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    // A session of its own: Ctrl-C in the service's terminal is the service's to handle.
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

std::string reason(int error_number) { return std::system_category().message(error_number); }

}  // namespace

WorkerProcess::WorkerProcess(asio::io_context& loop, std::string name, Handler handler)
    : loop_(loop),
      name_(std::move(name)),
      handler_(std::move(handler)),
      socket_(loop),
      pidfd_(loop),
      patience_(loop),
      received_(kReadBytes) {}

WorkerProcess::~WorkerProcess() {
  close();
  wait_until(std::chrono::steady_clock::now());
}

Result<std::shared_ptr<WorkerProcess>> WorkerProcess::start(
    asio::io_context& loop, const std::string& program, const std::vector<std::string>& arguments,
    std::string name, Handler handler) {
  std::shared_ptr<WorkerProcess> process(
      new WorkerProcess(loop, std::move(name), std::move(handler)));
  POLYSOME_TRY(process->spawn(program, arguments));
  process->read();
  process->watch_end();
  return process;
}

Status WorkerProcess::spawn(const std::string& program, const std::vector<std::string>& arguments) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(Code::kIo, fmt::format("cannot start {}: socketpair: {}", name_, reason(errno)));
  boost::system::error_code ec;
  socket_.assign(asio::local::stream_protocol(), ends[0], ec);
  std::vector<std::string> argv = {"polysome-worker", "--supervisor", "--fd",
                                   std::to_string(kChildSocket)};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  auto environment = clean_environment();
  int error = 0;
  {
    const SpawnPlan plan(ends[1]);
    error = ::posix_spawn(&pid_, program.c_str(), plan.actions(), plan.attributes(),
                          pointers(argv).data(), pointers(environment).data());
  }
  ::close(ends[1]);
  if (error != 0) {
    pid_ = -1;
    return fail(Code::kIo, fmt::format("cannot start {}: {}: {}", name_, program, reason(error)),
                "polysome-worker must lie beside polysome, or be named by --worker-program");
  }
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd < 0)
    return fail(Code::kIo, fmt::format("cannot watch {}: pidfd_open: {}", name_, reason(errno)));
  ::fcntl(pidfd, F_SETFD, FD_CLOEXEC);
  pidfd_.assign(pidfd, ec);
  if (ec) return fail(Code::kIo, fmt::format("cannot watch {}: {}", name_, ec.message()));
  return {};
}

void WorkerProcess::read() {
  socket_.async_read_some(
      asio::buffer(received_),
      [self = shared_from_this()](boost::system::error_code ec, std::size_t bytes) {
        if (ec == asio::error::operation_aborted || !self->socket_.is_open()) return;
        // The end of the process follows the end of its socket, or is helped along.
        if (ec) return self->expect_end(kLinger);
        self->take(bytes);
        if (self->socket_.is_open()) self->read();
      });
}

void WorkerProcess::take(std::size_t bytes) {
  reader_.feed({received_.data(), bytes});
  // A handler may close this process, or give it up.
  while (socket_.is_open() && fault_.empty()) {
    auto frame = reader_.next();
    if (!frame) return give_up(fmt::format("{} sent {}", name_, frame.error().message));
    if (!*frame) return;
    if (handler_.frame) handler_.frame(std::move(**frame));
  }
}

void WorkerProcess::send(FrameKind kind, std::uint16_t slot, std::string_view payload) {
  if (!socket_.is_open() || !fault_.empty()) return;
  append_frame(&queued_, kind, slot, payload);
  if (queued_.size() > kMostQueuedBytes)
    return give_up(fmt::format("{} does not read what is sent to it", name_));
  if (flush_posted_ || !writing_.empty()) return;
  flush_posted_ = true;
  asio::post(loop_, [self = shared_from_this()] {
    self->flush_posted_ = false;
    self->flush();
  });
}

void WorkerProcess::flush() {
  if (queued_.empty() || !writing_.empty() || !socket_.is_open()) return;
  std::swap(queued_, writing_);
  asio::async_write(socket_, asio::buffer(writing_),
                    [self = shared_from_this()](boost::system::error_code ec, std::size_t) {
                      self->writing_.clear();
                      if (!ec) self->flush();
                    });
}

void WorkerProcess::give_up(std::string why) {
  if (fault_.empty()) fault_ = std::move(why);
  kill();
}

void WorkerProcess::expect_end(std::chrono::milliseconds within) {
  patience_.expires_after(within);
  patience_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
    if (!ec) self->kill();
  });
}

void WorkerProcess::kill() const {
  if (pid_ > 0 && !reaped_) ::kill(pid_, SIGKILL);
}

void WorkerProcess::watch_end() {
  pidfd_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [self = shared_from_this()](boost::system::error_code ec) {
                      if (!ec) self->finish();
                    });
}

// Takes what the process wrote before it ended.
void WorkerProcess::drain() {
  while (socket_.is_open()) {
    const ssize_t n =
        ::recv(socket_.native_handle(), received_.data(), received_.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    take(static_cast<std::size_t>(n));
  }
}

void WorkerProcess::finish() {
  drain();
  if (!socket_.is_open() || reaped_) return;  // closed by a handler: its end is nobody's news
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  auto ended = std::move(handler_.ended);
  const End end = story(status);
  close();
  if (ended) ended(end);
}

WorkerProcess::End WorkerProcess::story(int status) const {
  if (!fault_.empty()) return {false, fault_};
  const std::string who = fmt::format("{} (pid {})", name_, pid_);
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    const bool by_kill = signal == SIGKILL || signal == SIGTERM;
    return {by_kill,
            fmt::format("{} was ended by signal {} ({})", who, signal, ::strsignal(signal))};
  }
  const int code = WEXITSTATUS(status);
  if (code == 0) return {true, who + " ended"};
  return {false, fmt::format("{} exited with status {}; its log says why", who, code)};
}

void WorkerProcess::close() {
  // The handler stays: it may be what is running just now.
  boost::system::error_code ec;
  patience_.cancel();
  if (socket_.is_open()) socket_.close(ec);
  if (pidfd_.is_open()) pidfd_.close(ec);
  queued_.clear();
}

void WorkerProcess::wait_until(std::chrono::steady_clock::time_point deadline) {
  if (pid_ <= 0 || reaped_) return;
  int status = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      reaped_ = true;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  kill();
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
}

}  // namespace polysome
