// The real supervisor and slot processes, over the real socket.
#include "worker/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/process.h"
#include "data/manifest.h"
#include "worker/sandbox.h"
#include "worker/test_worker.h"
#include "worker/worker_lock.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;
using test::Clock;
using test::eventually;
using test::gone;
using test::milliseconds;
using test::Received;
using test::seconds;
using test::Worker;
using ::testing::HasSubstr;

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "polysome-worker-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    std::error_code ec;
    fs::remove_all(folder_, ec);
  }
  WorkerOptions options(int slots = 1) const {
    WorkerOptions o;
    o.slots = slots;
    o.worker = "w3";
    o.scratch = (folder_ / "scratch").string();
    return o;
  }
  fs::path folder_;
};

TEST_F(SupervisorTest, SaysHelloThenReadyThenHealth) {
  Worker worker(options(2));
  const auto hello = worker.next(FrameKind::kHello);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->payload.at("pid"), worker.pid());
  EXPECT_EQ(hello->payload.at("version"), POLYSOME_VERSION);
  EXPECT_EQ(hello->payload.at("slots"), 2);
  worker.up();
  EXPECT_NE(worker.slot_pid(0), worker.slot_pid(1));
  const auto health = worker.next(FrameKind::kHealth);
  ASSERT_TRUE(health);
  ASSERT_EQ(health->payload.at("slots").size(), 2u);
  EXPECT_GT(health->payload.at("slots")[0].at("rss").get<std::uint64_t>(), 100'000u);
  EXPECT_GT(health->payload.at("memory").get<std::uint64_t>(), 100'000u);
}

TEST_F(SupervisorTest, ATaskIsStartedAndFinished) {
  Worker worker(options());
  worker.up();
  const auto attempt = worker.start("noop");
  EXPECT_EQ(worker.next(FrameKind::kStarted)->payload.at("attempt"), attempt.text());
  const auto result = TaskResult::from_json(worker.next(FrameKind::kFinished)->payload);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->attempt, attempt);
  EXPECT_FALSE(result->manifest);
  EXPECT_GT(result->peak_memory, 100'000u);
}

TEST_F(SupervisorTest, ALongTasksStartIsToldWhileItRuns) {
  Worker worker(options());
  worker.up();
  // Behind short ones, so that its frame shares their write.
  for (int i = 0; i < 3; ++i) worker.start("noop");
  const auto attempt = worker.start("progress");
  EXPECT_TRUE(worker.until([&](Received& r) {
    return r.frame.kind == FrameKind::kStarted && r.payload.at("attempt") == attempt.text();
  }));
  const auto progress = TaskProgress::from_json(worker.next(FrameKind::kProgress)->payload);
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->attempt, attempt);
  EXPECT_GT(progress->bytes, 0u);
  EXPECT_GT(progress->memory, 100'000u);
}

TEST_F(SupervisorTest, WhatATaskThrowsIsItsFailureAndTheSlotLives) {
  Worker worker(options());
  worker.up();
  const auto failure_of = [&](const std::string& what) {
    worker.start(what);
    return TaskFailure::from_json(worker.next(FrameKind::kFailed)->payload).value();
  };
  EXPECT_EQ(failure_of("throw").error.code, Code::kInternal);
  EXPECT_THAT(failure_of("throw").error.message, HasSubstr("thrown by the task"));
  EXPECT_EQ(failure_of("throw_int").error.code, Code::kInternal);
  EXPECT_THAT(failure_of("huge").error.message, HasSubstr("at most"));
  const auto user = failure_of("user_data");
  EXPECT_EQ(user.error.code, Code::kUserData);
  EXPECT_EQ(user.error.hint, "look at it");
  worker.send(FrameKind::kStart, 0, Json{{"attempt", "1-99"}, {"job", 7}});
  EXPECT_EQ(worker.next(FrameKind::kFailed)->payload.at("attempt"), "1-99");
  EXPECT_FALSE(gone(worker.slot_pid(0)));
}

TEST_F(SupervisorTest, OutputsArePublishedAndASecondAttemptReportsTheFirst) {
  Worker worker(options());
  worker.job_folder = (folder_ / "job").string();
  worker.up();
  worker.start("write");
  const auto first = TaskResult::from_json(worker.next(FrameKind::kFinished)->payload).value();
  EXPECT_TRUE(first.manifest);
  EXPECT_EQ(first.bytes_out, 4u);
  const auto attempt = worker.start("write");
  const auto second = TaskResult::from_json(worker.next(FrameKind::kFinished)->payload).value();
  EXPECT_EQ(second.attempt, attempt);
  EXPECT_TRUE(second.manifest);
  EXPECT_EQ(second.rows, first.rows);
  const auto manifest = read_manifest(folder_ / "job" / "write", 0, true);
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->attempt, first.attempt);
  EXPECT_EQ(manifest->result.peak_memory, first.peak_memory);
}

