#include "core/job_queue.h"

#include <gtest/gtest.h>

#include <memory>

#include "core/core_story.h"

namespace polysome::core {
namespace {

std::unique_ptr<JobRun> job(std::uint32_t n, Priority priority) {
  auto run = std::make_unique<JobRun>();
  run->spec.id = story::job_id(n);
  run->spec.priority = priority;
  run->spec.sequence = n;
  return run;
}

TEST(JobQueue, CriticalNeverWaitsBehindLow) {
  JobQueue queue;
  const auto low = job(1, Priority::kLow), normal = job(2, Priority::kNormal);
  const auto high = job(3, Priority::kHigh), critical = job(4, Priority::kCritical);
  for (auto* j : {low.get(), normal.get(), high.get(), critical.get()}) queue.set_pending(*j, true);
  EXPECT_EQ(queue.position(*critical), 1);
  EXPECT_EQ(queue.position(*high), 2);
  EXPECT_EQ(queue.position(*normal), 3);
  EXPECT_EQ(queue.position(*low), 4);
  EXPECT_EQ(queue.pending_above(*normal), 2U);
}

TEST(JobQueue, FirstComeFirstServedWithinALevel) {
  JobQueue queue;
  const auto late = job(9, Priority::kHigh), early = job(3, Priority::kHigh);
  queue.set_pending(*late, true);
  queue.set_pending(*early, true);
  EXPECT_EQ(queue.position(*early), 1);
  queue.set_pending(*early, false);
  EXPECT_EQ(queue.position(*early), 0);
  EXPECT_EQ(queue.position(*late), 1);
}

}  // namespace
}  // namespace polysome::core
