// Tasks that take too long: run twice when it pays, and named when they stall.
#include "core/stragglers.h"

#include <gmock/gmock.h>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::stage;
using story::TestCore;

SlowTask slow(double age, double median = 1000, double p95 = 1500, double done = 0) {
  return {age, median, p95, done};
}

TEST(Stragglers, PayOnlyFarBeyondTheOthers) {
  EXPECT_FALSE(pays_twice(slow(2'900)));
  EXPECT_TRUE(pays_twice(slow(3'100)));
  EXPECT_FALSE(pays_twice(slow(3'100, 1000, 2'500)));  // one in twenty takes that long
}

TEST(Stragglers, DoNotPayWhenTheFirstIsNearlyThrough) {
  EXPECT_FALSE(pays_twice(slow(10'000, 1000, 1500, 0.95)));
  EXPECT_TRUE(pays_twice(slow(10'000, 1000, 1500, 0.5)));
}

TEST(Stragglers, ShortTasksAreNotWorthIt) { EXPECT_FALSE(pays_twice(slow(1'500, 10, 20))); }

// A stage of `tasks` on two workers of two slots, of which all but the last one, on w1, are done in
// a second each.
class Straggling : public testing::Test {
 protected:
  void run(std::uint32_t tasks, StageKind kind = StageKind::kMap) {
    t.start_cluster(2, 2);
    t.step(t.job('a'));
    Stage scan = stage("scan", tasks);
    scan.kind = kind;
    scan.bytes = 1000ULL * tasks;
    t.plan('a', {scan, final_stage({"scan"})});
    slow_ = t.attempt('a', "scan", 0);
    t.step(TaskStarted{slow_});
    for (std::uint32_t done = 1; done < tasks;) {
      t.now += 1000;
      tell();
      const auto running = t.started;
      for (const auto& s : running) {
        if (s.stage_name != "scan" || s.task.index == 0 || finished_.contains(s.task.index))
          continue;
        finished_.insert(s.task.index);
        t.finish(s.attempt, 1);
        ++done;
      }
    }
  }
  void tell() {
    for (const auto& w : t.ready) t.step(WorkerHeard{w, 1, 1});
  }
  // Until somebody starts a task, at most so long.
  std::vector<StartTask> wait_for_start(MonoTime most = 10'000) {
    for (const MonoTime until = t.now + most; t.now < until;) {
      t.tick();
      if (!t.of<StartTask>().empty()) return t.of<StartTask>();
      tell();
    }
    return {};
  }
  TestCore t;
  AttemptId slow_;
  std::set<std::uint32_t> finished_;
};

TEST_F(Straggling, ASlowTaskIsRunAgainOnAnotherWorker) {
  run(40);
  const auto second = wait_for_start();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].task.index, 0U);
  EXPECT_NE(second[0].worker, t.started[1].worker);
  EXPECT_EQ(second[0].attempt_number, 1);
  EXPECT_EQ(t.core.faults().stragglers_doubled, 1U);
  // And no third time.
  EXPECT_TRUE(wait_for_start(60'000).empty());
}

TEST_F(Straggling, TwentyFinishedTasksAreNeededToJudge) {
  run(20);
  EXPECT_TRUE(wait_for_start(60'000).empty());
}

TEST_F(Straggling, AStageWithOneWriterIsNeverRunTwice) {
  run(40, StageKind::kSingle);
  EXPECT_TRUE(wait_for_start(60'000).empty());
}

TEST_F(Straggling, NobodyIsDoubledWhileOthersWaitForTheSlot) {
  run(40);
  auto b = t.job('b');
  t.step(b);
  t.plan('b', {stage("long", 50), final_stage({"long"})});
  EXPECT_TRUE(wait_for_start(30'000).empty());
}

TEST_F(Straggling, TheFirstToFinishWinsAndTheOtherIsCancelledUncharged) {
  run(40);
  const auto second = wait_for_start();
  ASSERT_EQ(second.size(), 1U);
  t.finish(second[0].attempt);
  ASSERT_EQ(t.of<RecordTask>().size(), 1U);
  EXPECT_EQ(t.of<RecordTask>()[0].attempt, second[0].attempt);
  ASSERT_EQ(t.of<CancelTask>().size(), 1U);
  EXPECT_EQ(t.of<CancelTask>()[0].attempt, slow_);
  EXPECT_EQ(t.core.faults().stragglers_won, 1U);
  EXPECT_EQ(t.started.back().stage_name, "merge");
  // Whatever the loser answers changes nothing.
  t.fail(slow_, Code::kCancelled);
  EXPECT_TRUE(t.view('a').attempts.empty());
  EXPECT_TRUE(t.of<StartTask>().empty());
}

TEST_F(Straggling, ALoserThatHadFinishedTooIsNotRecordedTwice) {
  run(40);
  const auto second = wait_for_start();
  ASSERT_EQ(second.size(), 1U);
  t.finish(second[0].attempt);
  t.finish(slow_);
  EXPECT_TRUE(t.of<RecordTask>().empty());
  t.finish(t.attempt('a', "merge"));
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].status, JobStatus::kCompleted);
}

TEST_F(Straggling, TheFirstMayWinAndTheJobWaitsForTheOthersAnswer) {
  run(40);
  const auto second = wait_for_start();
  ASSERT_EQ(second.size(), 1U);
  t.finish(slow_);
  EXPECT_EQ(t.of<CancelTask>().at(0).attempt, second[0].attempt);
  EXPECT_EQ(t.core.faults().stragglers_won, 0U);
  t.finish(t.attempt('a', "merge"));
  EXPECT_TRUE(t.ended.empty());
  t.fail(second[0].attempt, Code::kCancelled);
  EXPECT_EQ(t.ended.size(), 1U);
}

TEST_F(Straggling, WhenTheFirstIsLostTheSecondGoesOn) {
  run(40);
  const auto second = wait_for_start();
  ASSERT_EQ(second.size(), 1U);
  t.step(WorkerLost{t.started[1].worker, true, "signal 9"});
  EXPECT_TRUE(t.of<StartTask>().empty());
  t.finish(second[0].attempt);
  EXPECT_EQ(t.started.back().stage_name, "merge");
}

TEST_F(Straggling, AFaultOfOneOfTwoIsNotChargedToTheTask) {
  run(40);
  const auto second = wait_for_start();
  ASSERT_EQ(second.size(), 1U);
  t.fail(second[0].attempt, Code::kIo);
  EXPECT_TRUE(t.ended.empty());
  t.fail(slow_, Code::kIo);
  EXPECT_FALSE(wait_for_start().empty());
  EXPECT_EQ(t.started.back().attempt_number, 2);
}

TEST_F(Straggling, AUserErrorOfEitherFailsTheJob) {
  run(40);
  const auto second = wait_for_start();
  ASSERT_EQ(second.size(), 1U);
  t.fail(second[0].attempt, Code::kUserData);
  t.fail(slow_, Code::kCancelled);
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].fault_class, FaultClass::kUser);
}

TEST_F(Straggling, OneThatIsRunTwiceCountsItsBytesOnce) {
  run(40);
  const auto second = wait_for_start();
  ASSERT_EQ(second.size(), 1U);
  const auto before = t.view('a').bytes_done;
  t.step(TaskProgressed{slow_, 300, 0});
  t.step(TaskStarted{second[0].attempt});
  t.step(TaskProgressed{second[0].attempt, 900, 0});
  EXPECT_EQ(t.view('a').bytes_done, before + 300);
  t.step(SlotLost{t.started[1].worker, 0, true, false, "signal 9"});
  EXPECT_EQ(t.view('a').bytes_done, before + 900);
}

TEST_F(Straggling, AStalledTaskIsNamedOnceAndNoLongerWhenItMoves) {
  run(10);
  std::vector<Announce> told;
  for (int i = 0; i < 120; ++i) {
    t.tick();
    for (const auto& a : t.of<Announce>())
      if (a.type == "job.stalled") told.push_back(a);
    tell();
  }
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].data["task"], "scan/0");
  EXPECT_EQ(told[0].data["worker"], "w1");
  ASSERT_TRUE(t.view('a').stall);
  EXPECT_EQ(t.view('a').stall->task, "scan/0");
  EXPECT_THAT(t.view('a').stall->message, testing::HasSubstr("has shown no progress for"));
  t.step(TaskProgressed{slow_, 100, 0});
  EXPECT_FALSE(t.view('a').stall);
}

TEST(Stalls, ATaskAmongTasksThatTakeLongHasNotStalled) {
  TaskDuration hours;
  for (int i = 0; i < 10; ++i) hours.add(3'600'000, 3'600'000);
  EXPECT_EQ(stall_after_ms(hours), 5 * 3'600'000);
  EXPECT_EQ(stall_after_ms(TaskDuration()), 600'000);
}

}  // namespace
}  // namespace polysome::core