TEST_F(SupervisorTest, AFailedTaskLeavesNoFiles) {
  Worker worker(options());
  worker.job_folder = (folder_ / "job").string();
  worker.up();
  worker.start("partial");
  ASSERT_TRUE(worker.next(FrameKind::kFailed));
  EXPECT_TRUE(fs::is_empty(folder_ / "job" / "partial"));
}

TEST_F(SupervisorTest, ATaskBeyondItsGrantFailsForMemoryAndTheNextOneRuns) {
#ifdef POLYSOME_SANITIZED
  GTEST_SKIP() << "sanitizers set no memory limit";
#endif
  Worker worker(options());
  worker.up();
  worker.start("allocate", 0, 100'000'000);
  const auto failure = TaskFailure::from_json(worker.next(FrameKind::kFailed)->payload).value();
  EXPECT_EQ(failure.error.code, Code::kOutOfMemory);
  EXPECT_THAT(failure.error.message, HasSubstr("100MB"));
  EXPECT_GT(failure.peak_memory, 60'000'000u);
  worker.start("noop", 0, 100'000'000);
  const auto small = TaskResult::from_json(worker.next(FrameKind::kFinished)->payload).value();
  EXPECT_LT(small.peak_memory, failure.peak_memory);
  worker.start("allocate", 0, 600'000'000);
  const auto large = TaskResult::from_json(worker.next(FrameKind::kFinished)->payload).value();
  EXPECT_GT(large.peak_memory, 300'000'000u);
}

TEST_F(SupervisorTest, ATasksPeakIsItsOwn) {
#ifdef POLYSOME_SANITIZED
  GTEST_SKIP() << "sanitizers keep what is freed";
#endif
  Worker worker(options());
  worker.up();
  worker.start("allocate");
  const auto large = worker.next(FrameKind::kFinished);
  ASSERT_TRUE(large);
  EXPECT_GT(large->payload.at("peak_memory"), 300'000'000U);
  EXPECT_LT(large->payload.at("peak_memory"), 450'000'000U);
  worker.start("nothing");
  const auto small = worker.next(FrameKind::kFinished);
  ASSERT_TRUE(small);
  EXPECT_LT(small->payload.at("peak_memory"), 150'000'000U)
      << "also of a task of a moment, right after a large one";
}

TEST_F(SupervisorTest, CpuSecondsAreThoseOfAllThreadsAlsoOfFailedAttempts) {
  Worker worker(options());
  worker.up();
  worker.start("burn");
  const auto finished = worker.next(FrameKind::kFinished);
  ASSERT_TRUE(finished);
  EXPECT_NEAR(finished->payload.at("cpu_seconds").get<double>(), 0.4, 0.04);
  worker.start("burn_and_fail");
  const auto failed = worker.next(FrameKind::kFailed);
  ASSERT_TRUE(failed);
  EXPECT_NEAR(failed->payload.at("cpu_seconds").get<double>(), 0.4, 0.04);
}

TEST_F(SupervisorTest, ALostSlotTellsWhatItsAttemptHadUsed) {
  Worker worker(options());
  worker.up();
  worker.start("burn");
  ASSERT_TRUE(worker.next(FrameKind::kFinished));
  worker.start("allocate_and_crash");
  const auto lost = worker.next(FrameKind::kSlotLost);
  ASSERT_TRUE(lost);
  EXPECT_GT(lost->payload.at("peak_memory"), 200'000'000U);
  // Filling the memory takes its time too; what the task before used is not counted.
  EXPECT_GT(lost->payload.at("cpu_seconds").get<double>(), 0.39);
#ifndef POLYSOME_SANITIZED
  EXPECT_LT(lost->payload.at("cpu_seconds").get<double>(), 0.75);
#endif
}

TEST_F(SupervisorTest, WhatATaskNeedsIsTold) {
  Worker worker(options());
  worker.up();
  worker.start("needs");
  const auto failed = worker.next(FrameKind::kFailed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->payload.at("needed_memory"), 123'456U);
}

TEST_F(SupervisorTest, ALongTaskTellsWhatItUsesThoughItReadsNothing) {
  Worker worker(options());
  worker.up();
  const auto attempt = worker.start("stuck");
  const auto progress = worker.next(FrameKind::kProgress);
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->payload.at("attempt"), attempt.text());
  EXPECT_GT(progress->payload.at("memory"), 1'000'000U);
}

