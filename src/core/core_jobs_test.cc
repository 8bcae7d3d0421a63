// What the core does with jobs: order, placement, ceilings, dependencies, cancel, ends.
#include <gmock/gmock.h>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::job_id;
using story::job_named;
using story::stage;
using story::TestCore;

// Submits a job and gives its planner's answer: `tasks` in a stage "scan", then the final "merge".
void planned(TestCore& t, const JobSubmitted& job, std::uint32_t tasks, std::uint64_t grant = 0) {
  t.step(job);
  Stage scan = stage("scan", tasks);
  scan.grant = grant;
  t.plan(static_cast<char>('a' + job.id.bytes[15] - 1), {scan, final_stage({"scan"})});
}

TEST(Jobs, AJobIsPlannedRunAndCompletedWithItsFinalTasksPayload) {
  TestCore t;
  t.start_cluster();
  t.step(t.job('a'));
  EXPECT_EQ(t.view('a').phase, Phase::kPlanning);
  EXPECT_EQ(t.started.back().fragment_file, "job.json");
  t.plan('a', {stage("scan", 2), final_stage({"scan"})});
  EXPECT_EQ(t.view('a').phase, Phase::kRunning);
  t.finish(t.attempt('a', "scan", 0));
  t.finish(t.attempt('a', "scan", 1));
  EXPECT_TRUE(t.ended.empty());
  t.finish(t.attempt('a', "merge"), 1, {{"value", 4.02}});
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].status, JobStatus::kCompleted);
  EXPECT_EQ(t.ended[0].result["value"], 4.02);
  EXPECT_FALSE(t.core.job(job_named('a'), t.now));
}

TEST(Jobs, AnEndTellsHowFarTheJobHadCome) {
  TestCore t;
  t.start_cluster(1, 2);
  planned(t, t.job('a'), 1);
  t.finish(t.attempt('a', "scan"));
  t.finish(t.attempt('a', "merge"));
  EXPECT_EQ(t.ended[0].last.status, JobStatus::kCompleted);
  EXPECT_EQ(t.ended[0].last.phase, Phase::kDone);
  EXPECT_EQ(t.ended[0].last.progress, 100);
  EXPECT_EQ(t.ended[0].last.tasks_done, 3U);
  planned(t, t.job('b'), 2);
  t.finish(t.attempt('b', "scan", 0));
  t.fail(t.attempt('b', "scan", 1), Code::kUserData);
  EXPECT_EQ(t.ended[1].last.phase, Phase::kDone);
  EXPECT_EQ(t.ended[1].last.tasks_done, 2U);
  EXPECT_LT(t.ended[1].last.progress, 100);
}

TEST(Jobs, AStageStartsOnlyWhenAllBeforeItAreComplete) {
  TestCore t;
  t.start_cluster(1, 4);
  t.step(t.job('a'));
  t.plan('a', {stage("left", 1), stage("right", 1), final_stage({"left", "right"})});
  t.finish(t.attempt('a', "left"));
  EXPECT_EQ(t.started.back().stage_name, "right");
  t.finish(t.attempt('a', "right"));
  EXPECT_EQ(t.started.back().stage_name, "merge");
}

TEST(Jobs, AHigherPriorityJobsTasksGoFirstAndRunningOnesAreLeftAlone) {
  TestCore t;
  t.start_cluster();
  planned(t, t.job('a', Priority::kLow), 3);
  t.step(t.job('b', Priority::kCritical));
  EXPECT_EQ(t.started.back().task.job, job_named('a'));
  t.finish(t.attempt('a', "scan", 0));
  EXPECT_EQ(t.started.back().task.job, job_named('b'));
}

TEST(Jobs, TheNextJobRunsWhileTheFirstHasNoReadyTask) {
  TestCore t;
  t.start_cluster(1, 2);
  t.step(t.job('a'));
  t.step(t.job('b'));
  EXPECT_EQ(t.started.size(), 2U);
  EXPECT_EQ(t.core.running_jobs(), 2U);
}

TEST(Jobs, AHundredTasksRunAtOnceOnThirtyTwoWorkers) {
  TestCore t;
  t.start_cluster(32, 4);
  planned(t, t.job('a'), 100);
  EXPECT_EQ(t.core.cluster().active_tasks, 100U);
}

TEST(Jobs, TasksAreSpreadOverWorkers) {
  TestCore t;
  t.start_cluster(4, 2);
  planned(t, t.job('a'), 4);
  std::set<WorkerId> workers;
  for (const auto& s : t.of<StartTask>()) workers.insert(s.worker);
  EXPECT_EQ(workers.size(), 4U);
}

TEST(Jobs, ShortTasksQueueBehindRunningOnesLongOnesNever) {
  TestCore t;
  t.start_cluster(1, 1);
  planned(t, t.job('a'), 20);
  EXPECT_EQ(t.core.cluster().active_tasks + t.core.cluster().queued_tasks, 20U);
  t.finish(t.attempt('a', "scan", 0), 1.0);
  EXPECT_EQ(t.of<StartTask>().size(), 1U);  // long: one at a time
  TestCore u;
  u.start_cluster(1, 1);
  planned(u, u.job('a'), 20);
  u.finish(u.attempt('a', "scan", 0), 0.001);
  EXPECT_EQ(u.of<StartTask>().size(), 5U);  // short: one runs, four wait behind it
}

