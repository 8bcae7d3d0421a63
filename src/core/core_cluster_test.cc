// Start, stop and scale of the cluster, and jobs of an earlier service.
#include <gmock/gmock.h>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::stage;
using story::TestCore;

void running(TestCore& t, std::uint32_t tasks) {
  t.step(t.job('a'));
  t.plan('a', {stage("scan", tasks), final_stage({"scan"})});
}

TEST(Cluster, StartsAsManyWorkersAsAskedAndIsRunningWhenAllAreReady) {
  TestCore t;
  EXPECT_EQ(t.core.cluster().status, "stopped");
  t.step(ClusterStarted{{4, 2, 2'000'000'000}});
  const auto started = t.of<StartWorker>();
  ASSERT_EQ(started.size(), 4U);
  EXPECT_EQ(started[0].slots, 2);
  EXPECT_EQ(started[0].memory_limit, 2'000'000'000U);
  EXPECT_EQ(t.core.cluster().status, "starting");
  for (const auto& s : started) t.step(WorkerReady{s.worker, 1});
  EXPECT_EQ(t.core.cluster().status, "running");
  EXPECT_EQ(t.core.cluster().total_cores, 8);
  t.step(ClusterStarted{{4, 2, 2'000'000'000}});
  EXPECT_TRUE(t.last.empty());
}

TEST(Cluster, AGracefulStopLetsRunningTasksFinishAndTakesQueuedOnesBack) {
  TestCore t;
  t.start_cluster();
  running(t, 10);
  t.finish(t.attempt('a', "scan", 0), 0.001);
  t.step(ClusterStopped{false});
  EXPECT_EQ(t.of<CancelTask>().size(), 4U);
  EXPECT_TRUE(t.of<StopWorker>().empty());
  EXPECT_EQ(t.core.cluster().status, "stopping");
  for (const auto& c : t.of<CancelTask>()) t.fail(c.attempt, Code::kCancelled);
  EXPECT_EQ(t.view('a').status, JobStatus::kRunning);
  t.finish(t.attempt('a', "scan", 1));
  EXPECT_EQ(t.of<StopWorker>().size(), 1U);
  EXPECT_EQ(t.view('a').status, JobStatus::kPending);
  EXPECT_EQ(t.view('a').waiting->code, "cluster_stopped");
  EXPECT_EQ(t.view('a').tasks_done, 3U);
  t.step(WorkerLost{t.ready[0], false, "stopped"});
  EXPECT_EQ(t.core.cluster().status, "stopped");
  EXPECT_TRUE(t.of<StartWorker>().empty());
}

TEST(Cluster, AForcedStopTakesEverythingBackAtOnceUncharged) {
  TestCore t;
  t.start_cluster(2, 2);
  running(t, 10);
  t.step(ClusterStopped{true});
  EXPECT_EQ(t.of<StopWorker>().size(), 2U);
  EXPECT_EQ(t.view('a').status, JobStatus::kPending);
  for (const auto& w : t.ready) t.step(WorkerLost{w, true, "killed"});
  t.ready.clear();
  t.start_cluster(1, 1);
  EXPECT_EQ(t.started.back().attempt_number, 1);
  EXPECT_TRUE(t.view('a').attempts.empty());
}

TEST(Cluster, ScalingDownStopsIdleWorkersFirstAndNeverKillsATask) {
  TestCore t;
  t.start_cluster(3, 1);
  running(t, 1);
  const WorkerId busy = t.started.back().worker;
  t.step(ClusterScaled{1});
  for (const auto& s : t.of<StopWorker>()) {
    EXPECT_NE(s.worker, busy);
    EXPECT_FALSE(s.force);
  }
  EXPECT_EQ(t.of<StopWorker>().size(), 2U);
}

TEST(Cluster, ABusyWorkerDrainsAndIsStoppedWhenItsTaskIsOver) {
  TestCore t;
  t.start_cluster(2, 1);
  running(t, 3);
  t.step(ClusterScaled{1});
  EXPECT_TRUE(t.of<StopWorker>().empty());
  EXPECT_TRUE(t.of<CancelTask>().empty());
  t.finish(t.attempt('a', "scan", t.started.back().task.index));
  ASSERT_EQ(t.of<StopWorker>().size(), 1U);
  EXPECT_FALSE(t.of<StopWorker>()[0].force);
  EXPECT_TRUE(t.of<StartTask>().empty());
}

TEST(Cluster, ScalingUpAgainKeepsADrainingWorker) {
  TestCore t;
  t.start_cluster(2, 1);
  running(t, 4);
  t.step(ClusterScaled{1});
  t.step(ClusterScaled{2});
  EXPECT_TRUE(t.of<StartWorker>().empty());
  t.step(ClusterScaled{4});
  EXPECT_EQ(t.of<StartWorker>().size(), 2U);
}

TEST(Cluster, AStoppedWorkerThatDoesNotEndIsForced) {
  TestCore t;
  t.start_cluster();
  t.step(ClusterStopped{false});
  const MonoTime asked = t.now;
  const auto forced = [&] {
    const auto stops = t.of<StopWorker>();
    return !stops.empty() && stops[0].force;
  };
  while (!forced() && t.now - asked < 60'000) {
    t.step(WorkerHeard{t.ready[0], 1, 1});
    t.tick();
  }
  EXPECT_GT(t.now - asked, 30'000);
  ASSERT_EQ(t.of<StopWorker>().size(), 1U);
  EXPECT_TRUE(t.of<StopWorker>()[0].force);
  EXPECT_EQ(t.core.cluster().status, "stopped");
}

TEST(Cluster, JobsSubmittedBeforeTheStartRunAfterIt) {
  TestCore t;
  t.step(t.job('a'));
  EXPECT_TRUE(t.started.empty());
  t.start_cluster();
  EXPECT_EQ(t.started.size(), 1U);
}

JobRestored restored(TestCore& t, TaskRanges scanned) {
  JobRestored r;
  r.job = t.job('a');
  r.progress = 40;
  r.stages = {{stage("plan", 1), {{0, 0}}, 0, {}},
              {stage("scan", 10), std::move(scanned), 0, {}},
              {final_stage({"scan"}), {}, 0, {}}};
  r.stages[0].stage.kind = StageKind::kPlanner;
  return r;
}

TEST(Restart, FinishedTasksAreNotRunAgainAndProgressDoesNotFall) {
  TestCore t;
  t.step(restored(t, {{0, 2}, {5, 5}}));
  EXPECT_EQ(t.view('a').status, JobStatus::kPending);
  EXPECT_EQ(t.view('a').progress, 40);
  t.start_cluster(4, 4);
  std::vector<std::uint32_t> indexes;
  for (const auto& s : t.started) {
    EXPECT_EQ(s.stage_name, "scan");
    indexes.push_back(s.task.index);
  }
  EXPECT_THAT(indexes, testing::UnorderedElementsAre(3, 4, 6, 7, 8, 9));
  EXPECT_EQ(t.view('a').reused_tasks, 5U);
}

TEST(Restart, AJobWithNothingPlannedIsPlanned) {
  TestCore t;
  JobRestored r;
  r.job = t.job('a');
  t.step(r);
  t.start_cluster();
  EXPECT_EQ(t.started.back().stage_name, "plan");
}

TEST(Restart, AJobWhoseFinalTaskWasFinishedEndsWithItsResult) {
  TestCore t;
  auto r = restored(t, {{0, 9}});
  r.stages[2].finished = {{0, 0}};
  r.result = Json{{"value", 1.5}};
  t.step(r);
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].status, JobStatus::kCompleted);
  EXPECT_EQ(t.ended[0].result["value"], 1.5);
}

TEST(Restart, AJobThatWasBeingCancelledEndsCancelled) {
  TestCore t;
  auto r = restored(t, {{0, 2}});
  r.cancelling = true;
  t.step(r);
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].status, JobStatus::kCancelled);
}

Stage bordered(std::uint32_t tasks) {
  Stage s = stage("scan", tasks);
  s.borders = true;
  return s;
}

void finish_border(TestCore& t, std::uint32_t index, bool if_outside, bool if_inside,
                   std::optional<Error> disputed = std::nullopt) {
  TaskFinished f;
  f.result.attempt = t.attempt('a', "scan", index);
  f.result.wall_seconds = 1;
  f.result.ends_inside_if_outside = if_outside;
  f.result.ends_inside_if_inside = if_inside;
  f.result.disputed = std::move(disputed);
  t.step(f);
}

TEST(Borders, ATaskThatStartedWrongIsForgottenAndRunAgainInsideQuotes) {
  TestCore t;
  t.start_cluster(1, 3);
  t.step(t.job('a'));
  t.plan('a', {bordered(2), final_stage({"scan"})});
  finish_border(t, 1, false, true);
  EXPECT_EQ(t.of<RecordTask>().size(), 1U);
  finish_border(t, 0, true, false);
  EXPECT_EQ(t.of<ForgetTask>().size(), 1U);
  ASSERT_EQ(t.of<StartTask>().size(), 1U);
  EXPECT_EQ(t.started.back().task.index, 1U);
  EXPECT_TRUE(t.started.back().start_inside_quotes);
  EXPECT_EQ(t.started.back().attempt_number, 1);
  finish_border(t, 1, false, true);
  EXPECT_EQ(t.started.back().stage_name, "merge");
}

TEST(Borders, ADisputedErrorFailsTheJobOnlyWhenItsStartWasRight) {
  const Error bad(Code::kUserData, "line 7: \"x\" is not a number");
  TestCore wrong;
  wrong.start_cluster(1, 3);
  wrong.step(wrong.job('a'));
  wrong.plan('a', {bordered(2), final_stage({"scan"})});
  finish_border(wrong, 1, false, true, bad);
  EXPECT_TRUE(wrong.of<RecordTask>().empty());
  finish_border(wrong, 0, true, false);
  EXPECT_TRUE(wrong.ended.empty());
  EXPECT_TRUE(wrong.started.back().start_inside_quotes);

  TestCore right;
  right.start_cluster(1, 3);
  right.step(right.job('a'));
  right.plan('a', {bordered(2), final_stage({"scan"})});
  finish_border(right, 1, false, true, bad);
  EXPECT_TRUE(right.ended.empty());
  finish_border(right, 0, false, true);
  ASSERT_EQ(right.ended.size(), 1U);
  EXPECT_EQ(right.ended[0].task, "scan/1");
  EXPECT_EQ(right.ended[0].fault_class, FaultClass::kUser);
}

TEST(Borders, ARestoredStageIsConfirmedFromWhatItsTasksReported) {
  TestCore t;
  auto r = restored(t, {{0, 9}});
  r.stages[1].stage.borders = true;
  for (std::uint32_t i = 0; i < 10; ++i) r.stages[1].borders.push_back({i, false, i == 3, true});
  t.step(r);
  // Task 3 ends inside, so all after it began wrong.
  EXPECT_EQ(t.of<ForgetTask>().size(), 6U);
  t.start_cluster(4, 4);
  for (const auto& s : t.started) EXPECT_TRUE(s.start_inside_quotes);
  EXPECT_EQ(t.started.size(), 6U);
}

}  // namespace
}  // namespace polysome::core
