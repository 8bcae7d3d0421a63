#include "store/range_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>

namespace polysome {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

TEST(RangeSet, AdjacentRangesBecomeOne) {
  RangeSet set;
  RangeSet::Touched touched;
  set.add(0, 0, &touched);
  set.add(2, 3, &touched);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(0, 0), Pair(2, 3)));
  set.add(1, 1, &touched);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(0, 3)));
  EXPECT_THAT(touched, UnorderedElementsAre(0, 2));
}

TEST(RangeSet, WhatIsThereAlreadyTouchesNothing) {
  RangeSet set;
  RangeSet::Touched touched;
  set.add(5, 9, &touched);
  touched.clear();
  set.add(6, 8, &touched);
  set.add(5, 9, &touched);
  set.add(8, 7, &touched);
  set.remove(10, &touched);
  set.remove(4, &touched);
  EXPECT_THAT(touched, IsEmpty());
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(5, 9)));
}

TEST(RangeSet, RemovingSplits) {
  RangeSet set;
  RangeSet::Touched touched;
  set.add(0, 4, &touched);
  set.remove(2, &touched);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(0, 1), Pair(3, 4)));
  set.remove(0, &touched);
  set.remove(1, &touched);
  set.remove(4, &touched);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(3, 3)));
}

TEST(RangeSet, TheLargestIndexIsNoBorder) {
  constexpr auto kMost = std::numeric_limits<std::uint32_t>::max();
  RangeSet set;
  RangeSet::Touched touched;
  set.add(kMost, kMost, &touched);
  set.add(kMost - 1, kMost - 1, &touched);
  set.add(0, 0, &touched);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(0, 0), Pair(kMost - 1, kMost)));
  set.remove(kMost, &touched);
  EXPECT_THAT(set.ranges(), ElementsAre(Pair(0, 0), Pair(kMost - 1, kMost - 1)));
}

// Against a plain set of indexes; and rows written only by `touched` are always the ranges.
TEST(RangeSet, EqualsASetOfIndexesAndTouchedRowsAreEnoughToFollow) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    RangeSet set;
    std::set<std::uint32_t> plain;
    std::map<std::uint32_t, std::uint32_t> rows;
    for (int step = 0; step < 100; ++step) {
      RangeSet::Touched touched;
      const std::uint32_t at = random() % 60;
      if (random() % 3 == 0) {
        set.remove(at, &touched);
        plain.erase(at);
      } else {
        const std::uint32_t last = at + random() % 5;
        set.add(at, last, &touched);
        for (auto i = at; i <= last; ++i) plain.insert(i);
      }
      for (const auto first : touched) {
        rows.erase(first);
        if (const auto it = set.ranges().find(first); it != set.ranges().end()) rows.insert(*it);
      }
      ASSERT_EQ(rows, set.ranges());
      for (std::uint32_t i = 0; i < 70; ++i) ASSERT_EQ(set.contains(i), plain.contains(i));
      for (auto it = rows.begin(); it != rows.end() && std::next(it) != rows.end(); ++it)
        ASSERT_GT(std::next(it)->first, it->second + 1);
    }
  }
}

}  // namespace
}  // namespace polysome
