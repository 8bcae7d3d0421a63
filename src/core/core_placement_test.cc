// Who may pass whom: backfill beside a reservation, gangs, preemption at task boundaries.
#include <gmock/gmock.h>

#include <algorithm>
#include <string>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::job_named;
using story::stage;
using story::TestCore;

constexpr std::uint64_t kGb = 1'000'000'000;

void planned(TestCore& t, const JobSubmitted& job, Stage first) {
  t.step(job);
  const std::string name = first.name;
  t.plan(static_cast<char>('a' + job.id.bytes[15] - 1), {std::move(first), final_stage({name})});
}
Stage gang(std::uint32_t tasks, std::uint64_t grant = 0) {
  Stage s = stage("ring", tasks);
  s.gang = true;
  s.grant = grant;
  return s;
}
std::size_t started_of(const TestCore& t, char job) {
  return static_cast<std::size_t>(std::ranges::count_if(
      t.of<StartTask>(), [&](const auto& s) { return s.task.job == job_named(job); }));
}

TEST(Placement, TasksKnownToBeShortRunBesideAReservationAndDoNotDelayIt) {
  TestCore t;
  t.start_cluster(1, 2);
  // b: ten tasks of ten seconds, one at a time. c: tasks of 0.2 s.
  auto b = t.job('b', Priority::kHigh);
  b.limits.max_cores = 1;
  planned(t, b, stage("scan", 10));
  planned(t, t.job('c', Priority::kLow), stage("scan", 5000));
  std::uint32_t c_next = 0;
  const auto run_c_until = [&](MonoTime end) {
    // What runs of c is finished each 0.2 s, as long as it is given tasks.
    while (t.now + 200 <= end) {
      t.now += 200;
      const bool running = std::ranges::any_of(t.started, [&](const auto& s) {
        return s.task.job == job_named('c') && s.stage_name == "scan" && s.task.index == c_next;
      });
      if (running)
        t.finish(t.attempt('c', "scan", c_next++), 0.2);
      else
        t.step(WorkerHeard{t.ready[0], 0, 0});
    }
    t.now = end;
  };
  MonoTime end = t.now + 10'000;
  for (std::uint32_t i = 0; i < 6; ++i, end += 10'000) {
    run_c_until(end);
    t.finish(t.attempt('b', "scan", i), 10);
  }
  // Now a needs the whole worker when b/scan/6 has just begun.
  auto a = t.job('a', Priority::kHigh);
  a.limits.memory_per_worker = 2 * kGb;
  a.sequence = 0;  // before b
  t.step(a);
  const std::uint32_t c_before = c_next;
  run_c_until(t.now + 1000);
  EXPECT_EQ(t.view('a').waiting->code, "memory");
  ASSERT_TRUE(t.view('a').waiting->expected_start.has_value());
  EXPECT_NEAR(t.view('a').waiting->expected_start->p50_seconds, 9, 0.1);
  EXPECT_GE(t.view('a').waiting->expected_start->p90_seconds,
            t.view('a').waiting->expected_start->p50_seconds);
  run_c_until(end);
  EXPECT_GT(c_next, c_before + 30);  // most of the ten seconds were used
  t.finish(t.attempt('b', "scan", 6), 10);
  EXPECT_EQ(t.started.back().task.job, job_named('a'));
  EXPECT_EQ(started_of(t, 'a'), 1U);
}

TEST(Placement, TasksOfUnknownDurationDoNotRunOnAReservedWorkerButDoOnOthers) {
  TestCore t;
  t.start_cluster(2, 2);
  planned(t, t.job('b'), stage("scan", 3));  // two on w1, one on w2
  auto a = t.job('a', Priority::kHigh);
  a.limits.memory_per_worker = 2 * kGb;
  t.step(a);  // w2 is to be emptied for it
  auto c = t.job('c', Priority::kLow);
  t.step(c);
  EXPECT_EQ(started_of(t, 'c'), 0U);
  EXPECT_EQ(t.view('c').waiting->code, "reserved_for_larger_job");
  EXPECT_THAT(t.view('c').waiting->message, testing::HasSubstr("w2 is kept free for job"));
  t.finish(t.attempt('b', "scan", 0));
  ASSERT_EQ(started_of(t, 'c'), 1U);
  EXPECT_EQ(t.started.back().worker, t.ready[0]);
  t.finish(t.attempt('b', "scan", 1));
  ASSERT_EQ(started_of(t, 'a'), 1U);
  EXPECT_EQ(t.started.back().worker, t.ready[1]);
}

