#include "core/job_queue.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <memory>
#include <string>

#include "core/core_story.h"

namespace polysome::core {
namespace {

constexpr MonoTime kHourMs = 3'600'000;

// A queue with jobs of one waiting task each, and 10 cores.
class Queue {
 public:
  Queue() { queue.set_capacity(10, 10); }

  JobRun& job(std::uint32_t n, Priority priority, const std::string& user = "ada") {
    auto& job = *jobs_.emplace_back(std::make_unique<JobRun>());
    job.spec.id = story::job_id(n);
    job.spec.priority = priority;
    job.spec.sequence = n;
    job.spec.user = user;
    queue.adopt(job);
    queue.set_pending(job, true);
    queue.set_runnable(job, true);
    return job;
  }
  const JobRun* first() const { return queue.first() == nullptr ? nullptr : queue.first()->head; }
  // Takes the first job out of the queue; its user holds a core from now on.
  std::string start_first() {
    JobRun& job = *queue.first()->head;
    queue.set_runnable(job, false);
    queue.set_pending(job, false);
    job.slots.emplace_back(nullptr, 0);
    queue.hold(job, 1, 1);
    return job.spec.user;
  }
  void pass_ms(MonoTime ms) {
    now_ += ms;
    queue.set_time(now_, now_);
  }

  JobQueue queue;

