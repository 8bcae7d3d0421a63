// What the core does when attempts, slots and workers go wrong.
#include <gmock/gmock.h>

#include "core/core_story.h"
#include "core/fault_tolerance.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::job_named;
using story::stage;
using story::TestCore;

void running(TestCore& t, std::uint32_t tasks = 3, JobLimits limits = {}) {
  auto a = t.job('a');
  a.limits = limits;
  t.step(a);
  t.plan('a', {stage("scan", tasks), final_stage({"scan"})});
}

TEST(Faults, AFailedTaskIsTriedAgainAfterItsBackoff) {
  TestCore t;
  t.start_cluster();
  running(t, 1);
  t.fail(t.attempt('a', "scan"), Code::kIo);
  EXPECT_TRUE(t.of<StartTask>().empty());
  EXPECT_EQ(t.view('a').phase, Phase::kRetrying);
  const MonoTime failed = t.now;
  while (t.of<StartTask>().empty()) t.tick();
  EXPECT_LE(t.now - failed, 5'000);
  EXPECT_EQ(t.started.back().attempt_number, 2);
  EXPECT_EQ(t.view('a').attempts.size(), 1U);
  EXPECT_EQ(t.view('a').attempts[0].task, "scan/0");
  EXPECT_EQ(t.view('a').attempts[0].fault_class, "io");
}

TEST(Faults, TheThirdFailureFailsTheJob) {
  TestCore t;
  t.start_cluster();
  running(t, 1);
  for (int i = 0; i < 3; ++i) {
    t.fail(t.attempt('a', "scan"), Code::kInternal);
    while (i < 2 && t.of<StartTask>().empty()) t.tick();
  }
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].status, JobStatus::kFailed);
  EXPECT_EQ(t.ended[0].fault_class, FaultClass::kInternal);
}

// Two workers of one slot, three tasks: task 0 failed on w1, which has task 2 now; w2 has task 1.
void failed_on_the_first(TestCore& t) {
  t.start_cluster(2, 1);
  running(t, 4);
  ASSERT_EQ(t.started.at(1).worker, t.ready[0]);
  t.fail(t.attempt('a', "scan", 0), Code::kIo);
  ASSERT_EQ(t.started.back().task.index, 2U);
  while (t.core.tasks(job_named('a'), 1, 1, nullptr).at(0).state == TaskState::kBackoff) t.tick();
}

TEST(Faults, ARetryGoesToAnotherWorkerThanTheOneWhereItFailed) {
  TestCore t;
  failed_on_the_first(t);
  // A slot of that worker takes another task, or none, before it takes this one again.
  t.finish(t.attempt('a', "scan", 2));
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.of<StartTask>()[0].task.index, 3U);
  t.finish(t.attempt('a', "scan", 3));
  EXPECT_TRUE(t.of<StartTask>().empty());
  t.finish(t.attempt('a', "scan", 1));
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.of<StartTask>()[0].task.index, 0U);
  EXPECT_EQ(t.of<StartTask>()[0].worker, t.ready[1]);
  EXPECT_EQ(t.of<StartTask>()[0].attempt_number, 2);
}

TEST(Faults, ARetryDoesNotWaitForAnotherWorkerForEver) {
  TestCore t;
  failed_on_the_first(t);
  t.finish(t.attempt('a', "scan", 2));
  t.finish(t.attempt('a', "scan", 3));
  const MonoTime from = t.now;
  while (t.of<StartTask>().empty()) {
    t.now = std::min(t.core.next_deadline().value(), t.now + 5000);
    t.step(Tick{});
    for (const auto w : t.ready)
      if (t.of<StartTask>().empty()) t.step(WorkerHeard{w, 1, 1});
    ASSERT_LE(t.now - from, kAvoidMs);
  }
  EXPECT_EQ(t.started.back().task.index, 0U);
  EXPECT_EQ(t.started.back().worker, t.ready[0]);
}

TEST(Faults, ARetryStaysWhenNoOtherWorkerCouldTakeIt) {
  TestCore t;
  failed_on_the_first(t);
  t.step(WorkerDrainRequested{t.ready[1], "fan"});
  t.finish(t.attempt('a', "scan", 2));
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.of<StartTask>()[0].task.index, 0U);
}

