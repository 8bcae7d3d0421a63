#include "core/progress_monitor.h"

#include <gtest/gtest.h>

namespace polysome::core {
namespace {

StageProgress stage(std::uint32_t tasks, std::uint64_t bytes) {
  StageProgress s;
  s.tasks = tasks;
  s.bytes = bytes;
  return s;
}

void finish(ProgressMonitor& monitor, StageProgress& s, std::uint64_t bytes, MonoTime now) {
  ++s.done;
  s.bytes_finished += bytes;
  monitor.stage_changed(s, now);
}

TEST(Progress, StagesWeighByTheirBytes) {
  ProgressMonitor monitor;
  StageProgress large = stage(3, 900), small = stage(1, 100);
  monitor.stage_added(large);
  monitor.stage_added(small);
  finish(monitor, small, 100, 1);
  EXPECT_DOUBLE_EQ(monitor.percent(), 10);
  finish(monitor, large, 300, 2);
  EXPECT_DOUBLE_EQ(monitor.percent(), 40);
}

TEST(Progress, TasksWithoutBytesWeighAlike) {
  ProgressMonitor monitor;
  StageProgress s = stage(4, 0);
  monitor.stage_added(s);
  finish(monitor, s, 0, 1);
  EXPECT_DOUBLE_EQ(monitor.percent(), 25);
}

TEST(Progress, NeverFallsWhenThePlanGrowsOrARunningTaskIsLost) {
  ProgressMonitor monitor;
  StageProgress first = stage(2, 100);
  monitor.stage_added(first);
  first.bytes_running = 50;
  monitor.stage_changed(first, 1);
  EXPECT_DOUBLE_EQ(monitor.percent(), 50);
  first.bytes_running = 0;
  monitor.stage_changed(first, 2);
  EXPECT_DOUBLE_EQ(monitor.percent(), 50);
  StageProgress second = stage(2, 1000);
  monitor.stage_added(second);
  EXPECT_DOUBLE_EQ(monitor.percent(), 50);
}

TEST(Progress, StaysUnderAHundredUntilTheJobSaysSo) {
  ProgressMonitor monitor;
  StageProgress s = stage(1, 10);
  monitor.stage_added(s);
  finish(monitor, s, 10, 1);
  EXPECT_LT(monitor.percent(), 100);
}

TEST(Progress, AnEarlierServicesProgressIsTheFloor) {
  ProgressMonitor monitor(42);
  StageProgress s = stage(10, 100);
  monitor.stage_added(s);
  finish(monitor, s, 10, 1);
  EXPECT_DOUBLE_EQ(monitor.percent(), 42);
}

TEST(Eta, IsUnknownUntilTheRateMeansSomething) {
  ProgressMonitor monitor;
  StageProgress s = stage(100, 100'000);
  monitor.stage_added(s);
  monitor.running(true, 0);
  EXPECT_FALSE(monitor.eta_seconds(0));
  finish(monitor, s, 1000, 400);
  finish(monitor, s, 1000, 800);
  EXPECT_FALSE(monitor.eta_seconds(800));
  finish(monitor, s, 1000, 1200);
  EXPECT_TRUE(monitor.eta_seconds(1200));
}

TEST(Eta, IsWhatIsLeftByTheMeasuredRate) {
  ProgressMonitor monitor;
  StageProgress s = stage(100, 100'000);
  monitor.stage_added(s);
  monitor.running(true, 0);
  for (int i = 1; i <= 20; ++i) finish(monitor, s, 1000, i * 1000);
  EXPECT_NEAR(monitor.eta_seconds(20'000).value(), 80, 3);
}

TEST(Eta, TimeInWhichNothingRanIsNotCounted) {
  ProgressMonitor monitor;
  StageProgress s = stage(100, 100'000);
  monitor.stage_added(s);
  monitor.running(true, 0);
  for (int i = 1; i <= 10; ++i) finish(monitor, s, 1000, i * 1000);
  monitor.running(false, 10'000);
  EXPECT_FALSE(monitor.eta_seconds(500'000));
  monitor.running(true, 1'000'000);
  EXPECT_NEAR(monitor.eta_seconds(1'000'000).value(), 90, 5);
}

}  // namespace
}  // namespace polysome::core
