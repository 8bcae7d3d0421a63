#include "executor/local_executor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "base/process.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr seconds kPatience{30};

class LocalExecutorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "polysome-executor-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    make("");
  }
  void TearDown() override {
    executor_.reset();
    std::error_code ec;
    fs::remove_all(folder_, ec);
  }

  void make(const std::string& behaviour,
            const std::string& program = fs::read_symlink("/proc/self/exe").string()) {
    LocalExecutorConfig config;
    config.worker_program = program;
    config.lock_folder = folder_.string();
    if (!behaviour.empty()) config.arguments = {"--behave", behaviour};
    executor_ = std::make_unique<LocalExecutor>(loop_, config, [this](Report r) {
      if (on_report) on_report(r);
      reports_.push_back(std::move(r));
    });
  }
  void start(int slots = 2) {
    executor_->start_worker(kWorker, slots, 1'000'000'000);
    ASSERT_TRUE(next<report::WorkerReady>());
  }
  AttemptId run(const std::string& what, int slot = 0) {
    TaskSpec spec;
    spec.attempt = {1, ++attempts_};
    spec.stage_name = what;
    executor_->start_task(kWorker, slot, spec);
    return spec.attempt;
  }
  // The next report of this kind; others are dropped. Nullopt: it does not come.
  template <class T>
  std::optional<T> next() {
    for (const auto end = Clock::now() + kPatience; Clock::now() < end;) {
      while (!reports_.empty()) {
        const Report r = std::move(reports_.front());
        reports_.pop_front();
        if (const T* found = std::get_if<T>(&r)) return *found;
      }
      loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(100));
    }
    return std::nullopt;
  }

  static constexpr WorkerId kWorker{3};
  boost::asio::io_context loop_;
  fs::path folder_;
  std::deque<Report> reports_;
  std::function<void(const Report&)> on_report;
  std::unique_ptr<LocalExecutor> executor_;
  std::uint64_t attempts_ = 0;
};

TEST_F(LocalExecutorTest, AWorkerIsReadyWhenAllItsSlotsAre) {
  executor_->start_worker(kWorker, 4, 1'000'000'000);
  const auto ready = next<report::WorkerReady>();
  ASSERT_TRUE(ready);
  EXPECT_EQ(ready->worker, kWorker);
  EXPECT_GT(ready->pid, 0);
  run("arguments");
  const auto finished = next<report::TaskFinished>();
  ASSERT_TRUE(finished);
  const auto arguments = finished->result.payload.get<std::vector<std::string>>();
  const std::vector<std::string> expected = {
      "--slots",  "4",  "--memory", "1000000000",
      "--worker", "w3", "--lock",   folder_.string() + "/w3.lock"};
  EXPECT_THAT(arguments, ::testing::IsSupersetOf(expected));
}

TEST_F(LocalExecutorTest, ATaskIsStartedAndFinished) {
  start();
  const auto attempt = run("noop", 1);
  EXPECT_EQ(next<report::TaskStarted>()->attempt, attempt);
  EXPECT_EQ(next<report::TaskFinished>()->result.attempt, attempt);
}

TEST_F(LocalExecutorTest, ProgressLogsAndHealthAreReported) {
  start();
  const auto attempt = run("progress");
  const auto progress = next<report::TaskProgressed>();
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->progress.attempt, attempt);
  EXPECT_EQ(progress->progress.bytes, 7u);
  run("log");
  EXPECT_EQ(next<report::TaskLogged>()->message, "hello");
  run("health");
  const auto heard = next<report::WorkerHeard>();
  ASSERT_TRUE(heard);
  EXPECT_EQ(heard->memory_used, 5u);
  EXPECT_EQ(heard->cpu_percent, 1.5);
}

TEST_F(LocalExecutorTest, TheSlotThatFinishedLastIsAsked) {
  std::vector<Result<Json>> answers;
  const auto ask = [&](const std::string& kind, Json body) {
    return executor_->ask(kind, std::move(body),
                          [&answers](Result<Json> a) { answers.push_back(std::move(a)); });
  };
  const auto wait_for = [&](std::size_t n) {
    for (const auto end = Clock::now() + kPatience; answers.size() < n && Clock::now() < end;) {
      loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(100));
    }
    return answers.size() == n;
  };
  start(3);
  EXPECT_FALSE(ask("echo", {{"n", 1}}));  // no task has finished yet
  run("noop", 1);
  ASSERT_TRUE(next<report::TaskFinished>());
  ASSERT_TRUE(ask("echo", {{"n", 1}}));
  EXPECT_TRUE(answers.empty());
  ASSERT_TRUE(wait_for(1));
  EXPECT_EQ((*answers[0])["slot"], 1);
  EXPECT_EQ((*answers[0])["echo"]["n"], 1);
  ASSERT_TRUE(ask("refuse", Json::object()));
  ASSERT_TRUE(wait_for(2));
  EXPECT_EQ(answers[1].error().code, Code::kNotFound);
  ASSERT_TRUE(ask("out_of_memory", Json::object()));
  ASSERT_TRUE(wait_for(3));
  EXPECT_EQ(answers[2].error().code, Code::kOutOfMemory);
  EXPECT_FALSE(ask("echo", Json::object()));  // its process is another now
  run("noop", 2);
  ASSERT_TRUE(next<report::TaskFinished>());
  ASSERT_TRUE(ask("exit", Json::object()));
  ASSERT_TRUE(wait_for(4));
  EXPECT_EQ(answers[3].error().code, Code::kInternal);
  EXPECT_FALSE(ask("echo", Json::object()));
}