TEST(Faults, AWaitForAnotherWorkerHasItsReason) {
  TestCore t;
  t.start_cluster(2, 1);
  running(t, 1);
  t.step(t.job('b'));
  t.plan('b', {stage("scan", 1), final_stage({"scan"})});
  t.fail(t.attempt('a', "scan", 0), Code::kIo);
  while (t.core.tasks(job_named('a'), 1, 1, nullptr).at(0).state == TaskState::kBackoff) t.tick();
  EXPECT_TRUE(t.of<StartTask>().empty());
  const auto view = t.view('a');
  ASSERT_TRUE(view.waiting);
  EXPECT_EQ(view.waiting->code, "backoff");
  EXPECT_THAT(view.waiting->message, testing::HasSubstr("scan/0 failed on w1 and waits for a slot "
                                                        "of another worker"));
}

TEST(Faults, MaxAttemptsOfOneFailsAtOnce) {
  TestCore t;
  t.start_cluster();
  JobLimits limits;
  limits.max_attempts = 1;
  running(t, 1, limits);
  t.fail(t.attempt('a', "scan"), Code::kIo);
  EXPECT_EQ(t.ended.size(), 1U);
}

TEST(Faults, AKilledSlotCostsNoAttemptAndIsRetriedAtOnce) {
  TestCore t;
  t.start_cluster();
  running(t, 1);
  t.step(SlotLost{t.ready[0], 0, true, false, "signal 9"});
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.started.back().attempt_number, 1);
}

TEST(Faults, ACrashedSlotBlamesItsRunningTaskOnly) {
  TestCore t;
  t.start_cluster();
  running(t, 8);
  t.finish(t.attempt('a', "scan", 0), 0.001);
  ASSERT_EQ(t.of<StartTask>().size(), 5U);
  t.step(SlotLost{t.ready[0], 0, false, false, "signal 11"});
  ASSERT_EQ(t.view('a').attempts.size(), 1U);
  EXPECT_EQ(t.view('a').attempts[0].task, "scan/1");
  for (const auto& s : t.of<StartTask>()) {
    EXPECT_NE(s.task.index, 1U);
    EXPECT_EQ(s.attempt_number, 1);
  }
}

TEST(Faults, OutOfMemoryIsTriedAgainWithALargerGrant) {
  TestCore t;
  t.start_cluster(1, 4);
  running(t, 1);
  EXPECT_EQ(t.started.back().grant, 500'000'000U);
  t.fail(t.attempt('a', "scan"), Code::kOutOfMemory, 800'000'000);
  EXPECT_EQ(t.started.back().grant, 1'200'000'000U);
  t.step(SlotLost{t.ready[0], t.started.back().slot, true, true, "oom"});
  EXPECT_EQ(t.started.back().grant, 2'000'000'000U);
  t.fail(t.attempt('a', "scan"), Code::kOutOfMemory);
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_THAT(t.ended[0].error->message, testing::HasSubstr("needed more than 2GB"));
}

TEST(Faults, WhatTwoTasksOfAStageNeededTheOthersGetAtOnce) {
  TestCore t;
  t.start_cluster(1, 4);
  running(t, 6);
  t.fail(t.attempt('a', "scan", 0), Code::kOutOfMemory);
  t.fail(t.attempt('a', "scan", 1), Code::kOutOfMemory);
  for (const std::uint32_t i : {2U, 3U, 0U}) t.finish(t.attempt('a', "scan", i));
  EXPECT_EQ(t.started.back().task.index, 4U);
  EXPECT_EQ(t.started.back().attempt_number, 1);
  EXPECT_EQ(t.started.back().grant, 1'000'000'000U);
}

TEST(Faults, WhatOneTaskOfAStageNeededMayBeAnException) {
  TestCore t;
  t.start_cluster(1, 4);
  running(t, 6);
  t.fail(t.attempt('a', "scan", 0), Code::kOutOfMemory);
  for (const std::uint32_t i : {1U, 2U, 0U}) t.finish(t.attempt('a', "scan", i));
  EXPECT_EQ(t.started.back().task.index, 5U);
  EXPECT_EQ(t.started.back().grant, 500'000'000U);
}

TEST(Faults, ALargeGrantMakesItsNeighboursWait) {
  TestCore t;
  t.start_cluster(1, 2);
  running(t, 3);
  t.fail(t.attempt('a', "scan", 0), Code::kOutOfMemory);
  EXPECT_TRUE(t.of<StartTask>().empty());
  t.finish(t.attempt('a', "scan", 1));
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.started.back().grant, 2'000'000'000U);
  EXPECT_EQ(t.started.back().task.index, 0U);
}

TEST(Faults, ALostWorkersTasksMoveAndANewOneTakesItsPlace) {
  TestCore t;
  t.start_cluster(2, 1);
  running(t, 4);
  t.step(WorkerLost{t.ready[0], true, "signal 9"});
  ASSERT_EQ(t.of<StartWorker>().size(), 1U);
  const WorkerId fresh = t.of<StartWorker>()[0].worker;
  EXPECT_EQ(fresh, WorkerId{3});
  t.step(WorkerReady{fresh, 7});
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.started.back().worker, fresh);
  EXPECT_EQ(t.started.back().attempt_number, 1);
}

TEST(Faults, MessagesOfAttemptsGivenUpChangeNothing) {
  TestCore t;
  t.start_cluster(1, 1);
  running(t, 2);
  const auto old = t.attempt('a', "scan", 0);
  t.step(SlotLost{t.ready[0], 0, true, false, "signal 9"});
  const auto tasks = t.view('a').tasks_done;
  t.finish(old);
  EXPECT_TRUE(t.last.empty());
  t.fail(old, Code::kUserData);
  EXPECT_TRUE(t.last.empty());
  EXPECT_EQ(t.view('a').tasks_done, tasks);
  const auto done = t.attempt('a', "scan", 0);
  t.finish(done);
  const auto counted = t.view('a').tasks_done;
  t.finish(done);
  EXPECT_EQ(t.view('a').tasks_done, counted);
}

TEST(Faults, AnAttemptOfAnotherEpochIsNobodys) {
  TestCore t;
  t.start_cluster();
  running(t, 1);
  auto id = t.attempt('a', "scan");
  id.epoch += 1;
  t.finish(id);
  EXPECT_TRUE(t.last.empty());
}

TEST(Faults, AnInputThatIsLostIsMadeAgainBeforeItsReader) {
  TestCore t;
  t.start_cluster();
  running(t, 2);
  t.finish(t.attempt('a', "scan", 0));
  t.finish(t.attempt('a', "scan", 1));
  t.step(OutputLost{t.attempt('a', "merge"), {job_named('a'), 1, 0}, "scan/0 is gone"});
  EXPECT_EQ(t.of<ForgetTask>().size(), 1U);
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.started.back().stage_name, "scan");
  EXPECT_EQ(t.started.back().task.index, 0U);
  t.finish(t.attempt('a', "scan", 0));
  EXPECT_EQ(t.started.back().stage_name, "merge");
  EXPECT_EQ(t.started.back().attempt_number, 1);
}

TEST(Faults, APlanWithTwoStagesOfOneNameFailsTheJobAsOurDefect) {
  TestCore t;
  t.start_cluster();
  t.step(t.job('a'));
  t.plan('a', {stage("scan", 1), stage("scan", 1), final_stage({"scan"})});
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].fault_class, FaultClass::kInternal);
  EXPECT_THAT(t.ended[0].error->message, testing::HasSubstr("two stages are named \"scan\""));
}

