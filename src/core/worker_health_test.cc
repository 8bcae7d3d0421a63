// Which faults are held against a worker, and what follows.
#include "core/worker_health.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::stage;
using story::TestCore;

// A job with many tasks that keep every slot busy.
void busy(TestCore& t, int max_attempts = 10) {
  auto a = t.job('a');
  a.limits.max_attempts = max_attempts;
  t.step(a);
  t.plan('a', {stage("scan", 400), final_stage({"scan"})});
}

WorkerView worker(const TestCore& t, WorkerId id) {
  for (const auto& w : t.core.cluster().workers)
    if (w.id == id) return w;
  return {};
}

// The attempt that runs on a worker.
AttemptId on(const TestCore& t, WorkerId id) {
  for (auto it = t.started.rbegin(); it != t.started.rend(); ++it)
    if (it->worker == id) return it->attempt;
  return {};
}

void tell(TestCore& t) {
  for (const auto& w : t.core.cluster().workers) t.step(WorkerHeard{w.id, 1, 1});
}

// Lets time pass as it does in life: nobody is silent. Answers attempts taken back.
void pass(TestCore& t, MonoTime ms) {
  for (const MonoTime until = t.now + ms; t.now < until;) {
    t.now = std::min(until, std::min(t.core.next_deadline().value_or(until), t.now + 1000));
    t.step(Tick{});
    tell(t);
  }
}

void crash(TestCore& t, WorkerId id) { t.step(SlotLost{id, 0, false, false, "signal 11"}); }

// Everything that is said about workers in a step.
std::vector<std::string> said(const TestCore& t) {
  std::vector<std::string> types;
  for (const auto& a : t.of<Announce>()) types.push_back(a.type);
  return types;
}

TEST(WorkerHealth, OnlyFaultsThatMayBeTheWorkersOwnWeigh) {
  EXPECT_GT(weight_of(FaultClass::kWorkerLost, false), 0);  // crash of a slot by its own signal
  EXPECT_GT(weight_of(FaultClass::kIo, false), 0);
  EXPECT_GT(weight_of(FaultClass::kTimeout, false), 0);
  EXPECT_EQ(weight_of(FaultClass::kUser, false), 0);
  EXPECT_EQ(weight_of(FaultClass::kOutOfMemory, false), 0);
  EXPECT_EQ(weight_of(FaultClass::kInternal, false), 0);
  EXPECT_EQ(weight_of(FaultClass::kWorkerLost, true), 0);  // killed from outside
}

