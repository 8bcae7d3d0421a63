// Group sums poured out are, byte for byte, the moments of the same values, on every kind of CPU.
#include "kernels/group_sums.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "kernels/text_marks.h"

namespace polysome {
namespace {

constexpr std::size_t kGroups = 5, kColumns = 3, kColumn = 1;

class GroupSumsOnEachCpu : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { use_vector_target(GetParam()); }
  void TearDown() override { use_vector_target(0); }
};

template <bool kSquares>
void expect_same(const std::function<double()>& value, std::size_t batch, std::uint64_t which,
                 std::size_t pour_every) {
  std::mt19937_64 random(3);
  GroupSums<kSquares> sums;
  sums.resize(kGroups * kColumns);
  std::vector<Moments> got(kGroups), expected(kGroups);
  for (auto* list : {&got, &expected})
    for (auto& m : *list) m.has_squares = kSquares;
  std::uint32_t base = 0;
  std::size_t counted = 0;
  const auto pour = [&] {
    for (std::size_t g = 0; g < kGroups; ++g) {
      counted += sums.pending(g * kColumns + kColumn);
      sums.pour(g * kColumns + kColumn, base, &got[g]);
      EXPECT_EQ(sums.pending(g * kColumns + kColumn), 0U);
    }
  };
  for (std::size_t b = 0; b < 40; ++b) {
    std::vector<std::uint32_t> groups(batch);
    std::vector<double> numbers(batch);
    for (std::size_t i = 0; i < batch; ++i) {
      groups[i] = static_cast<std::uint32_t>(random() % kGroups);
      numbers[i] = value();
    }
    const std::uint64_t asked = which & (~std::uint64_t{0} >> (64 - batch));
    const std::uint64_t left =
        sums.add(groups.data(), kColumns, kColumn, numbers.data(), batch, asked, &base);
    EXPECT_EQ(left & ~asked, 0U);
    for (std::size_t i = 0; i < batch; ++i) {
      if ((asked >> i & 1) == 0) continue;
      expected[groups[i]].add(numbers[i]);
      if ((left >> i & 1) != 0) got[groups[i]].add(numbers[i]);
    }
    if (b % pour_every == 0) pour();
  }
  pour();
  for (std::size_t g = 0; g < kGroups; ++g)
    EXPECT_EQ(got[g].serialize(), expected[g].serialize()) << "group " << g;
  for (std::size_t s = 0; s < sums.size(); ++s) EXPECT_EQ(sums.pending(s), 0U);
}

void expect_same_in_every_way(const std::function<double()>& value) {
  for (const std::size_t batch : {1U, 7U, 8U, 13U, 64U})
    for (const std::uint64_t which : {~std::uint64_t{0}, std::uint64_t{0x5bd1e995a5a5f00f}})
      for (const std::size_t pour_every : {3U, 1000U}) {
        expect_same<true>(value, batch, which, pour_every);
        expect_same<false>(value, batch, which, pour_every);
      }
}

TEST_P(GroupSumsOnEachCpu, OfUsualValuesAreTheSame) {
  std::mt19937_64 random(8);
  std::normal_distribution<double> normal(0, 3);
  expect_same_in_every_way([&] { return random() % 5 == 0 ? 0.0 : normal(random); });
}

TEST_P(GroupSumsOnEachCpu, OfAnyBitsAreTheSame) {
  std::mt19937_64 random(9);
  expect_same_in_every_way([&] { return std::bit_cast<double>(random()); });
}

TEST_P(GroupSumsOnEachCpu, OfSpreadsAroundEveryExponentAreTheSame) {
  std::mt19937_64 random(10);
  for (int exponent = -1074; exponent < 1023; exponent += 61)
    expect_same_in_every_way([&] {
      return std::ldexp(static_cast<double>(random()) / 1.8e19 - 0.5,
                        exponent + static_cast<int>(random() % 40) - 20);
    });
}

TEST_P(GroupSumsOnEachCpu, OfZerosAndExtremesAreTheSame) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> odd{0.0,
                                -0.0,
                                1.0,
                                -1.0,
                                0x1p52,
                                -0x1p52,
                                0x1.fffffffffffffp22,
                                5e-324,
                                -5e-324,
                                inf,
                                -inf,
                                0x1p-1022,
                                std::numeric_limits<double>::max(),
                                std::numeric_limits<double>::quiet_NaN()};
  std::mt19937_64 random(11);
  expect_same_in_every_way([&] { return odd[random() % odd.size()]; });
}

// The largest mantissas at the top of the unit's reach fill most of the words.
TEST_P(GroupSumsOnEachCpu, ManyOfTheLargestDoNotOverflow) {
  for (const double sign : {1.0, -1.0}) {
    GroupSums<true> sums;
    sums.resize(1);
    std::uint32_t base = 0;
    const std::vector<std::uint32_t> groups(64, 0);
    const std::vector<double> one(64, 1.5), large(64, sign * std::ldexp(0x1.fffffffffffffp0, 8));
    ASSERT_EQ(sums.add(groups.data(), 1, 0, one.data(), 64, 1, &base), 0U);
    for (std::uint32_t i = 0; i + 64 < GroupSums<true>::kMostPending; i += 64)
      ASSERT_EQ(sums.add(groups.data(), 1, 0, large.data(), 64, ~std::uint64_t{0}, &base), 0U);
    const auto n = static_cast<double>(sums.pending(0) - 1);
    Moments got;
    sums.pour(0, base, &got);
    EXPECT_DOUBLE_EQ(got.total(), n * large[0] + 1.5);
    EXPECT_NEAR(*got.mean() / large[0], 1, 1e-6);
    EXPECT_LT(*got.variance(1), 1);
  }
}

INSTANTIATE_TEST_SUITE_P(EachCpu, GroupSumsOnEachCpu, testing::ValuesIn(vector_targets()),
                         [](const auto& info) {
                           return std::string(vector_target_name(info.param));
                         });

}  // namespace
}  // namespace polysome
