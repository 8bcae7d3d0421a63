#include "base/clock.h"

#include <gtest/gtest.h>

namespace polysome {
namespace {

TEST(Times, AreReadAsTheyAreWritten) {
  for (const WallTime t : {WallTime{0}, WallTime{1'769'862'896'789}, WallTime{4'102'444'799'999}})
    EXPECT_EQ(parse_time(format_time(t)), t) << format_time(t);
}

TEST(Times, MayHaveAFractionOfAnyLengthAndAnOffset) {
  const auto t = parse_time("2026-01-31T12:34:56Z");
  ASSERT_TRUE(t);
  EXPECT_EQ(parse_time("2026-01-31T12:34:56.7Z"), *t + 700);
  EXPECT_EQ(parse_time("2026-01-31T12:34:56.123456789Z"), *t + 123);
  EXPECT_EQ(parse_time("2026-01-31T13:34:56+01:00"), *t);
  EXPECT_EQ(parse_time("2026-01-31T07:04:56-05:30"), *t);
}

// sscanf took more digits than there are seconds, and nan and 0x1p3 for them.
TEST(Times, AreRefusedWhenTheyAreNone) {
  for (const char* text :
       {"", "2026-01-31", "2026-01-31T12:34:56", "2026-01-31 12:34:56Z", "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T12:60:00Z",
        "2026-01-31T12:34:61Z", "2026-01-31T12:34:56999990009999Z", "2026-01-31T12:34:nanZ",
        "2026-01-31T12:34:0x1p3Z", "2026-01-31T12:34:56.Z", "2026-01-31T12:34:56+1:00",
        "2026-01-31T12:34:56+24:00", "+026-01-31T12:34:56Z", "2026-01-31T12:34:56ZZ"})
    EXPECT_FALSE(parse_time(text)) << text;
}

}  // namespace
}  // namespace polysome
