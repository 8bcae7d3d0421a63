// Doubles as whole numbers in a common unit, and the squares of those, side by side in vector
// registers: what exact sums of many groups add up (state_table.h). Nothing is rounded. Vector code
// for each kind of CPU, chosen at run time; every kind gives the same. Pure, any thread.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/number_batch.h"

namespace polysome {

// Value i is the 128-bit whole number, in two's complement, high[i] · 2^64 + low[i] in units of
// 2^(base − 1075); its square the 192-bit one of square[0 … 2][i], lowest first, in units of
// 2^(2 base − 2150).
struct FixedPoints {
  alignas(64) std::array<std::uint64_t, kNumberBatch> low, high;
  alignas(64) std::array<std::array<std::uint64_t, kNumberBatch>, 3> square;
};

// The unit of a column: a biased exponent such that values from 2^kFixedBelow smaller to
// 2^kFixedAbove larger than some of them fit.
inline constexpr std::uint32_t kFixedSpread = 30;
inline constexpr std::uint32_t kFixedAbove = 8;
// 0: not of zero, subnormals, infinities and NaN.
inline std::uint32_t fixed_base(double value) {
  const auto exponent =
      static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(value) >> 52 & 0x7ff);
  if (exponent == 0 || exponent == 0x7ff) return 0;
  // No subnormals below, no infinities above.
  const std::uint32_t least = 1 + kFixedSpread - kFixedAbove;
  return std::clamp(exponent, least, 0x7feU - kFixedAbove) - (kFixedSpread - kFixedAbove);
}

// Of the n <= kNumberBatch values those whose bits in `which` are set. Bit i of the answer: value i
// fits the unit, and is there; of others `out` holds zeros. Squares are zero unless asked for.
std::uint64_t to_fixed_points(const double* values, std::size_t n, std::uint64_t which,
                              std::uint32_t base, bool squares, FixedPoints* out);

}  // namespace polysome
