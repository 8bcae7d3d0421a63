// Ten thousand seeded lives, each checked in full at each step, in shards so that ctest uses all
// cores. A life in which something broke is lived again with its story, and tells where.
//
//   POLYSOME_SIMULATION_SEED=n    that life alone, with its story if it fails
//   POLYSOME_SIMULATION_SEEDS=N   so many in place of 10,000
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "life.h"

namespace polysome::simulation {
namespace {

#ifdef POLYSOME_SANITIZED
constexpr std::uint64_t kSeeds = 400;
#else
constexpr std::uint64_t kSeeds = 10'000;
#endif
constexpr std::uint64_t kShards = 8;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* value = std::getenv(variable);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// The story of a life that fails, else nothing.
std::string story_of(std::uint64_t seed) {
  Met met;
  Life life(seed, {true, 1}, met);
  life.run();
  std::string story;
  for (const auto& line : life.story()) story += line + "\n";
  if (!life.failed()) return "lived again, it does not fail: it depends on more than its seed";
  return story + "seed " + std::to_string(seed) + ": " + life.broken().front() +
         "\nAlone: POLYSOME_SIMULATION_SEED=" + std::to_string(seed);
}

class Simulation : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Simulation, EveryJobEndsOnceAndRightWhateverHappens) {
  const std::uint64_t seeds = number_from("POLYSOME_SIMULATION_SEEDS", kSeeds);
  const std::uint64_t alone = number_from("POLYSOME_SIMULATION_SEED", 0);
  Met met;
  std::uint64_t steps = 0, lives = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (alone != 0) seed = alone;
    if (seed % kShards != GetParam()) {
      if (alone != 0) return;
      continue;
    }
    Life life(seed, {}, met);
    life.run();
    ++lives;
    steps += life.steps();
    if (life.failed()) FAIL() << story_of(seed);
    if (alone != 0) return;
  }
  RecordProperty("lives", std::to_string(lives));
  RecordProperty("steps", std::to_string(steps));
  // Few lives (sanitized builds, a seed alone) need not meet everything.
  if (lives < 1000) return;
  // The world is hard but not hopeless, and all that it is made of is met.
  EXPECT_GT(met["a job completed"], met["a job failed"]);
  EXPECT_GT(met["two jobs compared"], 0U);
  for (const char* what : {"a job failed",
                           "a job cancelled",
                           "restart",
                           "an attempt that goes wrong",
                           "SlotLost",
                           "WorkerLost",
                           "OutputLost",
                           "JobRestored",
                           "JobPatched",
                           "QueuePaused",
                           "LimitsChanged",
                           "AutoscaleChanged",
                           "WorkerDrainRequested",
                           "WorkerExcludeRequested",
                           "WorkerReadmitRequested",
                           "DependencyKnown",
                           "waiting: held",
                           "waiting: dependency",
                           "waiting: queue_paused",
                           "waiting: cluster_stopped",
                           "waiting: cluster_starting",
                           "waiting: no_workers",
                           "a task of a gang",
                           "waiting: user_limit",
                           "waiting: fair_share",
                           "waiting: reserved_for_larger_job",
                           "ScalingDecided",
                           "waiting: cores",
                           "waiting: priority",
                           "waiting: memory",
                           "worker drained",
                           "worker excluded"})
    EXPECT_GT(met[what], 0U) << what << " was never met";
}

INSTANTIATE_TEST_SUITE_P(Shard, Simulation, testing::Range(std::uint64_t{0}, kShards));

TEST(Simulations, TheSeedIsTheWholeLife) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Met met;
    Life quick(seed, {false, 1000}, met), told(seed, {true, 1}, met);
    quick.run();
    told.run();
    ASSERT_EQ(quick.fingerprint(), told.fingerprint()) << seed;
    ASSERT_EQ(quick.steps(), told.steps()) << seed;
  }
}

}  // namespace
}  // namespace polysome::simulation