TEST_F(SupervisorTest, AKilledSlotIsToldAndReplaced) {
  Worker worker(options(2));
  worker.up();
  const pid_t victim = worker.slot_pid(1), other = worker.slot_pid(0);
  worker.start("stuck", 1);
  ASSERT_TRUE(worker.next(FrameKind::kStarted, 1));
  ::kill(victim, SIGKILL);
  const auto lost = worker.next(FrameKind::kSlotLost);
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->frame.slot, 1);
  EXPECT_EQ(lost->payload.at("pid"), victim);
  EXPECT_EQ(lost->payload.at("signal"), SIGKILL);
  EXPECT_EQ(lost->payload.at("out_of_memory"), false);
  ASSERT_TRUE(worker.next(FrameKind::kReady, 1));
  EXPECT_NE(worker.slot_pid(1), victim);
  worker.send(FrameKind::kSlotSeen, 1, Json::object());
  worker.start("noop", 1);
  EXPECT_TRUE(worker.next(FrameKind::kFinished, 1));
  EXPECT_FALSE(gone(other));
}

TEST_F(SupervisorTest, WorkForADeadSlotIsDroppedUntilItsLossIsSeen) {
  Worker worker(options());
  worker.up();
  worker.start("exit");
  const auto lost = worker.next(FrameKind::kSlotLost);
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->payload.at("status"), 9);
  worker.start("noop");  // sent before the loss was seen, as far as the supervisor can know
  worker.send(FrameKind::kSlotSeen, 0, Json::object());
  const auto after = worker.start("noop");
  EXPECT_EQ(worker.next(FrameKind::kFinished)->payload.at("attempt"), after.text());
}

TEST_F(SupervisorTest, ACrashNamesItsSignal) {
  Worker worker(options());
  worker.up();
  worker.start("crash");
  const auto lost = worker.next(FrameKind::kSlotLost);
  ASSERT_TRUE(lost);
#ifndef POLYSOME_SANITIZED  // they turn the signal into an exit
  EXPECT_EQ(lost->payload.at("signal"), SIGSEGV);
#endif
  EXPECT_THAT(lost->payload.at("message").get<std::string>(), HasSubstr("slot 0 of w3"));
}

TEST_F(SupervisorTest, ABadAllocInALibrarysThreadIsToldAsMemory) {
  Worker worker(options());
  worker.up();
  worker.start("memory_in_thread");
  const auto lost = worker.next(FrameKind::kSlotLost);
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->payload.at("out_of_memory"), true);
}

TEST_F(SupervisorTest, ACancelInterruptsTheRunningTask) {
  Worker worker(options());
  worker.up();
  const auto attempt = worker.start("interrupt");
  ASSERT_TRUE(worker.next(FrameKind::kStarted));
  worker.send(FrameKind::kCancel, 0, Json{{"attempt", attempt.text()}});
  const auto failure = TaskFailure::from_json(worker.next(FrameKind::kFailed)->payload).value();
  EXPECT_EQ(failure.attempt, attempt);
  EXPECT_EQ(failure.error.code, Code::kCancelled);
  EXPECT_FALSE(gone(worker.slot_pid(0)));
}

TEST_F(SupervisorTest, ACancelDropsAQueuedTaskOnly) {
  Worker worker(options());
  worker.up();
  const auto running = worker.start("progress");
  const auto queued = worker.start("noop");
  const auto last = worker.start("noop");
  worker.send(FrameKind::kCancel, 0, Json{{"attempt", queued.text()}});
  EXPECT_EQ(worker.next(FrameKind::kFailed)->payload.at("attempt"), queued.text());
  worker.send(FrameKind::kCancel, 0, Json{{"attempt", running.text()}});
  EXPECT_EQ(worker.next(FrameKind::kFailed)->payload.at("attempt"), running.text());
  EXPECT_EQ(worker.next(FrameKind::kFinished)->payload.at("attempt"), last.text());
}

TEST_F(SupervisorTest, ATaskThatDoesNotObeyACancelIsKilledWithinASecondAndNobodyElse) {
  Worker worker(options(2));
  worker.up();
  const pid_t other = worker.slot_pid(0), stuck = worker.slot_pid(1);
  const auto attempt = worker.start("stuck", 1);
  ASSERT_TRUE(worker.next(FrameKind::kStarted));
  const auto asked = Clock::now();
  worker.send(FrameKind::kCancel, 1, Json{{"attempt", attempt.text()}});
  const auto lost = worker.next(FrameKind::kSlotLost);
  ASSERT_TRUE(lost);
  EXPECT_LT(Clock::now() - asked, seconds(1));
  EXPECT_GE(Clock::now() - asked, milliseconds(500));
  EXPECT_EQ(lost->payload.at("signal"), SIGKILL);
  EXPECT_THAT(lost->payload.at("message").get<std::string>(), HasSubstr("cancel"));
  EXPECT_TRUE(gone(stuck));
  EXPECT_FALSE(gone(other));
  ASSERT_TRUE(worker.next(FrameKind::kReady, 1));
}

