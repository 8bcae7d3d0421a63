#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/follow.h"

namespace polysome::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Json running() {
  return {{"job_id", "01890000-0000-7000-8000-00007c1e09aa"},
          {"status", "running"},
          {"phase", "running"},
          {"progress", 39.7},
          {"eta_seconds", 18.2},
          {"stages",
           {{{"name", "plan"},
             {"tasks_total", 1},
             {"tasks_done", 1},
             {"bytes_total", 0},
             {"bytes_done", 0}},
            {{"name", "scan"},
             {"tasks_total", 118},
             {"tasks_done", 41},
             {"bytes_total", 3'100'000'000},
             {"bytes_done", 1'240'000'000}},
            {{"name", "merge"},
             {"tasks_total", 1},
             {"tasks_done", 0},
             {"bytes_total", 0},
             {"bytes_done", 0}}}}};
}

TEST(Bar, GrowsByEighths) {
  EXPECT_EQ(bar(0, 4), "    ");
  EXPECT_EQ(bar(0.5, 4), "██  ");
  EXPECT_EQ(bar(0.53125, 4), "██▏ ");
  EXPECT_EQ(bar(1, 4), "████");
  EXPECT_EQ(bar(7, 4), "████");
}

TEST(ProgressLines, AreOneForEachStageAndOneForTheWhole) {
  const auto lines = progress_lines(running(), 412e6, 12.3, 100, false);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_THAT(lines[0], HasSubstr("100 %  1/1 task"));
  EXPECT_THAT(lines[1], HasSubstr(" 40 %  41/118 tasks  1.24GB of 3.1GB"));
  EXPECT_THAT(lines[2], Not(HasSubstr("%")));
  EXPECT_EQ(lines[3], "  running 39 %  12 s  412MB/s  about 20 s left");
}

TEST(ProgressLines, FitTheTerminal) {
  for (const int width : {40, 60, 80, 200})
    for (const auto& line : progress_lines(running(), 412e6, 12.3, width, false))
      EXPECT_LE(display_width(line), width) << line;
}

TEST(ProgressLines, HideRateAndRemainingTimeWhileUnknown) {
  Json status = running();
  status["eta_seconds"] = nullptr;
  EXPECT_EQ(progress_lines(status, 0, 0.44, 80, false).back(), "  running 39 %  0.4 s");
}

TEST(ProgressLines, SayWhyAJobWaits) {
  const Json status = {{"status", "pending"},
                       {"phase", "waiting"},
                       {"stages", Json::array()},
                       {"waiting_reason", "The cluster is stopped."}};
  EXPECT_EQ(progress_lines(status, 0, 3, 80, false).back(), "  waiting: The cluster is stopped.");
}

TEST(ProgressLine, IsWholeByItself) {
  EXPECT_EQ(progress_line(running(), 412e6),
            "7c1e09aa  running 39 %  scan 41/118 tasks  1.24GB of 3.1GB  412MB/s  about 20 s left");
}

TEST(ByteRate, IsUnknownUntilASecondOfData) {
  ByteRate rate;
  rate.add(0, 0);
  rate.add(500, 50e6);
  EXPECT_EQ(rate.per_second(), 0);
  rate.add(2000, 200e6);
  EXPECT_DOUBLE_EQ(rate.per_second(), 100e6);
  // Only the last seconds count.
  for (MonoTime t = 2000; t <= 20'000; t += 1000) rate.add(t, 200e6);
  EXPECT_EQ(rate.per_second(), 0);
}

TEST(EndLine, SaysHowAndHowLong) {
  Json status = {{"status", "completed"},
                 {"started_at", "2026-01-31T12:00:00.000Z"},
                 {"completed_at", "2026-01-31T12:03:20.000Z"},
                 {"resources", {{"bytes_read", 3'100'000'000}}}};
  EXPECT_EQ(end_line(status), "completed in 3 min 20 s, 3.1GB read");
  status["status"] = "failed";
  EXPECT_EQ(end_line(status), "failed after 3 min 20 s, 3.1GB read");
}

TEST(ExitCodes, FollowTheState) {
  EXPECT_EQ(exit_code_of({{"status", "completed"}}), 0);
  EXPECT_EQ(exit_code_of({{"status", "failed"}}), 1);
  EXPECT_EQ(exit_code_of({{"status", "cancelled"}}), 3);
  EXPECT_EQ(exit_code_of({{"status", "running"}}), 8);
  EXPECT_EQ(exit_code_of({{"status", "pending"}}), 8);
}

}  // namespace
}  // namespace polysome::cli
