#include "worker/oom_watch.h"

#include <gtest/gtest.h>

namespace polysome {
namespace {

TEST(OomWatch, AKillSpeaksOfTheProcessThatEndsThenAndOfNoOther) {
  std::uint64_t kills = 3;
  OomWatch watch([&] { return kills; });
  EXPECT_FALSE(watch.killed()) << "kills from before are nobody's";
  ++kills;
  EXPECT_TRUE(watch.killed());
  EXPECT_FALSE(watch.killed());
}

TEST(OomWatch, AProcessMayTakeAMomentToEnd) {
  std::uint64_t kills = 0;
  OomWatch watch([&] { return kills; });
  ++kills;
  watch.tick();
  EXPECT_TRUE(watch.killed());
}

TEST(OomWatch, AKillOfAnotherWorkersSlotIsForgotten) {
  std::uint64_t kills = 0;
  OomWatch watch([&] { return kills; });
  ++kills;
  watch.tick();
  watch.tick();
  EXPECT_FALSE(watch.killed());
}

}  // namespace
}  // namespace polysome
