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

void finish(ProgressMonitor& monitor, StageProgress& s, std::uint64_t bytes) {
  ++s.done;
  s.bytes_finished += bytes;
  monitor.stage_changed(s);
}

TEST(Progress, StagesWeighByTheirBytes) {
  ProgressMonitor monitor;
  StageProgress large = stage(3, 900), small = stage(1, 100);
  monitor.stage_added(large);
  monitor.stage_added(small);
  finish(monitor, small, 100);
  EXPECT_DOUBLE_EQ(monitor.percent(), 10);
  finish(monitor, large, 300);
  EXPECT_DOUBLE_EQ(monitor.percent(), 40);
}

TEST(Progress, TasksWithoutBytesWeighAlike) {
  ProgressMonitor monitor;
  StageProgress s = stage(4, 0);
  monitor.stage_added(s);
  finish(monitor, s, 0);
  EXPECT_DOUBLE_EQ(monitor.percent(), 25);
}

TEST(Progress, NeverFallsWhenThePlanGrowsOrARunningTaskIsLost) {
  ProgressMonitor monitor;
  StageProgress first = stage(2, 100);
  monitor.stage_added(first);
  first.bytes_running = 50;
  monitor.stage_changed(first);
  EXPECT_DOUBLE_EQ(monitor.percent(), 50);
  first.bytes_running = 0;
  monitor.stage_changed(first);
  EXPECT_DOUBLE_EQ(monitor.percent(), 50);
  StageProgress second = stage(2, 1000);
  monitor.stage_added(second);
  EXPECT_DOUBLE_EQ(monitor.percent(), 50);
}

TEST(Progress, StaysUnderAHundredUntilTheJobSaysSo) {
  ProgressMonitor monitor;
  StageProgress s = stage(1, 10);
  monitor.stage_added(s);
  finish(monitor, s, 10);
  EXPECT_LT(monitor.percent(), 100);
}

TEST(Progress, AnEarlierServicesProgressIsTheFloor) {
  ProgressMonitor monitor(42);
  StageProgress s = stage(10, 100);
  monitor.stage_added(s);
  finish(monitor, s, 10);
  EXPECT_DOUBLE_EQ(monitor.percent(), 42);
}

}  // namespace
}  // namespace polysome::core