TEST(Placement, WhatAReservationHasToSpareIsUsed) {
  TestCore t;
  t.start_cluster(1, 4, 4 * kGb);
  auto b = t.job('b');
  b.limits.memory_per_worker = 2 * kGb;
  planned(t, b, stage("scan", 2));  // holds all the memory in two slots
  auto a = t.job('a', Priority::kHigh);
  a.limits.memory_per_worker = 3 * kGb;
  t.step(a);
  t.finish(t.attempt('b', "scan", 0));
  EXPECT_EQ(started_of(t, 'a'), 0U);
  t.step(t.job('c', Priority::kLow));  // 1 GB: a and c fit side by side when b is gone
  EXPECT_EQ(started_of(t, 'c'), 1U);
  t.step(t.job('d', Priority::kLow));  // one more would delay a
  EXPECT_EQ(started_of(t, 'd'), 0U);
  EXPECT_EQ(t.view('d').waiting->code, "reserved_for_larger_job");
  EXPECT_EQ(t.view('d').waiting->unblocked_by, job_named('a').text());
  t.finish(t.attempt('b', "scan", 1));
  EXPECT_EQ(started_of(t, 'a'), 1U);
}

TEST(Placement, AReservationIsKeptThoughTheSharesOfOthersFall) {
  TestCore t;
  t.start_cluster(1, 2);
  auto b = t.job('b');
  b.user = "other";
  planned(t, b, stage("scan", 2));
  auto a = t.job('a');
  a.limits.memory_per_worker = 2 * kGb;
  t.step(a);
  t.finish(t.attempt('b', "scan", 0));  // one slot idle, kept
  auto c = t.job('c');
  c.user = "newcomer";  // with no share at all
  t.step(c);
  EXPECT_EQ(started_of(t, 'c'), 0U);
  t.finish(t.attempt('b', "scan", 1));
  EXPECT_EQ(started_of(t, 'a'), 1U);
}

TEST(Placement, AJobOfAHigherLevelIsNotBoundByAReservation) {
  TestCore t;
  t.start_cluster(1, 2);
  planned(t, t.job('b'), stage("scan", 2));
  auto a = t.job('a');
  a.limits.memory_per_worker = 2 * kGb;
  t.step(a);
  t.finish(t.attempt('b', "scan", 0));
  t.step(t.job('c', Priority::kCritical));
  EXPECT_EQ(started_of(t, 'c'), 1U);
}

TEST(Placement, WhatAHigherJobHasReadyIsPartOfTheExpectedStart) {
  TestCore t;
  t.start_cluster(1, 2);
  planned(t, t.job('a'), stage("scan", 24));
  t.step(t.job('b', Priority::kLow));
  EXPECT_FALSE(t.view('b').waiting->expected_start.has_value()) << "no task has ended yet";
  for (std::uint32_t i = 0; i < 4; ++i) {
    t.now += 500;
    t.finish(t.attempt('a', "scan", i), 1);
  }
  // 18 of a second each are ready, on two slots, and two run.
  EXPECT_NEAR(t.view('b').waiting->expected_start->p50_seconds, 9.5, 1);
  EXPECT_GE(t.view('b').waiting->expected_start->p90_seconds, 9);
}

TEST(Placement, AReservationDoesNotPutAJobBeforeAnEarlierOneOfItsUser) {
  TestCore t;
  t.start_cluster(1, 2);
  auto b = t.job('b');
  b.user = "other";
  planned(t, b, stage("scan", 2));
  auto early = t.job('a'), late = t.job('c');
  for (auto* job : {&early, &late}) job->limits.memory_per_worker = 2 * kGb;
  early.held = true;
  t.step(early);
  t.step(late);
  t.finish(t.attempt('b', "scan", 0));  // the later one gets the reservation
  t.step(JobPatched{job_named('a'), std::nullopt, false});
  t.finish(t.attempt('b', "scan", 1));
  EXPECT_EQ(started_of(t, 'a'), 1U);
}

// ---- gangs ----

