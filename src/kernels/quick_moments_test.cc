// Quick moments poured out are, byte for byte, the moments of the same values.
#include "kernels/quick_moments.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>

namespace polysome {
namespace {

template <bool kSquares, class T>
void expect_same(const std::vector<T>& values, int pours) {
  Moments expected, got;
  expected.has_squares = got.has_squares = kSquares;
  QuickMoments<kSquares> quick;
  const bool whole = std::is_same_v<T, std::int64_t>;
  for (std::size_t i = 0; i < values.size(); ++i) {
    expected.add(values[i]);
    if (!quick.add(values[i])) got.add(values[i]);
    if (pours > 0 && i % (values.size() / static_cast<std::size_t>(pours) + 1) == 0)
      quick.pour(whole, &got);
  }
  quick.pour(whole, &got);
  EXPECT_EQ(got.serialize(), expected.serialize());
}

template <class T>
void expect_same_in_every_way(const std::vector<T>& values) {
  for (const int pours : {0, 1, 7}) {
    expect_same<false>(values, pours);
    expect_same<true>(values, pours);
  }
}

TEST(QuickMoments, OfUsualValuesAreTheSame) {
  std::mt19937_64 random(8);
  std::normal_distribution<double> normal(10, 3);
  std::vector<double> values(10'000);
  for (auto& v : values) v = normal(random);
  expect_same_in_every_way(values);
}

TEST(QuickMoments, OfAnyBitsAreTheSame) {
  std::mt19937_64 random(9);
  std::vector<double> values(20'000);
  for (auto& v : values) v = std::bit_cast<double>(random());
  expect_same_in_every_way(values);
}

TEST(QuickMoments, OfSmallSpreadsAroundEveryExponentAreTheSame) {
  std::mt19937_64 random(10);
  for (int exponent = -1074; exponent < 1023; exponent += 13) {
    std::vector<double> values(200);
    for (auto& v : values)
      v = std::ldexp(static_cast<double>(random()) / 1.8e19 - 0.5,
                     exponent + static_cast<int>(random() % 40) - 20);
    expect_same_in_every_way(values);
  }
}

TEST(QuickMoments, ZerosInfinitiesAndNaNAreAsInMoments) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const double nan = std::nan("");
  expect_same_in_every_way(std::vector<double>{0, -0.0, 0, 5, -5, 0, nan, 2.5});
  expect_same_in_every_way(std::vector<double>{nan, nan});
  expect_same_in_every_way(std::vector<double>{0.0, 0.0});
  expect_same_in_every_way(std::vector<double>{kInf, 1, 2});
  expect_same_in_every_way(std::vector<double>{1, -kInf, kInf});
  expect_same_in_every_way(std::vector<double>{5e-324, -5e-324, 5e-324, 1e-310});
}

TEST(QuickMoments, OfWholeNumbersAreTheSame) {
  std::mt19937_64 random(11);
  std::vector<std::int64_t> values(10'000);
  for (auto& v : values) v = static_cast<std::int64_t>(random()) >> (random() % 64);
  values.push_back(std::numeric_limits<std::int64_t>::min());
  values.push_back(std::numeric_limits<std::int64_t>::max());
  expect_same_in_every_way(values);
}

TEST(QuickMoments, HoldAsManyValuesAsTheySay) {
  // The largest of its window, as often as may be between two pours.
  QuickMoments<true> quick;
  Moments got, expected;
  ASSERT_TRUE(quick.add(1.0));
  const double largest = std::nextafter(65536.0, 0);
  for (std::uint32_t i = 1; i < QuickMoments<true>::kMostPending; ++i)
    ASSERT_TRUE(quick.add(largest));
  quick.pour(false, &got);
  expected.add(1.0);
  for (std::uint32_t i = 1; i < QuickMoments<true>::kMostPending; ++i) expected.add(largest);
  EXPECT_EQ(got.serialize(), expected.serialize());
}

}  // namespace
}  // namespace polysome