TEST_F(SupervisorTest, ASlotThatWasDeafBeforeItsTaskBeganIsKilledForItsCancel) {
  Worker worker(options(1));
  worker.up();
  const pid_t deaf = worker.slot_pid(0);
  ASSERT_EQ(::kill(deaf, SIGSTOP), 0);
  const auto attempt = worker.start("noop", 0);
  worker.send(FrameKind::kCancel, 0, Json{{"attempt", attempt.text()}});
  const auto lost = worker.next(FrameKind::kSlotLost);
  ASSERT_TRUE(lost);
  EXPECT_THAT(lost->payload.at("message").get<std::string>(), HasSubstr("cancel"));
  EXPECT_TRUE(gone(deaf));
  ASSERT_TRUE(worker.next(FrameKind::kReady, 0));
}

TEST_F(SupervisorTest, ACancelOfAnEndedTaskHarmsNobody) {
  Worker worker(options());
  worker.up();
  const auto attempt = worker.start("noop");
  ASSERT_TRUE(worker.next(FrameKind::kFinished));
  worker.start("progress");
  worker.send(FrameKind::kCancel, 0, Json{{"attempt", attempt.text()}});
  // Three health reports later its time is over.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(worker.next(FrameKind::kHealth));
  EXPECT_FALSE(gone(worker.slot_pid(0)));
}

TEST_F(SupervisorTest, RequestsAreAnswered) {
  Worker worker(options());
  worker.up();
  worker.send(FrameKind::kRequest, 0, Json{{"id", 7}, {"kind", "inspect"}});
  const auto reply = worker.next(FrameKind::kReply);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->payload.at("id"), 7);
  EXPECT_EQ(reply->payload.at("ok").at("echo").at("kind"), "inspect");
  worker.send(FrameKind::kRequest, 0, Json{{"id", 8}, {"kind", "refused"}});
  EXPECT_EQ(worker.next(FrameKind::kReply)->payload.at("error").at("code"), "not_found");
}

TEST_F(SupervisorTest, ARequestThatDoesNotObeyACancelIsKilled) {
  Worker worker(options());
  worker.up();
  const auto sign = folder_ / "running";
  worker.send(FrameKind::kRequest, 0, Json{{"id", 9}, {"kind", "stuck"}, {"sign", sign.string()}});
  ASSERT_TRUE(eventually([&] { return fs::exists(sign); }));
  worker.send(FrameKind::kCancel, 0, Json{{"id", 9}});
  const auto lost = worker.next(FrameKind::kSlotLost);
  ASSERT_TRUE(lost);
  EXPECT_THAT(lost->payload.at("message").get<std::string>(), HasSubstr("request 9"));
}

TEST_F(SupervisorTest, WhenTheServiceGoesNobodyStays) {
  Worker worker(options(2));
  worker.up();
  worker.start("stuck");
  ASSERT_TRUE(worker.next(FrameKind::kStarted));
  const pid_t supervisor = worker.pid();
  const auto slots = worker.slot_pids();
  worker.close();
  EXPECT_TRUE(
      eventually([&] { return gone(supervisor) && gone(slots[0]) && gone(slots[1]); }, seconds(1)));
  EXPECT_EQ(worker.wait(), 0);
  EXPECT_TRUE(fs::is_empty(folder_ / "scratch"));
}

TEST_F(SupervisorTest, WhenTheSupervisorIsKilledItsSlotsGo) {
  Worker worker(options(2));
  worker.up();
  worker.start("stuck");
  ASSERT_TRUE(worker.next(FrameKind::kStarted));
  const auto slots = worker.slot_pids();
  ::kill(worker.pid(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return gone(slots[0]) && gone(slots[1]); }, seconds(1)));
}

TEST_F(SupervisorTest, AGracefulShutdownLetsTheRunningTaskEnd) {
  Worker worker(options(2));
  worker.up();
  const auto running = worker.start("interrupt");
  ASSERT_TRUE(worker.next(FrameKind::kStarted));
  worker.start("noop");
  worker.send(FrameKind::kShutdown, kNoSlot, Json{{"force", false}});
  EXPECT_TRUE(eventually([&] { return gone(worker.slot_pid(1)); }));
  EXPECT_FALSE(gone(worker.slot_pid(0)));
  worker.send(FrameKind::kCancel, 0, Json{{"attempt", running.text()}});
  EXPECT_EQ(worker.next(FrameKind::kFailed)->payload.at("attempt"), running.text());
  EXPECT_EQ(worker.wait(), 0);
  EXPECT_TRUE(fs::is_empty(folder_ / "scratch"));
}

