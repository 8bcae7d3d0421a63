// A worker program for the tests of the service's side: it speaks the protocol and runs nothing.
// What it answers to a task is named by the task's stage, what it does with itself by --behave.
// Started without a worker's flags, it runs the tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "model/frames.h"
#include "model/json.h"
#include "model/task.h"

extern char** environ;

namespace polysome {
namespace {

constexpr int kSocket = 3;

std::string flag(const std::vector<std::string>& arguments, const std::string& name) {
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i)
    if (arguments[i] == name) return arguments[i + 1];
  return "";
}

class FakeWorker {
 public:
  explicit FakeWorker(std::vector<std::string> arguments)
      : arguments_(std::move(arguments)), behaviour_(flag(arguments_, "--behave")) {}

  int run() {
    if (behaviour_ == "exit") return 9;
    const std::string version = behaviour_ == "old" ? "0.0.1" : POLYSOME_VERSION;
    const int slots = std::stoi(flag(arguments_, "--slots"));
    say(FrameKind::kHello, kNoSlot, {{"pid", ::getpid()}, {"version", version}, {"slots", slots}});
    for (int i = 0; i < slots; ++i)
      say(FrameKind::kReady, static_cast<std::uint16_t>(i), {{"pid", ::getpid()}});
    for (;;) {
      flush();
      char buffer[65536];
      const ssize_t n = ::recv(kSocket, buffer, sizeof buffer, 0);
      if (n <= 0 && behaviour_ == "linger")
        for (;;) ::pause();
      if (n <= 0) return 0;
      reader_.feed({buffer, static_cast<std::size_t>(n)});
      while (auto frame = reader_.next().value()) take(*frame);
    }
  }

 private:
  void say(FrameKind kind, std::uint16_t slot, const Json& payload) {
    append_frame(&out_, kind, slot, dump(payload));
  }
  void flush() {
    while (!out_.empty()) {
      const ssize_t n = ::send(kSocket, out_.data(), out_.size(), MSG_NOSIGNAL);
      if (n <= 0) ::_exit(0);
      out_.erase(0, static_cast<std::size_t>(n));
    }
  }

  void take(const Frame& frame) {
    if (frame.kind == FrameKind::kSlotSeen) ++seen_;
    if (frame.kind == FrameKind::kShutdown && behaviour_ != "stay") {
      flush();
      ::_exit(0);
    }
    const Json payload = parse_trusted_json(frame.payload).value();
    if (frame.kind == FrameKind::kStart) run_task(frame.slot, TaskSpec::from_json(payload).value());
    if (frame.kind == FrameKind::kRequest) answer(frame.slot, payload);
    if (frame.kind == FrameKind::kCancel) cancel(frame.slot, payload);
  }

  void run_task(std::uint16_t slot, const TaskSpec& spec) {
    const std::string& what = spec.stage_name;
    say(FrameKind::kStarted, slot, {{"attempt", spec.attempt.text()}});
    if (what == "wait") return;
    if (what == "exit") ::_exit(5);
    if (what == "kill") ::raise(SIGKILL);
    if (what == "abort") ::raise(SIGABRT);
    if (what == "malformed") out_ += "no frame, but longer than a header";
    if (what == "unreadable") return say(FrameKind::kFinished, slot, {{"rows", 3}});
    if (what == "slot_killed") return lose(slot, SIGKILL, false);
    if (what == "slot_crashed") return lose(slot, SIGSEGV, false);
    if (what == "slot_out_of_memory") return lose(slot, SIGKILL, true);
    if (what == "last_words") {
      finish(slot, spec, "said before the end");
      flush();
      ::_exit(0);
    }
    if (what == "progress")
      say(FrameKind::kProgress, slot, TaskProgress{spec.attempt, 7, 8}.to_json());
    if (what == "log")
      say(FrameKind::kLog, slot,
          {{"level", "info"}, {"message", "hello"}, {"attempt", spec.attempt.text()}});
    if (what == "health")
      say(FrameKind::kHealth, kNoSlot,
          {{"slots", Json::array()}, {"memory", 5}, {"cpu_percent", 1.5}});
    if (what == "environment") {
      Json list = Json::array();
      for (char** e = environ; *e != nullptr; ++e) list.push_back(*e);
      return finish(slot, spec, list);
    }
    if (what == "arguments") return finish(slot, spec, arguments_);
    if (what == "seen") return finish(slot, spec, seen_);
    finish(slot, spec, Json());
  }

  void finish(std::uint16_t slot, const TaskSpec& spec, Json payload) {
    TaskResult result;
    result.attempt = spec.attempt;
    result.payload = std::move(payload);
    say(FrameKind::kFinished, slot, result.to_json());
  }
  void lose(std::uint16_t slot, int signal, bool out_of_memory) {
    say(FrameKind::kSlotLost, slot,
        {{"pid", 1},
         {"signal", signal},
         {"status", 0},
         {"out_of_memory", out_of_memory},
         {"message", "slot " + std::to_string(slot) + " is gone"}});
    say(FrameKind::kReady, slot, {{"pid", 2}});
  }

  void answer(std::uint16_t slot, const Json& request) {
    const auto kind = request.at("kind").get<std::string>();
    const Json id = request.at("id");
    if (kind == "wait") return;
    if (kind == "refuse")
      return say(FrameKind::kReply, slot,
                 {{"id", id}, {"error", {{"code", "not_found"}, {"detail", "no such file"}}}});
    if (kind == "die") return lose(slot, SIGSEGV, false);
    if (kind == "out_of_memory") return lose(slot, SIGKILL, true);
    if (kind == "exit") ::_exit(3);
    if (kind == "unreadable") return say(FrameKind::kReply, slot, {{"ok", 1}});
    say(FrameKind::kReply, slot, {{"id", id}, {"ok", {{"echo", request}, {"slot", slot}}}});
  }

  void cancel(std::uint16_t slot, const Json& payload) {
    if (payload.contains("id"))
      return say(FrameKind::kReply, slot,
                 {{"id", payload.at("id")}, {"error", {{"code", "cancelled"}, {"detail", ""}}}});
    TaskFailure failure;
    failure.attempt = AttemptId::parse(payload.at("attempt").get<std::string>()).value();
    failure.error = Error(Code::kCancelled, "cancelled");
    say(FrameKind::kFailed, slot, failure.to_json());
  }

  std::vector<std::string> arguments_;
  std::string behaviour_;
  FrameReader reader_;
  std::string out_;
  int seen_ = 0;
};

}  // namespace

int run_as_fake_worker(std::vector<std::string> arguments) {
  return FakeWorker(std::move(arguments)).run();
}

}  // namespace polysome

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--supervisor")
    return polysome::run_as_fake_worker({argv + 1, argv + argc});
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