TEST_F(LocalExecutorTest, ACancelReachesTheAttempt) {
  start();
  const auto attempt = run("wait");
  executor_->cancel_task(kWorker, 0, attempt);
  const auto failed = next<report::TaskFailed>();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->failure.attempt, attempt);
  EXPECT_EQ(failed->failure.error.code, Code::kCancelled);
}

TEST_F(LocalExecutorTest, ALostSlotTellsWhoIsToBlame) {
  start();
  run("slot_killed", 1);
  auto lost = next<report::SlotLost>();
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->slot, 1);
  EXPECT_TRUE(lost->by_kill);
  EXPECT_FALSE(lost->out_of_memory);
  run("slot_crashed");
  lost = next<report::SlotLost>();
  EXPECT_FALSE(lost->by_kill);
  run("slot_out_of_memory");
  lost = next<report::SlotLost>();
  EXPECT_TRUE(lost->by_kill);
  EXPECT_TRUE(lost->out_of_memory);
  EXPECT_THAT(lost->message, HasSubstr("slot 0"));
}

TEST_F(LocalExecutorTest, ALossIsConfirmedBeforeTheSinkSendsAnew) {
  start();
  on_report = [this](const Report& r) {
    if (std::holds_alternative<report::SlotLost>(r)) run("seen");
  };
  run("slot_killed");
  const auto finished = next<report::TaskFinished>();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->result.payload, 1);
}

TEST_F(LocalExecutorTest, AKilledWorkerIsLostByKill) {
  start();
  run("kill");
  const auto lost = next<report::WorkerLost>();
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->worker, kWorker);
  EXPECT_TRUE(lost->by_kill);
}

TEST_F(LocalExecutorTest, AWorkerThatCrashesOrGivesUpIsLostByItsOwnFault) {
  start();
  run("abort");
  auto lost = next<report::WorkerLost>();
  ASSERT_TRUE(lost);
  EXPECT_FALSE(lost->by_kill);
  start();
  run("exit");
  lost = next<report::WorkerLost>();
  ASSERT_TRUE(lost);
  EXPECT_FALSE(lost->by_kill);
  EXPECT_THAT(lost->message, HasSubstr("status 5"));
}

TEST_F(LocalExecutorTest, AWorkerThatSendsNonsenseIsKilledAndLostByItsOwnFault) {
  for (const char* what : {"malformed", "unreadable"}) {
    start();
    run(what);
    const auto lost = next<report::WorkerLost>();
    ASSERT_TRUE(lost) << what;
    EXPECT_FALSE(lost->by_kill) << what;
    EXPECT_THAT(lost->message, HasSubstr("w3 sent")) << what;
  }
}

TEST_F(LocalExecutorTest, WhatAWorkerSaidBeforeItsEndIsHeardBeforeItsEnd) {
  start();
  run("last_words");
  bool lost_first = false, lost = false;
  on_report = [&](const Report& r) {
    lost = lost || std::holds_alternative<report::WorkerLost>(r);
    if (std::holds_alternative<report::TaskFinished>(r)) lost_first = lost;
  };
  EXPECT_TRUE(next<report::TaskFinished>());
  EXPECT_TRUE(next<report::WorkerLost>());
  EXPECT_FALSE(lost_first);
}

TEST_F(LocalExecutorTest, AStoppedWorkerEndsAndBlamesNobody) {
  for (const bool force : {false, true}) {
    start();
    executor_->stop_worker(kWorker, force);
    const auto lost = next<report::WorkerLost>();
    ASSERT_TRUE(lost);
    EXPECT_TRUE(lost->by_kill);
  }
}

TEST_F(LocalExecutorTest, AWorkerThatIgnoresAForcedStopIsKilled) {
  make("stay");
  start();
  executor_->stop_worker(kWorker, true);
  const auto lost = next<report::WorkerLost>();
  ASSERT_TRUE(lost);
  EXPECT_THAT(lost->message, HasSubstr("signal 9"));
}

TEST_F(LocalExecutorTest, AWorkerThatCannotStartIsLost) {
  make("", "/nonexistent/polysome-worker");
  executor_->start_worker(kWorker, 1, 1);
  EXPECT_TRUE(reports_.empty()) << "told from within the call";
  auto lost = next<report::WorkerLost>();
  ASSERT_TRUE(lost);
  EXPECT_THAT(lost->message, HasSubstr("/nonexistent/polysome-worker"));
  make("exit");
  executor_->start_worker(kWorker, 1, 1);
  lost = next<report::WorkerLost>();
  ASSERT_TRUE(lost);
  EXPECT_THAT(lost->message, HasSubstr("status 9"));
}