TEST(Jobs, TasksStuckBehindASlowOneMoveToIdleSlots) {
  TestCore t;
  t.start_cluster(1, 2);
  planned(t, t.job('a'), 8);
  t.finish(t.attempt('a', "scan", 0), 0.001);
  // Slot 1 still runs task 1 and never ends; slot 0 finishes everything it has.
  std::vector<AttemptId> behind;
  for (const auto& s : t.of<StartTask>())
    if (s.slot == 1) behind.push_back(s.attempt);
  ASSERT_FALSE(behind.empty());
  for (const auto& s : std::vector(t.started))
    if (s.slot == 0 && s.stage_name == "scan" && s.task.index > 0) t.finish(s.attempt, 0.001);
  while (t.of<CancelTask>().empty()) t.tick();
  for (const auto& c : t.of<CancelTask>()) {
    EXPECT_THAT(behind, testing::Contains(c.attempt));
    t.fail(c.attempt, Code::kCancelled);
  }
  EXPECT_EQ(t.started.back().slot, 0);
  EXPECT_EQ(t.started.back().attempt_number, 1);
}

TEST(Jobs, CeilingsOfCoresMemoryAndWorkersHold) {
  TestCore t;
  t.start_cluster(4, 2);
  auto job = t.job('a');
  job.limits.max_cores = 3;
  planned(t, job, 20);
  EXPECT_EQ(t.of<StartTask>().size(), 3U);
  auto other = t.job('b');
  other.limits.max_memory = 2'000'000'000;
  planned(t, other, 20);
  EXPECT_EQ(t.of<StartTask>().size(), 2U);
  auto third = t.job('c');
  third.limits.n_workers = 1;
  planned(t, third, 20);
  EXPECT_LE(t.of<StartTask>().size(), 2U);
}

TEST(Jobs, AWorkerIsKeptFreeForTheFirstJobThatNeedsAllItsMemory) {
  TestCore t;
  t.start_cluster(1, 2);
  auto small = t.job('b', Priority::kLow);
  auto large = t.job('a', Priority::kHigh);
  planned(t, small, 10);
  large.limits.memory_per_worker = 2'000'000'000;
  t.step(large);
  const auto first = t.attempt('b', "scan", 0), second = t.attempt('b', "scan", 1);
  t.finish(first);
  EXPECT_TRUE(t.of<StartTask>().empty());
  EXPECT_EQ(t.view('a').waiting->code, "memory");
  t.finish(second);
  EXPECT_EQ(t.started.back().task.job, job_named('a'));
}

TEST(Jobs, ADependentStartsWhenAllItsDependenciesCompleted) {
  TestCore t;
  t.start_cluster();
  t.step(t.job('a'));
  auto b = t.job('b');
  b.depends_on = {job_named('a')};
  t.step(b);
  EXPECT_EQ(t.view('b').waiting->code, "dependency");
  t.plan('a', {final_stage({})});
  t.finish(t.attempt('a', "merge"));
  EXPECT_EQ(t.started.back().task.job, job_named('b'));
}

TEST(Jobs, ADependentOfAFailedJobIsCancelledAndSoAreItsOwn) {
  TestCore t;
  t.start_cluster();
  t.step(t.job('a'));
  auto b = t.job('b');
  b.depends_on = {job_named('a')};
  auto c = t.job('c');
  c.depends_on = {job_named('b')};
  t.step(b);
  t.step(c);
  t.fail(t.attempt('a', "plan"), Code::kUserData);
  ASSERT_EQ(t.ended.size(), 3U);
  EXPECT_EQ(t.ended[1].status, JobStatus::kCancelled);
  EXPECT_EQ(t.ended[1].error->code, Code::kDependencyFailed);
  EXPECT_EQ(t.ended[2].error->code, Code::kDependencyFailed);
}

TEST(Jobs, ADependencyThatEndedBeforeIsToldBeforeOrAfter) {
  TestCore t;
  t.start_cluster();
  t.step(DependencyKnown{job_id(50), JobStatus::kCompleted});
  auto a = t.job('a');
  a.depends_on = {job_id(50)};
  t.step(a);
  EXPECT_EQ(t.started.size(), 1U);
  auto b = t.job('b');
  b.depends_on = {job_id(51)};
  t.step(b);
  t.step(DependencyKnown{job_id(51), JobStatus::kFailed});
  EXPECT_EQ(t.ended.back().error->code, Code::kDependencyFailed);
}

TEST(Jobs, APendingJobIsCancelledAtOnce) {
  TestCore t;
  t.step(t.job('a'));
  t.step(CancelRequested{job_named('a'), "not needed"});
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].status, JobStatus::kCancelled);
  EXPECT_EQ(t.ended[0].error->message, "the job was cancelled: not needed");
}