TEST(Placement, AGangStartsAllItsTasksAtOnceOrNone) {
  TestCore t;
  t.start_cluster(2, 2);
  planned(t, t.job('b'), stage("scan", 2));
  planned(t, t.job('a', Priority::kHigh), gang(4));
  EXPECT_EQ(started_of(t, 'a'), 0U);
  t.finish(t.attempt('b', "scan", 0));
  EXPECT_EQ(started_of(t, 'a'), 0U);
  EXPECT_EQ(t.view('a').waiting->code, "cores");
  EXPECT_THAT(t.view('a').waiting->message,
              testing::HasSubstr("Needs 4 slots at once with 1 GB each; 3 of 4 are idle."));
  t.step(t.job('c', Priority::kLow));  // of unknown duration: it would delay the gang
  EXPECT_EQ(started_of(t, 'c'), 0U);
  EXPECT_EQ(t.view('c').waiting->code, "reserved_for_larger_job");
  t.finish(t.attempt('b', "scan", 1));
  EXPECT_EQ(started_of(t, 'a'), 4U);
}

TEST(Placement, TwoGangsDoNotWaitForEachOther) {
  TestCore t;
  t.start_cluster(1, 4);
  t.step(t.job('a'));
  t.step(t.job('b'));
  t.plan('a', {gang(3), final_stage({"ring"})});
  EXPECT_EQ(started_of(t, 'a'), 3U);
  t.plan('b', {gang(3), final_stage({"ring"})});
  EXPECT_EQ(started_of(t, 'b'), 0U);
  t.finish(t.attempt('a', "ring", 0));
  EXPECT_EQ(started_of(t, 'b'), 0U);
  t.finish(t.attempt('a', "ring", 1));
  EXPECT_EQ(started_of(t, 'b'), 3U);  // all at once
  for (const std::uint32_t i : {0U, 1U, 2U}) t.finish(t.attempt('b', "ring", i));
  t.finish(t.attempt('a', "ring", 2));
  for (const char job : {'a', 'b'}) t.finish(t.attempt(job, "merge"));
  EXPECT_EQ(t.ended.size(), 2U);
}

TEST(Placement, AGangThatLosesATaskBeginsAgainAsAWholeAndOnlyTheCulpritIsCharged) {
  TestCore t;
  t.start_cluster(1, 4);
  planned(t, t.job('a'), gang(3));
  t.finish(t.attempt('a', "ring", 2));
  t.fail(t.attempt('a', "ring", 0), Code::kIo);
  ASSERT_EQ(t.of<CancelTask>().size(), 1U);
  EXPECT_EQ(t.of<CancelTask>()[0].attempt, t.attempt('a', "ring", 1));
  EXPECT_EQ(t.of<ForgetTask>().size(), 1U);
  while (t.core.next_deadline() && t.of<StartTask>().empty()) {
    t.step(WorkerHeard{t.ready[0], 0, 0});
    t.tick();
    if (t.now > 10'000) break;
  }
  EXPECT_TRUE(t.of<StartTask>().empty()) << "one of the gang has not answered yet";
  t.fail(t.attempt('a', "ring", 1), Code::kCancelled);
  ASSERT_EQ(t.of<StartTask>().size(), 3U);
  for (const auto& s : t.of<StartTask>()) EXPECT_EQ(s.attempt_number, s.task.index == 0 ? 2 : 1);
}

TEST(Placement, AGangLargerThanTheClusterCanEverBeIsRefusedWhenItIsPlanned) {
  TestCore t;
  t.start_cluster(2, 2);
  t.step(t.job('a'));
  t.plan('a', {gang(5), final_stage({"ring"})});
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].fault_class, FaultClass::kUser);
  EXPECT_EQ(t.ended[0].error->message,
            "stage \"ring\" needs 5 tasks at once with 1GB each; at most 4 can run at once (2 "
            "workers with 2 threads and 2GB each)");
  t.step(AutoscaleChanged{{true, 1, 3}});
  t.step(t.job('b'));
  t.plan('b', {gang(5), final_stage({"ring"})});
  EXPECT_EQ(t.ended.size(), 1U);  // it may grow
  EXPECT_EQ(t.view('b').waiting->code, "cores");
  EXPECT_THAT(t.view('b').waiting->message, testing::HasSubstr("the cluster has 4 slots"));
}