TEST(Faults, APlanWithoutAFinalStageFailsWhenItIsThrough) {
  TestCore t;
  t.start_cluster();
  t.step(t.job('a'));
  t.plan('a', {stage("scan", 1)});
  t.finish(t.attempt('a', "scan"));
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].error->code, Code::kInternal);
}

TEST(Faults, AWorkerThatIsSilentForItsLeaseIsLost) {
  TestCore t;
  t.start_cluster(2, 1);
  running(t, 4);
  while (t.of<StopWorker>().empty()) {
    t.step(WorkerHeard{t.ready[1], 0, 0});
    t.tick();
    ASSERT_LT(t.now, 60'000);
  }
  EXPECT_EQ(t.of<StopWorker>()[0].worker, t.ready[0]);
  EXPECT_TRUE(t.of<StopWorker>()[0].force);
  EXPECT_GT(t.now, 31'000);
}

TEST(Faults, AfterAPauseOfTheServiceNobodyIsBlamed) {
  TestCore t;
  t.start_cluster(2, 1);
  running(t, 4);
  t.now += 3'600'000;
  t.step(Tick{});
  EXPECT_TRUE(t.of<StopWorker>().empty());
  EXPECT_EQ(t.core.cluster().workers.size(), 2U);
}

TEST(Faults, WorkersThatDieAtOnceAreReplacedMoreAndMoreSlowly) {
  TestCore t;
  t.step(ClusterStarted{{1, 1, 2'000'000'000}});
  std::vector<MonoTime> waits;
  for (int i = 0; i < 6; ++i) {
    const WorkerId worker = t.of<StartWorker>().at(0).worker;
    const MonoTime died = t.now;
    t.step(WorkerLost{worker, false, "exec failed"});
    while (t.of<StartWorker>().empty()) t.tick();
    waits.push_back(t.now - died);
  }
  EXPECT_THAT(waits, testing::ElementsAre(0, 500, 1000, 2000, 4000, 8000));
}

}  // namespace
}  // namespace polysome::core
