#include "kernels/exact_sum.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <boost/multiprecision/cpp_int.hpp>
#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/moments.h"

namespace polysome {
namespace {

using boost::multiprecision::cpp_int;

// x · 2^1074, exact.
cpp_int scaled(double x) {
  int exponent = 0;
  const double fraction = std::frexp(x, &exponent);
  const auto mantissa = static_cast<std::int64_t>(std::ldexp(fraction, 53));
  const int shift = exponent - 53 + 1074;
  return shift >= 0 ? cpp_int(mantissa) << shift : cpp_int(mantissa) / (cpp_int(1) << -shift);
}

// numerator / denominator · 2^exponent, rounded half to even: an independent way, on big integers.
double rounded(cpp_int numerator, cpp_int denominator, int exponent) {
  if (numerator == 0) return 0;
  const bool negative = numerator < 0;
  numerator = abs(numerator);
  const int excess = static_cast<int>(msb(numerator)) - static_cast<int>(msb(denominator));
  int shift = 60 - excess;  // 60 or 61 bits of quotient
  if (shift >= 0)
    numerator <<= shift;
  else
    denominator <<= -shift;
  cpp_int quotient = numerator / denominator;
  const bool inexact = quotient * denominator != numerator;
  int e = exponent - shift;
  int drop = std::max(static_cast<int>(msb(quotient)) - 52, -1074 - e);
  cpp_int kept = quotient >> drop;
  const cpp_int lost = quotient - (kept << drop);
  const cpp_int half = cpp_int(1) << (drop - 1);
  if (lost > half || (lost == half && (inexact || (kept & 1) != 0))) ++kept;
  const double out = std::ldexp(kept.convert_to<double>(), e + drop);
  return negative ? -out : out;
}

struct Expected {
  double sum, mean, variance;
};

Expected expected_of(const std::vector<double>& values, int ddof) {
  cpp_int sum = 0, squares = 0;
  for (const double x : values) {
    const cpp_int v = scaled(x);
    sum += v;
    squares += v * v;
  }
  const cpp_int n = values.size();
  return {rounded(sum, 1, -1074), rounded(sum, n, -1074),
          rounded(n * squares - sum * sum, n * (n - ddof), -2148)};
}

Moments moments_of(const std::vector<double>& values) {
  Moments m;
  for (const double x : values) m.add(x);
  return m;
}

// Data of several kinds; narrow ones stay in the window, wide ones need the full range.
std::vector<double> made(int kind, int n, std::mt19937_64& random) {
  std::vector<double> out;
  std::normal_distribution<double> normal(10, 3);
  for (int i = 0; i < n; ++i) {
    const double u = std::generate_canonical<double, 53>(random);
    switch (kind) {
      case 0: out.push_back(normal(random)); break;
      case 1: out.push_back(std::floor(u * 1000)); break;
      case 2: out.push_back(1e9 + u); break;  // large mean
      case 3: out.push_back((u - 0.5) * std::pow(10.0, 30 * (u - 0.5))); break;
      case 4: {  // any finite double
        double x = 0;
        do x = std::bit_cast<double>(random());
        while (!std::isfinite(x) || std::abs(x) > 1e300);
        out.push_back(x);
        break;
      }
      case 5: out.push_back(std::bit_cast<double>(random() >> 12)); break;        // subnormal
      case 6: out.push_back(i % 2 == 0 ? DBL_MAX / 1e6 : -DBL_MAX / 1e6); break;  // cancels
      default: out.push_back(i % 3 == 0 ? 0.0 : 1e-12 * u); break;
    }
  }
  return out;
}

TEST(ExactSum, EqualsBigIntegersForEveryKindOfData) {
  std::mt19937_64 random(1);
  for (int kind = 0; kind <= 7; ++kind) {
    for (const int n : {1, 2, 3, 10, 257, 3000}) {
      const auto values = made(kind, n, random);
      const Moments m = moments_of(values);
      for (const int ddof : {0, 1}) {
        if (n <= ddof) {
          EXPECT_FALSE(m.variance(ddof));
          continue;
        }
        const Expected e = expected_of(values, ddof);
        EXPECT_EQ(m.total(), e.sum) << kind << " " << n;
        EXPECT_EQ(m.mean(), e.mean) << kind << " " << n;
        EXPECT_EQ(m.variance(ddof), e.variance) << kind << " " << n;
      }
    }
  }
}

TEST(ExactSum, SameBytesInAnyOrderAndPartitioning) {
  std::mt19937_64 random(2);
  for (int kind = 0; kind <= 7; ++kind) {
    auto values = made(kind, 1000, random);
    const std::string whole = moments_of(values).serialize();
    for (int round = 0; round < 20; ++round) {
      std::ranges::shuffle(values, random);
      std::vector<Moments> parts(1 + random() % 9);
      for (const double x : values) parts[random() % parts.size()].add(x);
      while (parts.size() > 1) {  // some merge tree
        const std::size_t a = random() % parts.size();
        Moments taken = std::move(parts[a]);
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(a));
        Moments& into = parts[random() % parts.size()];
        if (random() % 2 == 0) taken = *Moments::parse(taken.serialize());
        into.merge(taken);
      }
      ASSERT_EQ(parts[0].serialize(), whole) << kind;
    }
  }
}

TEST(ExactSum, IntegersAndDoublesOfTheSameValueAreTheSameState) {
  Moments integers, doubles;
  for (std::int64_t i = -1000; i < 5000; i += 7) {
    integers.add(i * 1'000'003);
    doubles.add(static_cast<double>(i * 1'000'003));
  }
  EXPECT_EQ(integers.serialize(), doubles.serialize());
}

TEST(ExactSum, IntegersBeyondDoublesAreExact) {
  Moments m;
  m.add(INT64_MAX);
  m.add(std::int64_t{-1});
  m.add(INT64_MIN);
  EXPECT_EQ(m.total(), -2.0);
  cpp_int sum = 0, squares = 0;
  for (const std::int64_t x : {INT64_MAX, std::int64_t{-1}, INT64_MIN}) {
    sum += x;
    squares += cpp_int(x) * x;
  }
  EXPECT_EQ(m.variance(1), rounded(3 * squares - sum * sum, 6, 0));
}

TEST(ExactSum, CancellationLosesNothing) {
  const Moments m = moments_of({1e300, 1.0, -1e300, 1e-300});
  EXPECT_EQ(m.total(), 1.0);
  EXPECT_EQ(moments_of({1e16, 1, -1e16}).total(), 1.0);
  // The textbook failure of E[x²] − E[x]² on doubles.
  EXPECT_EQ(moments_of({1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16}).variance(1), 30.0);
}

TEST(ExactSum, ManyAdditionsSettleTheirCarries) {
  Moments m;
  const double x = std::nextafter(1.0, 0.0);
  for (int i = 0; i < 100'000; ++i) {
    m.add(x);
    m.add(-x / 4);
  }
  EXPECT_EQ(m.total(), rounded((scaled(x) - scaled(x / 4)) * 100'000, 1, -1074));
}

TEST(ExactSum, InfinitiesFollowIeeeAddition) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(moments_of({1, kInf}).total(), kInf);
  EXPECT_EQ(moments_of({1, -kInf}).mean(), -kInf);
  EXPECT_TRUE(std::isnan(moments_of({kInf, -kInf}).total()));
  EXPECT_TRUE(std::isnan(*moments_of({kInf, 1}).variance(1)));
  EXPECT_EQ(moments_of({DBL_MAX, DBL_MAX}).total(), kInf);
  EXPECT_EQ(moments_of({DBL_MAX, DBL_MAX}).mean(), DBL_MAX);
}

TEST(ExactSum, OfNothingIsZeroWithoutMean) {
  const Moments m = moments_of({std::numeric_limits<double>::quiet_NaN()});
  EXPECT_EQ(m.count, 0);
  EXPECT_EQ(m.total(), 0.0);
  EXPECT_FALSE(m.mean());
  EXPECT_FALSE(m.variance(0));
}

TEST(ExactSum, DamagedStatesAreRefused) {
  std::mt19937_64 random(3);
  const std::string good = moments_of(made(0, 100, random)).serialize();
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(Moments::parse(good.substr(0, n)));
  EXPECT_FALSE(Moments::parse(good + "x"));
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (int k = 0; k < 3; ++k) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (auto m = Moments::parse(bytes)) {
      Moments copy = *m;
      copy.merge(*m);
      EXPECT_EQ(copy.count, 2 * m->count);
      (void)copy.variance(1);
    }
  }
}

}  // namespace
}  // namespace polysome
