// Count, exact sum and exact sum of squares of many columns or groups, for the inner loops that
// meet one value of each in turn: a few words each, added to in a few instructions, and poured into
// Moments (the one that is stored and merged) at the end. Fixed-point integers, never rounded: the
// result has the same bits as Moments::add for every value would give.
//
// A sum is one 128-bit integer in units of 2^(base − 1075), base the biased exponent that fits the
// first value; squares take 192 bits in units of the square of that. Values whose exponent is
// outside [base, base + kSpread] are for the caller to add to Moments of their own ("spill").
// Invariant: at most kMostPending values between two pours. Whole numbers have a fixed unit of 1.
// Plain data, one thread.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "kernels/moments.h"

namespace polysome {

template <bool kSquares>
class QuickMoments {
 public:
  // 53 bits of a value + its spread + 2^22 values fit 127 bits; 106 + twice that fit 192.
  static constexpr int kSpread = kSquares ? 30 : 50;
  static constexpr std::uint32_t kMostPending = std::uint32_t{1} << 22;

  // False: x is not counted; add it elsewhere. NaN is never taken.
  bool add(double x) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    const int shift = exponent_of(bits) - base_;
    if (static_cast<unsigned>(shift) > kSpread) [[unlikely]]
      return add_unusual(bits);
    add_shifted(bits, static_cast<unsigned>(shift));
    return true;
  }

  // Of whole numbers; not to be mixed with doubles.
  bool add(std::int64_t x) {
    if constexpr (kSquares)
      if (x >= kLargeWhole || x <= -kLargeWhole) return false;
    ++count_;
    add_sum(static_cast<Uint128>(static_cast<Int128>(x)));
    if constexpr (kSquares) add_square(static_cast<Uint128>(static_cast<Int128>(x) * x), 0);
    return true;
  }

  std::uint32_t pending() const { return count_; }

  // Adds all to `out` and begins anew, in the same units. `whole`: they were whole numbers.
  void pour(bool whole, Moments* out) {
    const int position = whole ? kOriginBits : base_ + (kOriginBits - 1075);
    out->count += count_;
    if (base_ != kUnset || whole) {
      out->sum.add_scaled(static_cast<Int128>(sum()), position);
      if constexpr (kSquares) {
        const int square_position = whole ? kOriginBits : 2 * base_ + (kOriginBits - 2150);
        out->squares.add_scaled(static_cast<Int128>(squares_[0]), square_position);
        out->squares.add_scaled(static_cast<Int128>(squares_[1]), square_position + 64);
        out->squares.add_scaled(static_cast<Int128>(squares_[2]), square_position + 128);
      }
    }
    count_ = 0;
    sum_ = {};
    squares_ = {};
  }

 private:
  static constexpr std::int16_t kUnset = -4096;  // no exponent is near it
  static constexpr std::int64_t kLargeWhole = std::int64_t{1} << 52;

  Uint128 sum() const { return static_cast<Uint128>(sum_[1]) << 64 | sum_[0]; }
  void add_sum(Uint128 value) {
    const Uint128 after = sum() + value;
    sum_ = {static_cast<std::uint64_t>(after), static_cast<std::uint64_t>(after >> 64)};
  }
  static int exponent_of(std::uint64_t bits) { return static_cast<int>(bits >> 52 & 0x7ff); }

  // Zero, the first value, or one that does not fit.
  bool add_unusual(std::uint64_t bits) {
    const int exponent = exponent_of(bits);
    if (bits << 1 == 0) {
      ++count_;
      return true;
    }
    if (base_ != kUnset || exponent == 0 || exponent == 0x7ff) return false;
    // No subnormals below, no infinities above.
    base_ = static_cast<std::int16_t>(std::clamp(exponent - kSpread / 2, 1, 0x7fe - kSpread));
    add_shifted(bits, static_cast<unsigned>(exponent - base_));
    return true;
  }

  void add_shifted(std::uint64_t bits, unsigned shift) {
    constexpr auto kImplied = std::uint64_t{1} << 52;
    const std::uint64_t mantissa = (bits & (kImplied - 1)) | kImplied;
    const auto sign = static_cast<std::uint64_t>(static_cast<std::int64_t>(bits) >> 63);
    ++count_;
    // Negative: all bits turned, and one more.
    const std::uint64_t low = (mantissa << shift) ^ sign;
    const std::uint64_t high = (mantissa >> 1 >> (63 - shift)) ^ sign;
    add_sum((static_cast<Uint128>(high) << 64 | low) + (sign & 1));
    if constexpr (kSquares) add_square(static_cast<Uint128>(mantissa) * mantissa, 2 * shift);
  }

  void add_square(Uint128 square, unsigned shift) {  // shift ≤ 60
    const auto low = static_cast<std::uint64_t>(square);
    const auto high = static_cast<std::uint64_t>(square >> 64);
    const std::uint64_t middle = (high << shift) | (low >> 1 >> (63 - shift));
    const Uint128 added = static_cast<Uint128>(middle) << 64 | (low << shift);
    const Uint128 sum = (static_cast<Uint128>(squares_[1]) << 64 | squares_[0]) + added;
    squares_[0] = static_cast<std::uint64_t>(sum);
    squares_[1] = static_cast<std::uint64_t>(sum >> 64);
    squares_[2] += (high >> 1 >> (63 - shift)) + (sum < added ? 1U : 0U);
  }

  std::array<std::uint64_t, 2> sum_{};  // in two's complement, of words so that it packs
  std::array<std::uint64_t, kSquares ? 3 : 0> squares_{};
  std::uint32_t count_ = 0;
  std::int16_t base_ = kUnset;
};

}  // namespace polysome