TEST_F(LocalExecutorTest, AWorkerOfAnotherVersionIsRefused) {
  make("old");
  executor_->start_worker(kWorker, 1, 1);
  const auto lost = next<report::WorkerLost>();
  ASSERT_TRUE(lost);
  EXPECT_FALSE(lost->by_kill);
  EXPECT_THAT(lost->message, HasSubstr("0.0.1"));
}

TEST_F(LocalExecutorTest, TheEnvironmentOfTheServiceStaysWithIt) {
  ::setenv("POLYSOME_TEST_SECRET", "s3cret", 1);
  start();
  run("environment");
  const auto finished = next<report::TaskFinished>();
  ::unsetenv("POLYSOME_TEST_SECRET");
  ASSERT_TRUE(finished);
  const std::string text = dump(finished->result.payload);
  EXPECT_THAT(text, HasSubstr("PATH="));
  EXPECT_THAT(text, HasSubstr("OPENBLAS_NUM_THREADS=1"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("s3cret")));
}

TEST_F(LocalExecutorTest, ItsEndEndsItsWorkers) {
  for (const char* behaviour : {"", "linger"}) {
    make(behaviour);
    executor_->start_worker(kWorker, 1, 1);
    const auto ready = next<report::WorkerReady>();
    ASSERT_TRUE(ready);
    EXPECT_TRUE(process_times(ready->pid));
    executor_.reset();
    EXPECT_FALSE(process_times(ready->pid)) << behaviour;
  }
}

TEST_F(LocalExecutorTest, AHundredThousandFramesComeBack) {
#ifdef POLYSOME_SANITIZED
  constexpr std::uint64_t kTasks = 2'000;
#else
  constexpr std::uint64_t kTasks = 100'000;
#endif
  constexpr int kSlots = 8, kWindow = 5;
  std::uint64_t finished = 0;
  on_report = [&](const Report& r) {
    if (!std::holds_alternative<report::TaskFinished>(r)) return;
    if (attempts_ < kTasks) run("noop", static_cast<int>(attempts_ % kSlots));
    if (++finished == kTasks) executor_->stop_worker(kWorker, true);
  };
  start(kSlots);
  const auto began = Clock::now();
  for (int i = 0; i < kSlots * kWindow; ++i) run("noop", i % kSlots);
  EXPECT_TRUE(next<report::WorkerLost>());
  EXPECT_EQ(finished, kTasks);
  const double elapsed = std::chrono::duration<double>(Clock::now() - began).count();
  std::printf("[ tasks    ] %.0f tasks/s through one socket\n",
              static_cast<double>(kTasks) / elapsed);
}

// A process that holds a worker's lock, and the lock file says so (or names somebody else).
class LockHolder {
 public:
  LockHolder(const fs::path& lock, bool own_start_time) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT, 0644);
      if (::flock(fd, LOCK_EX) != 0) ::_exit(1);
      const auto start = process_times(::getpid())->start_ticks + (own_start_time ? 0 : 1);
      ::dprintf(fd, "%d %llu\n", ::getpid(), static_cast<unsigned long long>(start));
      (void)!::write(ready[1], "x", 1);
      for (;;) ::pause();
    }
    char c = 0;
    EXPECT_EQ(::read(ready[0], &c, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~LockHolder() { end(); }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  bool alive() const {
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid == 0;
  }

 private:
  pid_t pid_ = -1;
};

TEST(Fence, LetsPassWhenNobodyIsThere) {
  EXPECT_TRUE(LocalExecutor::fence("/nonexistent/workers"));
}

class FenceTest : public LocalExecutorTest {};

TEST_F(FenceTest, LocksThatNobodyHoldsAreCleanedUp) {
  std::ofstream(folder_ / "w1.lock") << "1234 5678\n";
  EXPECT_TRUE(LocalExecutor::fence(folder_.string()));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(FenceTest, WaitsForAWorkerThatEndsByItself) {
  LockHolder holder(folder_ / "w1.lock", true);
  std::thread ender([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    holder.end();
  });
  EXPECT_TRUE(LocalExecutor::fence(folder_.string()));
  ender.join();
}

TEST_F(FenceTest, KillsAWorkerThatStays) {
  const LockHolder holder(folder_ / "w1.lock", true);
  EXPECT_TRUE(LocalExecutor::fence(folder_.string()));
  EXPECT_FALSE(holder.alive());
}

TEST_F(FenceTest, NeverKillsAProcessThatOnlyHasThePid) {
  const LockHolder holder(folder_ / "w1.lock", false);
  const auto fenced = LocalExecutor::fence(folder_.string());
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, Code::kUnavailable);
  EXPECT_THAT(fenced.error().message, HasSubstr("w1.lock"));
  EXPECT_TRUE(holder.alive());
}

}  // namespace
}  // namespace polysome
