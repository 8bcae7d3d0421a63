// What many users on one cluster can rely on: fair shares, levels that rise, limits, pauses, usage
// that outlives the service.
#include <gmock/gmock.h>

#include <map>
#include <string>

#include "core/core_story.h"
#include "core/job_queue.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::job_id;
using story::job_named;
using story::stage;
using story::TestCore;

// Runs a cluster in steps of a second; each job has one planner and `tasks` tasks of so many
// seconds.
class Shared : public TestCore {
 public:
  struct Work {
    std::uint32_t tasks = 1;
    MonoTime seconds = 1;
  };

  void submit(std::uint32_t n, const std::string& user, Work work,
              Priority priority = Priority::kNormal) {
    JobSubmitted s;
    s.id = job_id(n);
    s.user = user;
    s.priority = priority;
    s.sequence = n;
    work_[s.id] = work;
    users_[s.id] = user;
    take(s);
  }
  void take(const Event& event) {
    last = core.step(event, now);
    if (++steps_ % 100 == 0)
      for (const auto& broken : core.broken_invariants()) ADD_FAILURE() << broken;
    for (const auto& task : of<StartTask>()) {
      started.push_back(task);
      const Work& work = work_[task.task.job];
      due_.emplace(now + (task.stage_name == "scan" ? work.seconds * 1000 : 100), task);
      first_start_.try_emplace(task.task.job, now);
    }
  }
  void run_for(MonoTime ms) {
    const MonoTime end = now + ms;
    while (now < end) {
      const MonoTime next = due_.empty() ? end : std::min(end, due_.begin()->first);
      now = std::min(next, now + 1000);
      for (const auto w : ready) take(WorkerHeard{w, 0, 0});
      while (!due_.empty() && due_.begin()->first <= now) {
        const StartTask task = due_.begin()->second;
        due_.erase(due_.begin());
        TaskFinished f;
        f.result.attempt = task.attempt;
        f.result.wall_seconds =
            task.stage_name == "scan" ? static_cast<double>(work_[task.task.job].seconds) : 0.1;
        if (task.stage_name == "scan") seconds_[users_[task.task.job]] += f.result.wall_seconds;
        if (task.stage_name == "plan")
          f.fragment = Fragment{{stage("scan", work_[task.task.job].tasks), final_stage({"scan"})},
                                Json::array()};
        take(f);
      }
    }
  }
  std::optional<MonoTime> first_start(std::uint32_t n) const {
    const auto it = first_start_.find(job_id(n));
    return it == first_start_.end() ? std::nullopt : std::optional(it->second);
  }
  double seconds(const std::string& user) { return seconds_[user]; }

 private:
  int steps_ = 0;
  std::map<JobId, Work> work_;
  std::map<JobId, std::string> users_;
  std::map<JobId, MonoTime> first_start_;
  std::map<std::string, double> seconds_;
  std::multimap<MonoTime, StartTask> due_;
};

