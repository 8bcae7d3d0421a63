// For tests: a real supervisor with its slots, started from the test's own program, and the
// service's end of its socket. What the tasks do is in worker_program_test.cc.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "model/frames.h"
#include "model/json.h"
#include "model/task.h"
#include "worker/options.h"

namespace polysome::test {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Generous: the machine may be slow at times.
inline constexpr seconds kPatience{30};

// Ended, whether or not its parent has looked.
inline bool gone(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto end = text.rfind(')');
  return end == std::string::npos || text[end + 2] == 'Z' || text[end + 2] == 'X';
}

template <class F>
bool eventually(F f, Clock::duration within = kPatience) {
  for (const auto end = Clock::now() + within; Clock::now() < end;) {
    if (f()) return true;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return f();
}

struct Received {
  Frame frame;
  Json payload;
};

class Worker {
 public:
  explicit Worker(WorkerOptions options) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    socket_.reset(ends[0]);
    options.mode = WorkerMode::kSupervisor;
    options.fd = 3;
    auto arguments = worker_arguments(options);
    arguments.insert(arguments.begin(), "worker");
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      if (ends[1] == 3)
        ::fcntl(3, F_SETFD, 0);
      else
        ::dup2(ends[1], 3);
      ::execv("/proc/self/exe", argv.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    slot_pids_.resize(static_cast<std::size_t>(options.slots));
  }
  ~Worker() {
    socket_.reset();
    (void)wait();
  }

  void up() {
    for (std::size_t ready = 0; ready < slot_pids_.size(); ++ready)
      ASSERT_TRUE(next(FrameKind::kReady));
  }
  void send(FrameKind kind, int slot, const Json& payload) {
    append_frame(&out_, kind, static_cast<std::uint16_t>(slot), dump(payload));
    flush();
  }
  AttemptId start(const std::string& what, int slot = 0, std::uint64_t grant = 0) {
    send(FrameKind::kStart, slot, spec(what, grant).to_json());
    return {1, attempts_};
  }
  TaskSpec spec(const std::string& what, std::uint64_t grant = 0) {
    TaskSpec s;
    s.attempt = {1, ++attempts_};
    s.stage_name = what;
    s.job_folder = job_folder;
    s.grant = grant;
    return s;
  }
  // The next frame of this kind (any slot, or one); others are dropped.
  std::optional<Received> next(FrameKind kind, int slot = -1) {
    std::optional<Received> found;
    (void)until([&](Received& r) {
      if (r.frame.kind != kind || (slot >= 0 && r.frame.slot != slot)) return false;
      found = std::move(r);
      return true;
    });
    return found;
  }
  // Takes frames until `take` says so; false: none came for too long, or the worker's end closed.
  bool until(const std::function<bool(Received&)>& take) {
    const auto end = Clock::now() + kPatience;
    for (;;) {
      auto frame = reader_.next();
      EXPECT_TRUE(frame);
      if (!frame) return false;
      if (*frame) {
        Received r{std::move(**frame), {}};
        r.payload = parse_trusted_json(r.frame.payload).value_or(Json());
        note(r);
        if (take(r)) return true;
        continue;
      }
      const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count();
      pollfd p{socket_.get(), POLLIN, 0};
      if (left <= 0 || ::poll(&p, 1, static_cast<int>(left)) <= 0) return false;
      char buffer[65536];
      const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return false;
      reader_.feed({buffer, static_cast<std::size_t>(n)});
    }
  }
  void write_raw(std::string_view bytes) {
    out_ += bytes;
    flush();
  }
  void queue(FrameKind kind, int slot, std::string_view payload) {
    append_frame(&out_, kind, static_cast<std::uint16_t>(slot), payload);
  }
  void flush() {
    while (!out_.empty()) {
      const ssize_t n = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (n <= 0) break;
      out_.erase(0, static_cast<std::size_t>(n));
    }
  }
  void close() { socket_.reset(); }
  int wait() {
    if (pid_ <= 0) return status_;
    EXPECT_TRUE(eventually([&] { return ::waitpid(pid_, &status_, WNOHANG) == pid_; }))
        << "the supervisor does not end";
    pid_ = -1;
    return status_;
  }
  pid_t pid() const { return pid_; }
  pid_t slot_pid(int slot) const { return slot_pids_.at(static_cast<std::size_t>(slot)); }
  const std::vector<pid_t>& slot_pids() const { return slot_pids_; }

  std::string job_folder;

 private:
  void note(const Received& r) {
    if (r.frame.kind == FrameKind::kReady)
      slot_pids_.at(r.frame.slot) = r.payload.at("pid").get<pid_t>();
  }
  UniqueFd socket_;
  FrameReader reader_;
  std::string out_;
  pid_t pid_ = -1;
  int status_ = 0;
  std::vector<pid_t> slot_pids_;
  std::uint64_t attempts_ = 0;
};

}  // namespace polysome::test