TEST(WorkerHealth, AScoreHalvesInTenMinutes) {
  WorkerHealth health;
  health.add(4, 0);
  EXPECT_DOUBLE_EQ(health.score_at(600'000), 2);
  health.add(1, 600'000);
  EXPECT_DOUBLE_EQ(health.score_at(600'000), 3);
}

TEST(WorkerHealth, ExclusionsDoubleUpToHalfAnHour) {
  EXPECT_EQ(exclusion_ms(1), 60'000);
  EXPECT_EQ(exclusion_ms(2), 120'000);
  EXPECT_EQ(exclusion_ms(9), 1'800'000);
}

TEST(WorkerHealth, AWorkerOnWhichSlotsCrashIsExcludedAndSaysWhy) {
  TestCore t;
  t.start_cluster(3, 1);
  busy(t);
  for (int i = 0; i < 2; ++i) crash(t, t.ready[1]);
  EXPECT_EQ(worker(t, t.ready[1]).status, "busy");
  crash(t, t.ready[1]);
  EXPECT_EQ(worker(t, t.ready[1]).status, "excluded");
  EXPECT_THAT(worker(t, t.ready[1]).reason, testing::HasSubstr("3 crashes or losses of slots"));
  EXPECT_THAT(said(t), testing::Contains("worker.excluded"));
  EXPECT_EQ(t.core.faults().exclusions, 1U);
  EXPECT_EQ(t.core.faults().slots_lost, 3U);
  EXPECT_THAT(worker(t, t.ready[1]).faults,
              testing::ElementsAre(std::pair(FaultClass::kWorkerLost, 3U)));
  // It gets nothing more.
  const std::size_t before = t.started.size();
  for (int i = 0; i < 20; ++i) t.finish(on(t, t.ready[0]));
  for (std::size_t i = before; i < t.started.size(); ++i)
    EXPECT_NE(t.started[i].worker, t.ready[1]);
}

TEST(WorkerHealth, UserErrorsMemoryAndKillsExcludeNobody) {
  TestCore t;
  t.start_cluster(3, 1);
  busy(t);
  for (int i = 0; i < 10; ++i) {
    t.step(SlotLost{t.ready[1], 0, true, false, "signal 9"});
    t.fail(on(t, t.ready[1]), Code::kOutOfMemory);
    ASSERT_EQ(worker(t, t.ready[1]).score, 0);
    if (!t.ended.empty()) break;
  }
}

TEST(WorkerHealth, ATaskThatFailsAgainAndAgainOnAWorkerIsHeldAgainstItOnce) {
  TestCore t;
  t.start_cluster(2, 1);
  auto a = t.job('a');
  a.limits.max_attempts = 10;
  t.step(a);
  t.plan('a', {stage("scan", 1), final_stage({"scan"})});
  for (int i = 0; i < 8; ++i) {
    const std::size_t started = t.started.size();
    t.fail(t.attempt('a', "scan"), Code::kIo);
    while (t.started.size() == started) pass(t, 1000);
  }
  for (const auto& w : t.core.cluster().workers) EXPECT_LE(w.score, 1) << w.id.text();
}

TEST(WorkerHealth, FaultsThatAllWorkersShowExcludeNobody) {
  TestCore t;
  t.start_cluster(3, 1);
  busy(t);
  for (int i = 0; i < 12; ++i) t.fail(on(t, t.ready[static_cast<std::size_t>(i % 3)]), Code::kIo);
  EXPECT_EQ(t.core.faults().exclusions, 0U);
  EXPECT_GT(worker(t, t.ready[0]).score, 3);
}

TEST(WorkerHealth, TheLastUsableWorkerIsNeverExcluded) {
  TestCore t;
  t.start_cluster(2, 1);
  busy(t);
  for (int i = 0; i < 3; ++i) crash(t, t.ready[0]);
  EXPECT_EQ(worker(t, t.ready[0]).status, "excluded");
  for (int i = 0; i < 20 && t.ended.empty(); ++i) crash(t, t.ready[1]);
  EXPECT_NE(worker(t, t.ready[1]).status, "excluded");
}

TEST(WorkerHealth, ExclusionMovesItsTasksUncharged) {
  TestCore t;
  t.start_cluster(3, 2);
  busy(t);
  for (int i = 0; i < 3; ++i) crash(t, t.ready[1]);
  const auto taken = t.of<CancelTask>();
  ASSERT_EQ(taken.size(), 1U);  // of its other slot
  const auto lost = std::ranges::find(t.started, taken[0].attempt, &StartTask::attempt)->task;
  const std::size_t failed = t.view('a').attempts.size();
  t.fail(taken[0].attempt, Code::kCancelled);
  EXPECT_EQ(t.view('a').attempts.size(), failed);
  t.finish(on(t, t.ready[0]));
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.started.back().task, lost);
  EXPECT_EQ(t.started.back().attempt_number, 1);
}

class Probed : public testing::Test {
 protected:
  void SetUp() override {
    t.start_cluster(3, 2);
    busy(t);
    for (int i = 0; i < 3; ++i) crash(t, t.ready[1]);
    for (const auto& c : t.of<CancelTask>()) t.fail(c.attempt, Code::kCancelled);
    pass(t, 61'000);
    // Somebody's slot becomes free, so that there is a task to place.
    t.finish(on(t, t.ready[0]));
  }
  int attempts_on(WorkerId id) const {
    for (const auto& w : t.core.cluster().workers)
      if (w.id == id) return w.running_tasks;
    return 0;
  }
  TestCore t;
};

TEST_F(Probed, AfterItsTimeItGetsOneTaskAsAProbe) {
  EXPECT_EQ(worker(t, t.ready[1]).status, "probed");
  EXPECT_EQ(attempts_on(t.ready[1]), 1);
}

TEST_F(Probed, AProbeThatGoesWellReadmitsIt) {
  t.finish(on(t, t.ready[1]));
  EXPECT_EQ(worker(t, t.ready[1]).status, "busy");
  EXPECT_EQ(worker(t, t.ready[1]).score, 0);
  EXPECT_EQ(attempts_on(t.ready[1]), 2);
  EXPECT_THAT(said(t), testing::Contains("worker.readmitted"));
  EXPECT_EQ(t.core.faults().readmissions, 1U);
}

TEST_F(Probed, AProbeThatFailsExcludesItForTwiceAsLong) {
  crash(t, t.ready[1]);
  EXPECT_EQ(worker(t, t.ready[1]).status, "excluded");
  EXPECT_EQ(worker(t, t.ready[1]).excluded_until, t.now + 120'000);
}

TEST_F(Probed, AProbeThatTellsNothingIsFollowedByAnother) {
  const AttemptId first = on(t, t.ready[1]);
  t.step(SlotLost{t.ready[1], 0, true, false, "signal 9"});
  EXPECT_EQ(worker(t, t.ready[1]).status, "probed");
  EXPECT_NE(on(t, t.ready[1]), first);
  t.finish(on(t, t.ready[1]));
  EXPECT_EQ(worker(t, t.ready[1]).status, "busy");
}

TEST(WorkerHealth, WhenOnlyExcludedWorkersAreLeftTheBestIsProbedAtOnce) {
  TestCore t;
  t.start_cluster(2, 1);
  busy(t);
  for (int i = 0; i < 3; ++i) crash(t, t.ready[0]);
  ASSERT_EQ(worker(t, t.ready[0]).status, "excluded");
  t.step(WorkerDrainRequested{t.ready[1], "a new disk"});
  EXPECT_EQ(worker(t, t.ready[0]).status, "probed");
}

TEST(WorkerHealth, ADrainedWorkerEndsItsTasksAndStaysIdleUntilReadmitted) {
  TestCore t;
  t.start_cluster(2, 1);
  busy(t);
  t.step(WorkerDrainRequested{t.ready[0], "a new disk"});
  EXPECT_TRUE(t.of<CancelTask>().empty());
  EXPECT_EQ(worker(t, t.ready[0]).status, "draining");
  t.finish(on(t, t.ready[0]));
  EXPECT_EQ(worker(t, t.ready[0]).status, "drained");
  pass(t, 600'000);
  EXPECT_EQ(worker(t, t.ready[0]).status, "drained");
  EXPECT_TRUE(t.of<StopWorker>().empty());
  t.step(WorkerReadmitRequested{t.ready[0]});
  EXPECT_EQ(worker(t, t.ready[0]).status, "busy");
}

TEST(WorkerHealth, AnExclusionThatSomebodyAskedForEndsWithoutAProbe) {
  TestCore t;
  t.start_cluster(2, 1);
  busy(t);
  t.step(WorkerExcludeRequested{t.ready[0], "noise", 5'000});
  for (const auto& c : t.of<CancelTask>()) t.fail(c.attempt, Code::kCancelled);
  EXPECT_EQ(worker(t, t.ready[0]).status, "excluded");
  pass(t, 6'000);
  EXPECT_EQ(worker(t, t.ready[0]).status, "busy");
}

TEST(WorkerHealth, LateHeartbeatsWeighAndAPauseOfTheServiceDoesNot) {
  TestCore t;
  t.start_cluster(2, 1);
  busy(t);
  for (int i = 0; i < 5; ++i) {
    t.now += 5'000;
    t.step(WorkerHeard{t.ready[0], 1, 1});
  }
  t.step(WorkerHeard{t.ready[1], 1, 1});
  EXPECT_GT(worker(t, t.ready[1]).score, 0.4);
  EXPECT_EQ(worker(t, t.ready[0]).score, 0);
  t.now += 900'000;
  t.step(WorkerHeard{t.ready[0], 1, 1});
  EXPECT_EQ(worker(t, t.ready[0]).score, 0);
}

TEST(WorkerHealth, PausesOfTheServiceBetweenSilencesAreTakenFromTheLease) {
  TestCore t;
  t.start_cluster(2, 1);
  busy(t);
  // Twice nearly half a lease in which the service itself was not there.
  for (int i = 0; i < 3; ++i) {
    t.now += 14'000;
    t.step(Tick{});
    EXPECT_TRUE(t.of<StopWorker>().empty());
  }
  EXPECT_EQ(t.core.cluster().workers.size(), 2U);
}

TEST(WorkerHealth, CountsTellClassesRetriesAndLosses) {
  TestCore t;
  t.start_cluster(2, 1);
  busy(t, 2);
  t.fail(on(t, t.ready[0]), Code::kIo);
  t.step(WorkerLost{t.ready[1], true, "signal 9"});
  const auto faults = t.core.faults();
  EXPECT_THAT(faults.by_class,
              testing::UnorderedElementsAre(std::pair(FaultClass::kIo, 1U),
                                            std::pair(FaultClass::kWorkerLost, 1U)));
  EXPECT_EQ(faults.retries, 2U);
  EXPECT_EQ(faults.workers_lost, 1U);
  EXPECT_EQ(faults.gave_up, 0U);
  t.fail(on(t, t.ready[0]), Code::kUserData);
  EXPECT_EQ(t.core.faults().gave_up, 1U);
}

}  // namespace
}  // namespace polysome::core
