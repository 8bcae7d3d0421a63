#include "kernels/fixed_points.h"

#include "kernels/exact_sum.h"

// This file is compiled once for each kind of CPU.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fixed_points.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef POLYSOME_FIXED_POINTS_ONCE
#define POLYSOME_FIXED_POINTS_ONCE
namespace polysome {
inline constexpr std::uint64_t kFraction = (std::uint64_t{1} << 52) - 1;
}  // namespace polysome
#endif

HWY_BEFORE_NAMESPACE();
namespace polysome::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Value i alone: the steps of fix_some.
HWY_INLINE std::uint64_t fix_one(double x, bool wanted, std::uint32_t base, std::size_t i,
                                 FixedPoints* out) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const bool zero = (bits << 1) == 0;
  std::uint32_t shift = zero ? 0 : static_cast<std::uint32_t>(bits >> 52 & 0x7ff) - base;
  const bool taken = wanted && shift <= kFixedSpread;
  if (!taken) shift = 0;
  const std::uint64_t mantissa = zero || !taken ? 0 : (bits & kFraction) | (kFraction + 1);
  const Uint128 size = static_cast<Uint128>(mantissa) << shift;
  const Uint128 value = static_cast<std::int64_t>(bits) < 0 ? 0 - size : size;
  out->low[i] = static_cast<std::uint64_t>(value);
  out->high[i] = static_cast<std::uint64_t>(value >> 64);
  const Uint128 square = static_cast<Uint128>(mantissa) * mantissa;
  const auto low = static_cast<std::uint64_t>(square);
  const auto high = static_cast<std::uint64_t>(square >> 64);
  const unsigned twice = 2 * shift;
  out->square[0][i] = low << twice;
  out->square[1][i] = high << twice | low >> 1 >> (63 - twice);
  out->square[2][i] = high >> 1 >> (63 - twice);
  return std::uint64_t{taken} << i;
}

#if HWY_TARGET != HWY_SCALAR && HWY_HAVE_FLOAT64

using Words = hn::CappedTag<std::uint64_t, 8>;

// Values i … i + lanes − 1.
template <bool kSquares>
HWY_INLINE std::uint64_t fix_some(const double* values, std::uint64_t which, std::uint32_t base,
                                  std::size_t i, FixedPoints* out) {
  const Words d;
  const hn::Rebind<std::int64_t, Words> ds;
  const hn::Rebind<double, Words> df;
  const auto zero = hn::Zero(d);
  const auto word = [&](std::uint64_t v) { return hn::Set(d, v); };
  std::array<std::uint8_t, 8> mask{static_cast<std::uint8_t>(which >> i)};
  const auto wanted = hn::LoadMaskBits(d, mask.data());

  const auto bits = hn::BitCast(d, hn::LoadU(df, values + i));
  const auto is_zero = hn::Eq(hn::ShiftLeft<1>(bits), zero);
  // Negative, and so too large, below the base.
  auto shift = hn::IfThenZeroElse(
      is_zero, hn::Sub(hn::And(hn::ShiftRight<52>(bits), word(0x7ff)), word(base)));
  const auto taken = hn::And(hn::Lt(shift, word(kFixedSpread + 1)), wanted);
  shift = hn::IfThenElseZero(taken, shift);
  const auto mantissa = hn::IfThenElseZero(
      hn::AndNot(is_zero, taken), hn::Or(hn::And(bits, word(kFraction)), word(kFraction + 1)));

  // Shifted across two words, and turned where it is negative: ~x + 1, which carries where the low
  // word is zero.
  const auto low = hn::Shl(mantissa, shift);
  const auto high = hn::Shr(hn::ShiftRight<1>(mantissa), hn::Sub(word(63), shift));
  const auto sign = hn::BitCast(d, hn::BroadcastSignBit(hn::BitCast(ds, bits)));
  const auto carried = hn::And(hn::VecFromMask(d, hn::Eq(low, zero)), sign);
  hn::StoreU(hn::Sub(hn::Xor(low, sign), sign), d, out->low.data() + i);
  hn::StoreU(hn::Sub(hn::Xor(high, sign), carried), d, out->high.data() + i);

  if constexpr (kSquares) {
    // (a · 2^32 + b)² of a below 2^21: products of 32 bits each.
    const hn::Repartition<std::uint32_t, Words> d32;
    const auto times = [&](auto v, auto w) {
      return hn::MulEven(hn::BitCast(d32, v), hn::BitCast(d32, w));
    };
    const auto upper = hn::ShiftRight<32>(mantissa);
    const auto ends = times(mantissa, mantissa);
    const auto middle = hn::ShiftLeft<1>(times(upper, mantissa));  // below 2^54
    const auto first = hn::Add(ends, hn::ShiftLeft<32>(middle));
    const auto overflowed = hn::VecFromMask(d, hn::Lt(first, ends));
    const auto second =
        hn::Sub(hn::Add(times(upper, upper), hn::ShiftRight<32>(middle)), overflowed);
    const auto twice = hn::Add(shift, shift);
    const auto rest = hn::Sub(word(63), twice);
    hn::StoreU(hn::Shl(first, twice), d, out->square[0].data() + i);
    hn::StoreU(hn::Or(hn::Shl(second, twice), hn::Shr(hn::ShiftRight<1>(first), rest)), d,
               out->square[1].data() + i);
    hn::StoreU(hn::Shr(hn::ShiftRight<1>(second), rest), d, out->square[2].data() + i);
  }
  std::array<std::uint8_t, 8> got{};
  hn::StoreMaskBits(d, taken, got.data());
  return std::uint64_t{got[0]} << i;
}

#endif

template <bool kSquares>
std::uint64_t fix_all(const double* values, std::size_t n, std::uint64_t which, std::uint32_t base,
                      FixedPoints* out) {
  std::uint64_t taken = 0;
  std::size_t i = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_HAVE_FLOAT64
  for (const std::size_t lanes = hn::Lanes(Words()); i + lanes <= n; i += lanes)
    taken |= fix_some<kSquares>(values, which, base, i, out);
#endif
  for (; i < n; ++i) taken |= fix_one(values[i], (which >> i & 1) != 0, base, i, out);
  return taken;
}

std::uint64_t ToFixedPoints(const double* values, std::size_t n, std::uint64_t which,
                            std::uint32_t base, bool squares, FixedPoints* out) {
  return squares ? fix_all<true>(values, n, which, base, out)
                 : fix_all<false>(values, n, which, base, out);
}

}  // namespace polysome::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polysome {

HWY_EXPORT(ToFixedPoints);

std::uint64_t to_fixed_points(const double* values, std::size_t n, std::uint64_t which,
                              std::uint32_t base, bool squares, FixedPoints* out) {
  return HWY_DYNAMIC_DISPATCH(ToFixedPoints)(values, n, which, base, squares, out);
}

}  // namespace polysome
#endif  // HWY_ONCE
