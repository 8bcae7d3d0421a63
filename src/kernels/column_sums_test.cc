// Column sums poured out are, byte for byte, the moments of the same values, on every kind of CPU.
#include "kernels/column_sums.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "kernels/text_marks.h"

namespace polysome {
namespace {

using Rows = std::vector<std::vector<double>>;

class ColumnSumsOnEachCpu : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { use_vector_target(GetParam()); }
  void TearDown() override { use_vector_target(0); }
};

// Values [first, first + n) of each row in one call; `which` has some bits left out.
void expect_same(const Rows& rows, std::size_t first, std::size_t n, std::uint64_t which,
                 std::size_t pour_every) {
  const std::size_t columns = rows.front().size();
  ColumnSums sums(columns);
  std::vector<Moments> got(columns), expected(columns);
  for (auto& m : got) m.has_squares = false;
  for (auto& m : expected) m.has_squares = false;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::uint64_t left = sums.add(first, n, rows[r].data() + first, which);
    EXPECT_EQ(left & ~which, 0U);
    for (std::size_t i = 0; i < n; ++i) {
      if ((which >> i & 1) == 0) continue;
      expected[first + i].add(rows[r][first + i]);
      if ((left >> i & 1) != 0) got[first + i].add(rows[r][first + i]);
    }
    if ((r + 1) % pour_every == 0)
      for (std::size_t c = 0; c < columns; ++c) sums.pour(c, &got[c]);
  }
  for (std::size_t c = 0; c < columns; ++c) {
    sums.pour(c, &got[c]);
    EXPECT_EQ(sums.pending(c), 0U);
    ASSERT_EQ(got[c].serialize(), expected[c].serialize()) << "column " << c;
  }
}

void expect_same_in_every_way(const Rows& rows) {
  const std::uint64_t all = ~std::uint64_t{0};
  for (const std::size_t n : {1U, 7U, 8U, 13U, 64U})
    for (const std::size_t first : {0U, 3U})
      for (const std::uint64_t which : {all, std::uint64_t{0x5bd1e995a5a5f00f}})
        expect_same(rows, first, n, n == 64 ? which : which & (all >> (64 - n)), 11);
  expect_same(rows, 0, 64, all, rows.size());
}

Rows rows_of(std::size_t n, const std::function<double(std::size_t)>& value) {
  Rows out(n, std::vector<double>(70));
  for (auto& row : out)
    for (std::size_t c = 0; c < row.size(); ++c) row[c] = value(c);
  return out;
}

TEST_P(ColumnSumsOnEachCpu, OfUsualValuesAreTheSame) {
  std::mt19937_64 random(8);
  std::normal_distribution<double> normal(0, 3);
  expect_same_in_every_way(rows_of(500, [&](std::size_t c) {
    return random() % 5 == 0 ? 0.0 : normal(random) * std::pow(10, static_cast<double>(c) - 30);
  }));
}

TEST_P(ColumnSumsOnEachCpu, OfAnyBitsAreTheSame) {
  std::mt19937_64 random(9);
  expect_same_in_every_way(
      rows_of(300, [&](std::size_t) { return std::bit_cast<double>(random()); }));
}

TEST_P(ColumnSumsOnEachCpu, OfSpreadsAroundEveryExponentAreTheSame) {
  std::mt19937_64 random(10);
  for (int exponent = -1074; exponent < 1023; exponent += 97)
    expect_same_in_every_way(rows_of(60, [&](std::size_t) {
      return std::ldexp(static_cast<double>(random()) / 1.8e19 - 0.5,
                        exponent + static_cast<int>(random() % 60) - 30);
    }));
}

TEST_P(ColumnSumsOnEachCpu, OfZerosAndExtremesAreTheSame) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> odd{0.0,
                                -0.0,
                                1.0,
                                -1.0,
                                0x1p52,
                                -0x1p52,
                                0x1p53 - 1,
                                5e-324,
                                -5e-324,
                                inf,
                                -inf,
                                0x1p-1022,
                                std::numeric_limits<double>::max(),
                                std::numeric_limits<double>::quiet_NaN()};
  std::mt19937_64 random(11);
  expect_same_in_every_way(rows_of(200, [&](std::size_t) { return odd[random() % odd.size()]; }));
}

INSTANTIATE_TEST_SUITE_P(EachCpu, ColumnSumsOnEachCpu, testing::ValuesIn(vector_targets()),
                         [](const auto& info) {
                           return std::string(vector_target_name(info.param));
                         });

}  // namespace
}  // namespace polysome
