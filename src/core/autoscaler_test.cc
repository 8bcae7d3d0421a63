// How many workers there should be, and what is said about it.
#include "core/autoscaler.h"

#include <gmock/gmock.h>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::stage;
using story::TestCore;

const ScalingRules kRules;

ScalingLimits limits(int min, int max, int slots = 2) {
  ScalingLimits l;
  l.policy = {true, min, max};
  l.slots_per_worker = slots;
  return l;
}

Load waiting(std::uint64_t tasks, double seconds_each) {
  Load load;
  load.waiting_tasks = tasks;
  load.waiting_cores = static_cast<double>(tasks);
  load.waiting_core_seconds = static_cast<double>(tasks) * seconds_each;
  return load;
}

Load running(double cores, double seconds_left = 10) {
  Load load;
  load.running_cores = cores;
  load.running_core_seconds = cores * seconds_left;
  return load;
}

TEST(Autoscaler, TheWorkAheadOverTheTargetTimeIsTheNeed) {
  // 600 core-seconds in 30 s: 20 cores.
  EXPECT_EQ(needed_workers(waiting(600, 1), limits(1, 32), kRules), 10);
  // 10,000 tasks of a millisecond are ten core-seconds.
  EXPECT_EQ(needed_workers(waiting(10'000, 0.001), limits(1, 32), kRules), 1);
}

TEST(Autoscaler, MoreCoresThanTasksAreOfNoUse) {
  EXPECT_EQ(needed_workers(waiting(4, 3600), limits(1, 32), kRules), 2);
  EXPECT_EQ(needed_workers(running(1, 36'000), limits(1, 32), kRules), 1);
}

TEST(Autoscaler, WhatRunsIsNeverBelowTheNeed) {
  EXPECT_EQ(needed_workers(running(7, 0.1), limits(1, 32), kRules), 4);
}

TEST(Autoscaler, WorkersSetAsideComeOnTop) {
  auto l = limits(1, 32);
  l.set_aside = 2;
  EXPECT_EQ(needed_workers(running(4), l, kRules), 4);
}

TEST(Autoscaler, GoesUpAtOnceAndSaysFromWhichNumbers) {
  ScalingMemory memory;
  const auto step = decide(waiting(600, 1), limits(1, 32), kRules, 2, 1000, memory);
  ASSERT_TRUE(step);
  EXPECT_EQ(step->from, 2);
  EXPECT_EQ(step->to, 10);
  EXPECT_EQ(step->reason,
            "600 tasks wait (600 core-seconds) and 0 cores are busy; to be done in 30 s that needs "
            "10 workers.");
  EXPECT_EQ(step->numbers["waiting_core_seconds"], 600);
  EXPECT_EQ(step->numbers["needed_workers"], 10);
}

TEST(Autoscaler, WhatWasNeverMeasuredAtMostDoubles) {
  ScalingMemory memory;
  Load load = waiting(600, 1);
  load.unmeasured_core_seconds = 600;
  EXPECT_EQ(decide(load, limits(1, 32), kRules, 2, 1000, memory)->to, 4);
  EXPECT_FALSE(decide(load, limits(1, 32), kRules, 4, 2000, memory));
  EXPECT_EQ(decide(load, limits(1, 32), kRules, 4, 6000, memory)->to, 8);
}

TEST(Autoscaler, WantedButNotAllowedIsSaidOnce) {
  ScalingMemory memory;
  const auto step = decide(waiting(600, 1), limits(1, 4), kRules, 4, 1000, memory);
  ASSERT_TRUE(step);
  EXPECT_EQ(step->from, step->to);
  EXPECT_THAT(step->reason,
              testing::EndsWith("needs 10 workers. The policy allows at most 4 workers."));
  EXPECT_FALSE(decide(waiting(600, 1), limits(1, 4), kRules, 4, 2000, memory));
  EXPECT_TRUE(decide(waiting(600, 1), limits(1, 4), kRules, 4, 302'000, memory));
}

TEST(Autoscaler, TheMachinesMemoryBoundsIt) {
  auto l = limits(1, 32);
  l.worker_memory = 4'000'000'000;
  l.machine_memory = 16'000'000'000;
  ScalingMemory memory;
  const auto step = decide(waiting(600, 1), l, kRules, 1, 1000, memory);
  ASSERT_TRUE(step);
  EXPECT_EQ(step->to, 3);
  EXPECT_THAT(step->reason, testing::EndsWith("The memory of the machine allows 3 workers."));
}

TEST(Autoscaler, GoesDownOnlyAfterTwoMinutesAndByAQuarter) {
  ScalingMemory memory;
  int workers = 16;
  std::vector<std::pair<MonoTime, int>> steps;
  for (MonoTime now = 0; now < 400'000; now += 1000)
    if (const auto step = decide(Load{}, limits(1, 32), kRules, workers, now, memory)) {
      steps.emplace_back(now, step->to);
      EXPECT_GE(step->to, workers - std::max(1, workers / 4));
      workers = step->to;
    }
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps.front().first, kRules.down_window_ms);
  EXPECT_EQ(workers, 1);
  for (std::size_t i = 1; i < steps.size(); ++i)
    EXPECT_GE(steps[i].first - steps[i - 1].first, 15'000);
}

TEST(Autoscaler, AHighNeedWithinTheWindowHoldsTheSize) {
  ScalingMemory memory;
  for (MonoTime now = 0; now < 600'000; now += 1000) {
    const bool burst = now % 40'000 < 2000;
    EXPECT_FALSE(decide(running(burst ? 16 : 1), limits(1, 32), kRules, 8, now, memory)) << now;
  }
}

TEST(Autoscaler, AShrunkenPolicyIsObeyedAtOnce) {
  ScalingMemory memory;
  EXPECT_EQ(decide(running(16), limits(1, 4), kRules, 8, 0, memory)->to, 4);
  EXPECT_EQ(decide(Load{}, limits(3, 4), kRules, 1, 0, memory)->to, 3);
}

// ---- in the core ----

// What is decided in the last step and while time passes; workers start at once, nobody is silent.
std::vector<ScalingDecided> decisions(TestCore& t, MonoTime ms) {
  std::vector<ScalingDecided> list;
  const auto take = [&] {
    for (const auto& d : t.of<ScalingDecided>()) list.push_back(d);
    for (const auto& s : t.of<StartWorker>()) {
      t.step(WorkerReady{s.worker, 7});
      t.ready.push_back(s.worker);
    }
  };
  take();
  for (const MonoTime until = t.now + ms; t.now < until;) {
    t.now = std::min(until, t.core.next_deadline().value_or(until));
    t.step(Tick{});
    take();
    for (const auto& w : t.core.cluster().workers) t.step(WorkerHeard{w.id, 1, 1});
  }
  return list;
}

TEST(Autoscaling, GrowsWithTheQueueWithoutAnyOtherEvent) {
  TestCore t;
  t.start_cluster(1, 2);
  t.step(t.job('a'));
  t.plan('a', {stage("scan", 200), final_stage({"scan"})});
  t.finish(t.attempt('a', "scan", 0), 10);
  t.step(AutoscaleChanged{{true, 1, 8}});
  const auto list = decisions(t, 5'000);
  ASSERT_FALSE(list.empty());
  EXPECT_EQ(list[0].to, 8);
  EXPECT_EQ(t.core.cluster().spec.n_workers, 8);
  EXPECT_EQ(t.core.cluster().used_cores, 16);
}

TEST(Autoscaling, NothingHappensWhileItIsOff) {
  TestCore t;
  t.start_cluster(1, 2);
  t.step(t.job('a'));
  t.plan('a', {stage("scan", 200), final_stage({"scan"})});
  EXPECT_TRUE(decisions(t, 60'000).empty());
}

TEST(Autoscaling, ASizeAskedForStaysWithinThePolicy) {
  TestCore t;
  t.start_cluster(3, 1);
  t.step(AutoscaleChanged{{true, 2, 6}});
  t.step(ClusterScaled{20});
  EXPECT_EQ(t.core.cluster().spec.n_workers, 6);
  t.step(ClusterScaled{1});
  EXPECT_EQ(t.core.cluster().spec.n_workers, 2);
}

TEST(Autoscaling, AClusterStartsWithinThePolicy) {
  TestCore t;
  t.step(AutoscaleChanged{{true, 2, 4}});
  t.step(ClusterStarted{{16, 1, 2'000'000'000}});
  EXPECT_EQ(t.of<StartWorker>().size(), 4U);
}

TEST(Autoscaling, ASizeAskedForIsLeftAloneForAWhile) {
  TestCore t;
  t.start_cluster(2, 1);
  t.step(AutoscaleChanged{{true, 1, 8}});
  decisions(t, 300'000);
  EXPECT_EQ(t.core.cluster().spec.n_workers, 1);
  t.step(ClusterScaled{6});
  EXPECT_TRUE(decisions(t, 115'000).empty());
  EXPECT_FALSE(decisions(t, 10'000).empty());
}

TEST(Autoscaling, ADrainNeverKillsARunningTask) {
  TestCore t;
  t.start_cluster(4, 1);
  t.step(t.job('a'));
  t.plan('a', {stage("scan", 1), final_stage({"scan"})});
  t.step(TaskStarted{t.attempt('a', "scan")});
  t.step(AutoscaleChanged{{true, 1, 8}});
  for (const auto& d : decisions(t, 600'000)) EXPECT_LT(d.to, d.from);
  EXPECT_EQ(t.core.cluster().spec.n_workers, 1);
  t.finish(t.attempt('a', "scan"));
  EXPECT_EQ(t.started.back().stage_name, "merge");
  EXPECT_TRUE(t.view('a').attempts.empty());
}

TEST(Autoscaling, ACeilingOfTheJobIsACeilingOfTheNeed) {
  TestCore t;
  t.start_cluster(1, 1);
  auto a = t.job('a');
  a.limits.max_cores = 2;
  t.step(a);
  t.plan('a', {stage("scan", 100), final_stage({"scan"})});
  t.finish(t.attempt('a', "scan", 0), 60);
  t.step(AutoscaleChanged{{true, 1, 8}});
  decisions(t, 20'000);
  EXPECT_EQ(t.core.cluster().spec.n_workers, 2);
}

TEST(Autoscaling, PendingJobsOfAPausedQueueNeedNoWorkers) {
  TestCore t;
  t.start_cluster(1, 1);
  t.step(QueuePaused{"backup"});
  for (char c = 'a'; c <= 'z'; ++c) t.step(t.job(c));
  t.step(AutoscaleChanged{{true, 1, 8}});
  EXPECT_TRUE(decisions(t, 30'000).empty());
}

}  // namespace
}  // namespace polysome::core