TEST(Placement, AGangSharesItsJobsCeilingOfMemoryAndDoesNotWaitForIt) {
  TestCore t;
  t.start_cluster(1, 3, 6 * kGb);
  auto a = t.job('a');
  a.limits.max_memory = 3 * kGb;  // 2 GB a slot would be too much for three
  planned(t, a, gang(3));
  ASSERT_EQ(started_of(t, 'a'), 3U);
  for (const auto& s : t.of<StartTask>()) EXPECT_EQ(s.grant, kGb);
}

TEST(Placement, AGangThatNeedsMoreMemoryThanAllOfItCanGetFailsAndDoesNotWaitForEver) {
  TestCore t;
  t.start_cluster(1, 4, 4 * kGb);
  planned(t, t.job('a'), gang(3));
  for (int i = 0; i < 10 && t.ended.empty(); ++i) {
    t.fail(t.attempt('a', "ring", 0), Code::kOutOfMemory);
    for (const auto& c : t.of<CancelTask>()) t.fail(c.attempt, Code::kCancelled);
  }
  ASSERT_EQ(t.ended.size(), 1U);
  EXPECT_EQ(t.ended[0].error->code, Code::kOutOfMemory);
  EXPECT_THAT(t.ended[0].error->message, testing::HasSubstr("1.33GB"));
}

// ---- preemption ----

TEST(Placement, ACriticalJobTakesBackWhatIsQueuedAndGetsTheSlotAtTheNextTaskBoundary) {
  TestCore t;
  t.start_cluster(1, 1);
  planned(t, t.job('b', Priority::kLow), stage("scan", 20));
  t.finish(t.attempt('b', "scan", 0), 0.001);  // short: four wait behind the running one
  EXPECT_EQ(t.of<StartTask>().size(), 5U);
  const auto running = t.attempt('b', "scan", 1);
  t.step(t.job('a', Priority::kCritical));
  const auto cancelled = t.of<CancelTask>();
  ASSERT_EQ(cancelled.size(), 4U);
  for (const auto& c : cancelled) EXPECT_NE(c.attempt, running);
  for (const auto& c : cancelled) t.fail(c.attempt, Code::kCancelled);
  EXPECT_EQ(started_of(t, 'b'), 0U);
  t.finish(running, 0.001);
  EXPECT_EQ(t.started.back().task.job, job_named('a'));
  t.plan('a', {final_stage({})});
  t.finish(t.attempt('a', "merge"));
  ASSERT_FALSE(t.of<StartTask>().empty());
  for (const auto& s : t.of<StartTask>()) EXPECT_EQ(s.attempt_number, 1);
}

TEST(Placement, AHighJobDoesNotPreempt) {
  TestCore t;
  t.start_cluster(1, 1);
  planned(t, t.job('b', Priority::kLow), stage("scan", 20));
  t.finish(t.attempt('b', "scan", 0), 0.001);
  t.step(t.job('a', Priority::kHigh));
  EXPECT_TRUE(t.of<CancelTask>().empty());
}

// ---- what people are told ----

TEST(Placement, AWaitForMemoryNamesTheNextTaskToEndAndWhen) {
  TestCore t;
  t.start_cluster(1, 3, 6 * kGb);
  auto b = t.job('b');
  b.limits.max_cores = 2;
  planned(t, b, stage("scan", 4));
  for (const std::uint32_t i : {0U, 1U}) t.finish(t.attempt('b', "scan", i), 120);
  auto a = t.job('a', Priority::kHigh);
  a.limits.memory_per_worker = 3'100'000'000;
  t.step(a);
  const auto waiting = t.view('a').waiting;
  EXPECT_EQ(waiting->code, "memory");
  EXPECT_EQ(waiting->message,
            "Needs 3.1 GB on one worker; the largest free is 2 GB (w1). Next to end: job …" +
                job_named('b').text().substr(28) + ", about 2 min.");
}

TEST(Placement, ARunningJobWithNothingLeftToRunSaysWhatItWaitsFor) {
  TestCore t;
  t.start_cluster(1, 1);
  planned(t, t.job('a'), stage("scan", 1));
  t.fail(t.attempt('a', "scan"), Code::kIo);
  EXPECT_EQ(t.view('a').status, JobStatus::kRunning);
  EXPECT_EQ(t.view('a').waiting->code, "input_unavailable");
  EXPECT_THAT(t.view('a').waiting->message, testing::HasSubstr("1 task will be tried again in"));
}

}  // namespace
}  // namespace polysome::core
