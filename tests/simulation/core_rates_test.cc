// The figures of bench/core_rates.py with generous goals: machines are slow and shared at times,
// but a decision that costs O(jobs) or a queued task that costs a kilobyte is seen here.
#include <gtest/gtest.h>

#include "core_fairness.h"
#include "core_load.h"

namespace polysome::bench {
namespace {

#ifdef POLYSOME_SANITIZED
constexpr double kPatience = 40;
constexpr std::uint32_t kSmaller = 10;
#else
constexpr double kPatience = 5;
constexpr std::uint32_t kSmaller = 1;
#endif

TEST(CoreRates, FiftyThousandNoOpTasksASecond) {
  EXPECT_GT(noop_tasks_a_second(100'000 / kSmaller, 32, 1), 50'000 / kPatience);
}

TEST(CoreRates, ADecisionTakesTwentyMicrosecondsWithAHundredThousandTasksQueued) {
  EXPECT_LT(decision_us(100'000 / kSmaller, 100, 32, 4, 20'000 / kSmaller).p50, 20 * kPatience);
}

TEST(CoreRates, ADecisionTakesTwentyMicrosecondsWithAHundredThousandJobsQueued) {
  const std::uint32_t jobs = 100'000 / kSmaller;
  EXPECT_LT(decision_us(jobs, jobs, 32, 4, 20'000 / kSmaller).p50, 20 * kPatience);
}

TEST(CoreRates, AMillionQueuedTasksAreHeldAndDrained) {
  const Held held = hold_and_drain(10, 100'000 / kSmaller, true);
  EXPECT_LT(held.submit_seconds, 1 * kPatience);
  EXPECT_LT(held.drain_seconds, 20 * kPatience / kSmaller);
#ifndef POLYSOME_SANITIZED  // its allocator keeps no such count
  EXPECT_GT(held.bytes_each, 0);
  EXPECT_LT(held.bytes_each, 300);
#endif
}

TEST(CoreRates, AHundredThousandJobsOfOneTaskAreTakenInASecond) {
  const Held held = hold_and_drain(100'000 / kSmaller, 1, false);
  EXPECT_LT(held.submit_seconds, 1 * kPatience);
#ifndef POLYSOME_SANITIZED
  EXPECT_GT(held.bytes_each, 0);
  EXPECT_LT(held.bytes_each, 5000);
#endif
}

TEST(CoreFairness, SharingCostsNobodyMoreThanTheWaitForATaskToEnd) {
  for (const Load& load : {flood(), mixed()}) {
    // Against a part of the cluster to himself, in loads whose jobs are not much longer than a
    // task.
    const Figures shared = run(load, true);
    EXPECT_GT(shared.jain, 0.9) << load.name;
    for (const auto& user : shared.users)
      EXPECT_LT(user.against_own_part, 2) << load.name << " " << user.user;
  }
}

TEST(CoreFairness, FirstComeFirstServedIsLessEvenAndNotFaster) {
  for (const Load& load : {flood(), mixed()}) {
    const Figures fifo = run(load, false), shared = run(load, true);
    EXPECT_GT(shared.jain, fifo.jain + 0.1) << load.name;
    EXPECT_LT(shared.makespan_s, fifo.makespan_s * 1.1) << load.name;
  }
}

TEST(CoreFairness, AFloodOfOneUserDoesNotMakeOthersWaitForItsEnd) {
  const Figures fifo = run(flood(), false), shared = run(flood(), true);
  for (std::size_t i = 0; i < shared.users.size(); ++i) {
    if (shared.users[i].user == "flood") continue;
    EXPECT_LT(shared.users[i].mean_wait_s * 5, fifo.users[i].mean_wait_s) << shared.users[i].user;
  }
}

TEST(CoreFairness, JainsIndexIsOneForEvenAndOneNthForOneWhoHasItAll) {
  EXPECT_DOUBLE_EQ(jain({2, 2, 2, 2}), 1);
  EXPECT_DOUBLE_EQ(jain({3, 0, 0}), 1.0 / 3);
}

}  // namespace
}  // namespace polysome::bench