TEST(Sharing, AUserWithASingleJobDoesNotWaitForTwoHundredOfAnother) {
  Shared t;
  t.start_cluster(2, 2);
  for (std::uint32_t n = 1; n <= 200; ++n) t.submit(n, "many", {4, 10});
  t.run_for(30'000);
  t.submit(201, "single", {4, 10});
  t.run_for(11'000);
  EXPECT_TRUE(t.first_start(201).has_value());  // as soon as any task ended
}

TEST(Sharing, UsersWithMixedJobsGetEqualCoreTimeWithinATenth) {
  Shared t;
  t.start_cluster(4, 2);
  for (std::uint32_t n = 0; n < 200; ++n) {
    t.submit(3 * n + 1, "small", {4, 2});
    t.submit(3 * n + 2, "middle", {8, 7});
    t.submit(3 * n + 3, "large", {20, 13});
  }
  // As long as all three still have work: the small ones have 1600 core seconds of it.
  t.run_for(500'000);
  const double fair = (t.seconds("small") + t.seconds("middle") + t.seconds("large")) / 3;
  for (const auto* user : {"small", "middle", "large"})
    EXPECT_NEAR(t.seconds(user), fair, fair / 10) << user;
}

TEST(Sharing, WeightsDivideTheCluster) {
  Shared t;
  t.start_cluster(4, 2);
  QueueLimits limits;
  limits.users["heavy"].weight = 3;
  t.take(LimitsChanged{limits});
  for (std::uint32_t n = 0; n < 60; ++n) {
    t.submit(2 * n + 1, "heavy", {10, 5});
    t.submit(2 * n + 2, "light", {10, 5});
  }
  t.run_for(300'000);
  EXPECT_NEAR(t.seconds("heavy") / t.seconds("light"), 3, 0.3);
}

TEST(Sharing, ALowJobStartsWithinTheBoundThoughHigherOnesNeverEnd) {
  Shared t;
  t.start_cluster(1, 1);
  t.submit(1, "other", {1000, 20}, Priority::kHigh);
  t.run_for(5000);
  t.submit(2, "low", {1, 20}, Priority::kLow);
  const MonoTime since = t.now;
  for (int i = 0; i < 100 && !t.first_start(2); ++i) t.run_for(kLongestAgeingMs / 50);
  ASSERT_TRUE(t.first_start(2).has_value());
  EXPECT_LE(*t.first_start(2) - since, kLongestAgeingMs + 20'000);
  EXPECT_GT(*t.first_start(2) - since, kAgeingStepMs);  // priority did count
}

TEST(Sharing, UsageOutlivesTheService) {
  Shared t;
  t.start_cluster(1, 2);
  t.submit(1, "busy", {400, 5});
  t.run_for(600'000);
  Shared u;
  u.step(UsageKnown{t.core.fair_usage(t.now)});
  u.submit(1, "busy", {1, 5});
  u.submit(2, "fresh", {1, 5});
  u.start_cluster(1, 1);
  EXPECT_EQ(u.started.front().task.job, job_id(2));
  const auto users = u.core.users(u.now);
  ASSERT_EQ(users.size(), 2U);
  EXPECT_NEAR(users[0].recent_usage, 600, 600 * 0.1);  // the whole cluster for ten minutes
}

TEST(Sharing, APauseOfTheServiceChargesNobodyAndAgesNobody) {
  TestCore t;
  t.start_cluster();
  t.step(t.job('a'));
  t.now += 1000;
  t.step(Tick{});
  const double before = t.core.fair_usage(t.now).front().second;
  EXPECT_NEAR(before, 1000, 1);
  t.step(t.job('b', Priority::kLow));
  t.now += 10 * kLongestAgeingMs;
  t.step(Tick{});
  EXPECT_EQ(t.core.fair_usage(t.now).front().second, before);
  t.step(t.job('c'));
  EXPECT_EQ(t.core.queue_position(job_named('c')), 1);
}

TEST(Sharing, AUsersCoresAndMemoryAreLimitedOverAllOfTheirJobs) {
  TestCore t;
  t.start_cluster(4, 2);
  QueueLimits limits;
  limits.per_user.max_cores = 3;
  t.step(LimitsChanged{limits});
  t.step(t.job('a'));
  t.plan('a', {stage("scan", 2), final_stage({"scan"})});
  t.step(t.job('b'));
  t.step(t.job('c'));
  EXPECT_EQ(t.view('c').waiting->code, "user_limit");
  EXPECT_THAT(t.view('c').waiting->message,
              testing::HasSubstr("ada uses 3 cores, and max_cores is 3."));
  t.finish(t.attempt('a', "scan", 0));
  EXPECT_EQ(t.started.back().task.job, job_named('c'));
  limits.per_user.max_cores.reset();
  limits.users["ada"].own.max_memory = 3'500'000'000;
  t.step(LimitsChanged{limits});
  auto d = t.job('d');
  d.limits.memory_per_worker = 1'500'000'000;
  t.step(d);
  EXPECT_EQ(t.view('d').waiting->code, "user_limit");
  EXPECT_THAT(t.view('d').waiting->message,
              testing::HasSubstr("Needs 1.5 GB; ada uses 3 GB, and max_memory is 3.5 GB."));
}

TEST(Sharing, AUsersRunningJobsAreLimitedAndTheOthersSayWhyTheyWait) {
  TestCore t;
  t.start_cluster(4, 2);
  QueueLimits limits;
  limits.per_user.max_running_jobs = 1;
  t.step(LimitsChanged{limits});
  t.step(t.job('a'));
  t.step(t.job('b'));
  EXPECT_EQ(t.core.running_jobs(), 1U);
  EXPECT_EQ(t.view('b').waiting->code, "user_limit");
  EXPECT_THAT(t.view('b').waiting->message,
              testing::HasSubstr("ada runs 1 job, and max_running_jobs is 1."));
  auto c = t.job('c');
  c.user = "eve";
  t.step(c);
  EXPECT_EQ(t.started.back().task.job, job_named('c'));
  t.plan('a', {final_stage({})});
  t.finish(t.attempt('a', "merge"));
  EXPECT_EQ(t.started.back().task.job, job_named('b'));
}

TEST(Sharing, WhileTheQueueIsPausedRunningJobsGoOnAndPendingOnesWait) {
  TestCore t;
  t.start_cluster(1, 1);
  t.step(t.job('a'));
  t.step(QueuePaused{"the disk is changed"});
  t.step(t.job('b', Priority::kCritical));
  t.plan('a', {stage("scan", 2), final_stage({"scan"})});
  EXPECT_EQ(t.started.back().stage_name, "scan");
  EXPECT_EQ(t.view('b').waiting->message,
            "The queue is paused: the disk is changed. Resume it: POST queue/resume.");
  t.step(QueueResumed{});
  t.finish(t.attempt('a', "scan", 0));
  EXPECT_EQ(t.started.back().task.job, job_named('b'));
}

TEST(Sharing, AHeldJobWaitsUntilItIsReleasedAndAPatchedPriorityCounts) {
  TestCore t;
  t.start_cluster(1, 1);
  t.step(t.job('a'));
  t.step(t.job('b'));
  t.step(t.job('c'));
  t.step(JobPatched{job_named('b'), std::nullopt, true});
  t.step(JobPatched{job_named('c'), Priority::kLow, std::nullopt});
  t.step(t.job('d'));
  EXPECT_EQ(t.view('b').waiting->code, "held");
  t.fail(t.attempt('a', "plan"), Code::kUserData);
  EXPECT_EQ(t.started.back().task.job, job_named('d'));
  t.fail(t.attempt('d', "plan"), Code::kUserData);
  EXPECT_EQ(t.started.back().task.job, job_named('c'));
  t.step(JobPatched{job_named('b'), std::nullopt, false});
  t.fail(t.attempt('c', "plan"), Code::kUserData);
  EXPECT_EQ(t.started.back().task.job, job_named('b'));
}

TEST(Sharing, WhoWaitsForTheShareOfOthersIsToldSoWithNumbers) {
  TestCore t;
  t.start_cluster(1, 2);
  t.step(t.job('a'));
  t.step(t.job('b'));
  t.step(t.job('c'));
  auto d = t.job('d');
  d.user = "eve";
  t.step(d);
  EXPECT_EQ(t.view('c').waiting->code, "fair_share");
  EXPECT_THAT(t.view('c').waiting->message,
              testing::HasSubstr("1 user with a smaller share is before ada, who holds 100 % of"));
  EXPECT_EQ(t.view('d').waiting->code, "cores");
  EXPECT_EQ(t.core.queue_position(job_named('d')), 1);
}

}  // namespace
}  // namespace polysome::core