TEST(Jobs, ARunningJobIsCancelledWhenItsSlotsAnswered) {
  TestCore t;
  t.start_cluster(1, 2);
  planned(t, t.job('a'), 5);
  t.step(CancelRequested{job_named('a'), ""});
  EXPECT_EQ(t.of<CancelTask>().size(), 2U);
  EXPECT_EQ(t.view('a').phase, Phase::kCancelling);
  t.step(CancelRequested{job_named('a'), ""});
  EXPECT_TRUE(t.last.empty());
  t.fail(t.attempt('a', "scan", 0), Code::kCancelled);
  EXPECT_TRUE(t.ended.empty());
  t.step(SlotLost{t.ready[0], 1, true, false, "killed after 500 ms"});
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].status, JobStatus::kCancelled);
}

TEST(Jobs, AUserErrorFailsTheJobAtOnceAndKeepsWhatIsFinished) {
  TestCore t;
  t.start_cluster(1, 2);
  planned(t, t.job('a'), 10);
  t.finish(t.attempt('a', "scan", 0));
  t.fail(t.attempt('a', "scan", 1), Code::kUserData);
  EXPECT_EQ(t.of<CancelTask>().size(), 1U);
  EXPECT_TRUE(t.of<StartTask>().empty());
  t.finish(t.attempt('a', "scan", 2));  // was quicker than the cancel
  EXPECT_EQ(t.of<RecordTask>().size(), 1U);
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].fault_class, FaultClass::kUser);
  EXPECT_EQ(t.ended[0].task, "scan/1");
  EXPECT_EQ(t.ended[0].error->message, "it went wrong (1 of 11 tasks were done and are kept)");
}

TEST(Jobs, RunningTimeIsLimitedWaitingTimeIsNot) {
  TestCore t;
  auto a = t.job('a');
  a.limits.timeout_ms = 10'000;
  t.step(a);
  t.now += 60'000;
  t.start_cluster();
  t.now += 6'000;
  t.step(WorkerHeard{t.ready[0], 0, 0});
  EXPECT_TRUE(t.ended.empty());
  while (t.of<CancelTask>().empty()) {
    t.step(WorkerHeard{t.ready[0], 0, 0});
    t.tick();
  }
  EXPECT_EQ(t.now, 71'000);
  t.fail(t.attempt('a', "plan"), Code::kCancelled);
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].error->code, Code::kTimeout);
  EXPECT_EQ(t.ended[0].status, JobStatus::kFailed);
}

TEST(Jobs, EveryWaitHasItsReason) {
  TestCore t;
  t.step(t.job('a'));
  EXPECT_EQ(t.view('a').waiting->message,
            "The cluster is stopped. Start it: POST cluster/start, or polysome cluster start.");
  t.step(ClusterStarted{{1, 1, 2'000'000'000}});
  EXPECT_EQ(t.view('a').waiting->code, "cluster_starting");
  t.step(WorkerReady{WorkerId{1}, 1});
  EXPECT_FALSE(t.view('a').waiting);
  t.step(t.job('b', Priority::kLow));
  EXPECT_EQ(t.view('b').waiting->code, "cores");
  EXPECT_EQ(t.view('b').waiting->message,
            "1 of 1 cores are in use by 1 job; it is the next to start.");
  t.step(t.job('c', Priority::kHigh));
  EXPECT_EQ(t.view('b').waiting->code, "priority");
  auto d = t.job('d');
  d.limits.memory_per_worker = 3'100'000'000;
  t.step(d);
  t.finish(t.attempt('a', "plan"));  // without a plan: the job fails, its slot is free
  EXPECT_EQ(t.started.back().task.job, job_named('c'));
  t.step(WorkerLost{WorkerId{1}, true, "killed"});
  EXPECT_EQ(t.view('b').waiting->code, "no_workers");
}

TEST(Jobs, AJobTooLargeForAnyWorkerSaysSoAndLetsOthersRun) {
  TestCore t;
  t.start_cluster();
  auto a = t.job('a', Priority::kCritical);
  a.limits.memory_per_worker = 3'100'000'000;
  t.step(a);
  EXPECT_EQ(t.view('a').waiting->code, "memory");
  EXPECT_THAT(t.view('a').waiting->message,
              testing::HasSubstr("Needs 3.1 GB on one worker; the largest has 2 GB."));
  t.step(t.job('b', Priority::kLow));
  EXPECT_EQ(t.started.back().task.job, job_named('b'));
}

TEST(Jobs, QueueShowsPendingJobsInTheOrderTheyWouldStart) {
  TestCore t;
  t.step(t.job('a', Priority::kLow));
  t.step(t.job('b', Priority::kHigh));
  t.step(t.job('c', Priority::kHigh));
  const auto queue = t.core.queue(t.now, 2);
  ASSERT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue[0].id, job_named('b'));
  EXPECT_EQ(queue[1].id, job_named('c'));
  EXPECT_EQ(t.core.queue_position(job_named('a')), 3);
}

TEST(Jobs, ARepeatedSubmissionChangesNothing) {
  TestCore t;
  const auto a = t.job('a');
  t.step(a);
  t.step(a);
  EXPECT_EQ(t.core.pending_jobs(), 1U);
}

}  // namespace
}  // namespace polysome::core