TEST_F(SupervisorTest, AForcedShutdownEndsAtOnce) {
  Worker worker(options());
  worker.up();
  worker.start("stuck");
  ASSERT_TRUE(worker.next(FrameKind::kStarted));
  worker.send(FrameKind::kShutdown, kNoSlot, Json{{"force", true}});
  EXPECT_EQ(worker.wait(), 0);
  EXPECT_TRUE(gone(worker.slot_pid(0)));
}

TEST_F(SupervisorTest, MalformedFramesEndIt) {
  Worker worker(options());
  worker.up();
  worker.write_raw("this is no frame at all");
  const int status = worker.wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kExitBadFrames);
  EXPECT_TRUE(gone(worker.slot_pid(0)));
}

TEST_F(SupervisorTest, ItsLockIsHeldWhileItLivesAndNamesIt) {
  auto o = options();
  o.lock_file = (folder_ / "w3.lock").string();
  Worker worker(o);
  worker.up();
  const auto second = take_worker_lock(o.lock_file);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict);
  std::ifstream file(o.lock_file);
  pid_t pid = 0;
  std::uint64_t start = 0;
  file >> pid >> start;
  EXPECT_EQ(pid, worker.pid());
  EXPECT_EQ(start, process_times(pid)->start_ticks);
  Worker rival(o);
  const int status = rival.wait();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kExitLocked);
  worker.close();
  worker.wait();
  EXPECT_TRUE(take_worker_lock(o.lock_file));
}

TEST_F(SupervisorTest, ASlotReadsItsDataAndWritesItsWorkAndNothingElse) {
  if (!sandbox_available()) GTEST_SKIP() << "this kernel has no Landlock";
  for (const char* name : {"data", "work", "state"}) {
    fs::create_directories(folder_ / name);
    std::ofstream(folder_ / name / "x") << "x";
  }
  auto o = options();
  o.read = {(folder_ / "data").string(), (folder_ / "absent").string()};
  o.write = {(folder_ / "work").string()};
  Worker worker(o);
  worker.job_folder = folder_.string();
  worker.up();
  worker.start("forbidden");
  const auto finished = worker.next(FrameKind::kFinished);
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->payload.at("payload"), (Json{{"read_data", true},
                                                   {"write_data", false},
                                                   {"write_work", true},
                                                   {"write_scratch", true},
                                                   {"read_state", false},
                                                   {"read_usr", true}}));
}

TEST_F(SupervisorTest, AHundredThousandTasksAllComeBackOnce) {
#ifdef POLYSOME_SANITIZED
  constexpr std::uint64_t kTasks = 5'000;
#else
  constexpr std::uint64_t kTasks = 100'000;
#endif
  constexpr int kSlots = 2, kWindow = 5;
  Worker worker(options(kSlots));
  worker.up();
  const auto began = Clock::now();
  std::uint64_t sent = 0, started = 0, finished = 0;
  TaskSpec spec = worker.spec("noop", 1'000'000'000);
  const auto send_one = [&](int slot) {
    if (sent == kTasks) return;
    spec.attempt = {2, ++sent};
    worker.queue(FrameKind::kStart, slot, dump(spec.to_json()));
  };
  for (int i = 0; i < kSlots * kWindow; ++i) send_one(i % kSlots);
  worker.flush();
  std::vector<bool> seen(kTasks + 1);
  EXPECT_TRUE(worker.until([&](Received& r) {
    if (r.frame.kind == FrameKind::kStarted) ++started;
    if (r.frame.kind != FrameKind::kFinished) return false;
    const auto attempt = AttemptId::parse(r.payload.at("attempt").get<std::string>());
    EXPECT_FALSE(seen.at(attempt->n)) << "came back twice";
    seen.at(attempt->n) = true;
    send_one(r.frame.slot);
    // Answers that arrived together are answered together.
    if (++finished % kWindow == 0 || sent == kTasks) worker.flush();
    return finished == kTasks;
  }));
  EXPECT_EQ(started, kTasks);
  const double elapsed = std::chrono::duration<double>(Clock::now() - began).count();
  std::printf("[ tasks    ] %.0f tasks/s through a supervisor with %d slots\n",
              static_cast<double>(kTasks) / elapsed, kSlots);
}

}  // namespace
}  // namespace polysome