 private:
  std::deque<std::unique_ptr<JobRun>> jobs_;
  MonoTime now_ = 0;
};

TEST(JobQueue, CriticalNeverWaitsBehindLow) {
  Queue q;
  const auto &low = q.job(1, Priority::kLow), &normal = q.job(2, Priority::kNormal);
  const auto &high = q.job(3, Priority::kHigh), &critical = q.job(4, Priority::kCritical);
  EXPECT_EQ(q.first(), &critical);
  EXPECT_EQ(q.queue.position(critical), 1);
  EXPECT_EQ(q.queue.position(high), 2);
  EXPECT_EQ(q.queue.position(normal), 3);
  EXPECT_EQ(q.queue.position(low), 4);
  EXPECT_EQ(q.queue.pending_above(normal), 2U);
}

TEST(JobQueue, FirstComeFirstServedWithinALevelAndUser) {
  Queue q;
  auto &late = q.job(9, Priority::kHigh), &early = q.job(3, Priority::kHigh);
  EXPECT_EQ(q.first(), &early);
  EXPECT_EQ(q.queue.position(early), 1);
  q.queue.set_runnable(early, false);
  q.queue.set_pending(early, false);
  EXPECT_EQ(q.queue.position(early), 0);
  EXPECT_EQ(q.queue.position(late), 1);
  EXPECT_EQ(q.first(), &late);
}

TEST(JobQueue, AUserWithTwoHundredJobsDoesNotStarveOneWithASingleJob) {
  Queue q;
  for (std::uint32_t n = 1; n <= 200; ++n) q.job(n, Priority::kNormal, "many");
  const auto& single = q.job(201, Priority::kNormal, "single");
  EXPECT_EQ(q.queue.position(single), 2);
  EXPECT_EQ(q.start_first(), "many");
  EXPECT_EQ(q.start_first(), "single");
}

TEST(JobQueue, UsersTakeTurnsByTheirWeights) {
  Queue q;
  QueueLimits limits;
  limits.users["heavy"].weight = 3;
  q.queue.set_limits(limits);
  for (std::uint32_t n = 1; n <= 20; ++n) {
    q.job(n, Priority::kNormal, "heavy");
    q.job(n + 100, Priority::kNormal, "light");
  }
  int heavy = 0;
  for (int i = 0; i < 8; ++i) heavy += q.start_first() == "heavy";
  EXPECT_EQ(heavy, 6);
}

TEST(JobQueue, WhoUsedTheClusterLatelyComesAfterWhoDidNotAndIsForgivenByHalfInAnHour) {
  Queue q;
  JobRun& done = q.job(1, Priority::kNormal, "used");
  q.start_first();
  q.pass_ms(kHourMs);
  q.queue.hold(done, -1, -1);
  const double used = q.queue.fair().usage(q.queue.users().at("used").account);
  // A tenth of the cluster for one half-life: half of what it would be after for ever.
  EXPECT_NEAR(used, 0.1 * 0.5 * kUsageHalfLifeMs / std::log(2.0), 1);
  q.job(2, Priority::kNormal, "used");
  const auto& fresh = q.job(3, Priority::kNormal, "fresh");
  EXPECT_EQ(q.first(), &fresh);
  q.pass_ms(kHourMs);
  EXPECT_NEAR(q.queue.fair().usage(q.queue.users().at("used").account), used / 2, 1);
}

TEST(JobQueue, TheLargerOfCoresAndMemoryCounts) {
  Queue q;
  JobRun& wide = q.job(1, Priority::kNormal, "memory");
  q.job(2, Priority::kNormal, "memory");
  q.queue.set_runnable(wide, false);
  q.queue.hold(wide, 1, 5);  // half of the memory, a tenth of the cores
  JobRun& narrow = q.job(3, Priority::kNormal, "cores");
  q.queue.set_runnable(narrow, false);
  q.queue.hold(narrow, 3, 3);
  const auto& next = q.job(4, Priority::kNormal, "cores");
  EXPECT_EQ(q.first(), &next);
  EXPECT_DOUBLE_EQ(q.queue.fair().share(wide.owner->account), 0.5);
}

TEST(JobQueue, AWaitingJobRisesALevelAStepAndLowReachesTheTopWithinTheBound) {
  Queue q;
  const auto& low = q.job(1, Priority::kLow);
  EXPECT_EQ(q.queue.level(low), 1);
  q.pass_ms(kAgeingStepMs);
  EXPECT_EQ(q.queue.level(low), 2);
  q.pass_ms(kLongestAgeingMs - kAgeingStepMs);
  EXPECT_EQ(q.queue.level(low), kHighestLevel);
  const auto& critical = q.job(2, Priority::kCritical);
  EXPECT_EQ(q.first(), &low);
  EXPECT_EQ(q.queue.position(critical), 2);
}

TEST(JobQueue, WhileNothingIsServedNobodyAges) {
  Queue q;
  const auto& low = q.job(1, Priority::kLow);
  q.queue.set_time(kLongestAgeingMs * 2, 0);
  EXPECT_EQ(q.queue.level(low), 1);
}

TEST(JobQueue, AJobKeepsTheAgeItGainedWhenItHoldsASlot) {
  Queue q;
  JobRun& low = q.job(1, Priority::kLow);
  q.pass_ms(kAgeingStepMs);
  low.slots.emplace_back(nullptr, 0);
  q.queue.hold(low, 1, 1);
  q.pass_ms(kAgeingStepMs * 5);
  EXPECT_EQ(q.queue.level(low), 2);
}

TEST(JobQueue, AUsersLimitOfRunningJobsAndAPauseLetOnlyRunningJobsGoOn) {
  Queue q;
  QueueLimits limits;
  limits.per_user.max_running_jobs = 1;
  q.queue.set_limits(limits);
  JobRun& first = q.job(1, Priority::kNormal);
  q.job(2, Priority::kNormal);
  q.queue.set_runnable(first, false);
  q.queue.set_pending(first, false);
  first.status = JobStatus::kRunning;
  q.queue.set_running(first, true);
  EXPECT_EQ(q.first(), nullptr);
  q.queue.set_runnable(first, true);
  EXPECT_EQ(q.first(), &first);
  q.queue.set_paused(true);
  q.job(3, Priority::kCritical, "other");
  EXPECT_EQ(q.first(), &first);
}

TEST(JobQueue, APriorityAboveTheUsersLimitCountsAsTheLimit) {
  Queue q;
  QueueLimits limits;
  limits.users["capped"].own.max_priority = 2;
  q.queue.set_limits(limits);
  const auto& capped = q.job(1, Priority::kCritical, "capped");
  const auto& high = q.job(2, Priority::kHigh, "free");
  EXPECT_EQ(q.queue.level(capped), 2);
  EXPECT_EQ(q.first(), &high);
}

TEST(JobQueue, TheListIsInTheOrderOfPositions) {
  Queue q;
  QueueLimits limits;
  limits.users["b"].weight = 2;
  q.queue.set_limits(limits);
  for (std::uint32_t n = 1; n <= 30; ++n)
    q.job(n, static_cast<Priority>(1 + n % 3), std::string(1, static_cast<char>('a' + n % 4)));
  int position = 0;
  q.queue.each_pending([&](JobRun& job) {
    EXPECT_EQ(q.queue.position(job), ++position);
    return true;
  });
  EXPECT_EQ(position, 30);
}

TEST(JobQueue, RanksKeepTheirOrderOverThousandsOfHours) {
  Queue q;
  q.queue.set_usage("little", 1e6);
  q.queue.set_usage("much", 2e6);
  q.job(1, Priority::kNormal, "much");
  const auto& little = q.job(2, Priority::kNormal, "little");
  for (int hour = 0; hour < 1000; ++hour) q.queue.set_time(hour * kHourMs, 0);
  EXPECT_EQ(q.first(), &little);
}

}  // namespace
}  // namespace polysome::core
