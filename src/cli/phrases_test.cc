#include "cli/phrases.h"

#include <gtest/gtest.h>

#include <limits>

namespace polysome::cli {
namespace {

TEST(Durations, AreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_duration("5s"), 5000);
  EXPECT_EQ(parse_duration("100ms"), 100);
  EXPECT_EQ(parse_duration("1.5s"), 1500);
  EXPECT_EQ(parse_duration("1h30m"), 5'400'000);
  EXPECT_EQ(parse_duration("1d"), 86'400'000);
  EXPECT_EQ(parse_duration("30"), 30'000);
  for (const char* bad : {"", "s", "5 x", "-1s", "1h30", "nan", "5sm", "1e400s"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Durations, AreWrittenNoFinerThanNeeded) {
  EXPECT_EQ(format_duration(0.44), "0.4 s");
  EXPECT_EQ(format_duration(9.96), "10 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(200), "3 min 20 s");
  EXPECT_EQ(format_duration(7500), "2 h 05 min");
  EXPECT_EQ(format_duration(4.2 * 86'400), "4 d 4 h");
}

TEST(RemainingTime, ClaimsNoPrecisionItDoesNotHave) {
  EXPECT_EQ(format_remaining(0.2), "about 1 s");
  EXPECT_EQ(format_remaining(18.2), "about 20 s");
  EXPECT_EQ(format_remaining(61), "about 2 min");
  EXPECT_EQ(format_remaining(5000), "about 1 h 30 min");
  EXPECT_EQ(format_remaining(7100), "about 2 h");
}

TEST(Counts, HaveSeparatorsAndPlurals) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(58'302), "58,302");
  EXPECT_EQ(format_count(1'000'000), "1,000,000");
  EXPECT_EQ(counted(1, "row"), "1 row");
  EXPECT_EQ(counted(58'302, "row"), "58,302 rows");
}

TEST(Cells, ShowSixDigitsAndNoControlCharacters) {
  EXPECT_EQ(cell_text(Json(4.0)), "4");
  EXPECT_EQ(cell_text(Json(4.0200001)), "4.02");
  EXPECT_EQ(cell_text(Json(123456.789)), "123456.8");
  EXPECT_EQ(cell_text(Json(1.5e-12)), "1.5e-12");
  EXPECT_EQ(cell_text(Json(-0.0)), "0");
  EXPECT_EQ(cell_text(Json(nullptr)), "");
  EXPECT_EQ(cell_text(Json(9007199254740993LL)), "9007199254740993");
  EXPECT_EQ(cell_text(Json("a\x1b[31mb\tc")), "a\xEF\xBF\xBD[31mb c");
  EXPECT_EQ(format_number(std::numeric_limits<double>::quiet_NaN()), "NaN");
}

TEST(Members, OfAnotherKindCountAsAbsent) {
  const Json j = {{"a", nullptr}, {"b", 3}, {"c", "x"}, {"d", -1}};
  EXPECT_EQ(text_of(j, "a", "none"), "none");
  EXPECT_EQ(text_of(j, "b"), "3");
  EXPECT_EQ(whole_of(j, "c", 7), 7U);
  EXPECT_EQ(whole_of(j, "d", 7), 7U);
  EXPECT_TRUE(list_of(j, "c").empty());
  EXPECT_TRUE(object_of(Json(1), "c").empty());
}

}  // namespace
}  // namespace polysome::cli
