#include "kernels/column_sums.h"

#include <algorithm>
#include <array>
#include <bit>

// This file is compiled once for each kind of CPU.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/column_sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef POLYSOME_COLUMN_SUMS_ONCE
#define POLYSOME_COLUMN_SUMS_ONCE
namespace polysome {
namespace {

constexpr std::uint32_t kSpread = 50;     // 53 bits of a value + this + 2^22 values fit 127 bits
constexpr std::uint32_t kUnset = 0x8000;  // no exponent is near it
constexpr std::uint64_t kFraction = (std::uint64_t{1} << 52) - 1;

struct SumColumns {
  std::uint64_t* low;
  std::uint64_t* high;
  const std::uint32_t* bases;
  std::uint32_t* counts;
};

}  // namespace
}  // namespace polysome
#endif

HWY_BEFORE_NAMESPACE();
namespace polysome::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Column i alone: the steps of add_some.
HWY_INLINE bool add_one(const SumColumns& to, std::size_t i, double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const bool zero = (bits << 1) == 0;
  const auto exponent = static_cast<std::uint32_t>(bits >> 52 & 0x7ff);
  const std::uint32_t shift = zero ? 0 : exponent - to.bases[i];
  if (shift > kSpread) return false;
  const std::uint64_t mantissa = zero ? 0 : (bits & kFraction) | (kFraction + 1);
  const Int128 value = static_cast<Int128>(static_cast<Uint128>(mantissa) << shift);
  Int128 sum = static_cast<Int128>(static_cast<Uint128>(to.high[i]) << 64 | to.low[i]);
  sum += static_cast<std::int64_t>(bits) < 0 ? -value : value;
  to.low[i] = static_cast<std::uint64_t>(sum);
  to.high[i] = static_cast<std::uint64_t>(static_cast<Uint128>(sum) >> 64);
  ++to.counts[i];
  return true;
}

#if HWY_TARGET != HWY_SCALAR && HWY_HAVE_FLOAT64

using Words = hn::CappedTag<std::uint64_t, 8>;

// Columns i … i + lanes − 1; the lowest bits of `which` say which. Returns the bits not counted.
HWY_INLINE std::uint64_t add_some(const SumColumns& to, std::size_t i, const double* values,
                                  std::uint64_t which) {
  const Words d;
  const hn::Rebind<std::int64_t, Words> ds;
  const hn::Rebind<std::uint32_t, Words> half;
  const hn::Rebind<double, Words> df;
  const auto zero = hn::Zero(d);
  std::array<std::uint8_t, 8> asked{static_cast<std::uint8_t>(which)};
  const auto wanted = hn::LoadMaskBits(d, asked.data());

  const auto bits = hn::BitCast(d, hn::LoadU(df, values));
  const auto exponent = hn::And(hn::ShiftRight<52>(bits), hn::Set(d, std::uint64_t{0x7ff}));
  const auto is_zero = hn::Eq(hn::ShiftLeft<1>(bits), zero);
  // Negative, and so too large, below the base.
  auto shift = hn::IfThenZeroElse(
      is_zero, hn::Sub(exponent, hn::PromoteTo(d, hn::LoadU(half, to.bases + i))));
  const auto in_reach = hn::Lt(shift, hn::Set(d, std::uint64_t{kSpread + 1}));
  const auto taken = hn::And(in_reach, wanted);
  shift = hn::IfThenElseZero(taken, shift);
  const auto mantissa =
      hn::IfThenElseZero(hn::AndNot(is_zero, taken),
                         hn::Or(hn::And(bits, hn::Set(d, kFraction)), hn::Set(d, kFraction + 1)));

  // Shifted across two words, and turned where it is negative: ~x + 1.
  const auto low = hn::Shl(mantissa, shift);
  const auto high =
      hn::Shr(hn::ShiftRight<1>(mantissa), hn::Sub(hn::Set(d, std::uint64_t{63}), shift));
  const auto sign = hn::BitCast(d, hn::BroadcastSignBit(hn::BitCast(ds, bits)));
  const auto turned = hn::Sub(hn::Xor(low, sign), sign);
  // One is carried where nothing is turned into nothing, a comparison being −1.
  const auto carried = hn::And(hn::VecFromMask(d, hn::Eq(low, zero)), sign);
  const auto before = hn::LoadU(d, to.low + i);
  const auto after = hn::Add(before, turned);
  const auto overflowed = hn::VecFromMask(d, hn::Lt(after, before));
  hn::StoreU(after, d, to.low + i);
  hn::StoreU(hn::Sub(hn::Sub(hn::Add(hn::LoadU(d, to.high + i), hn::Xor(high, sign)), carried),
                     overflowed),
             d, to.high + i);

  std::array<std::uint8_t, 8> got{};
  hn::StoreMaskBits(d, taken, got.data());
  const hn::Rebind<std::uint32_t, Words> dc;
  const auto ones = hn::TruncateTo(dc, hn::IfThenElseZero(taken, hn::Set(d, std::uint64_t{1})));
  hn::StoreU(hn::Add(hn::LoadU(dc, to.counts + i), ones), dc, to.counts + i);
  return which & ~std::uint64_t{got[0]} & ((std::uint64_t{1} << hn::Lanes(d)) - 1);
}

#endif

std::uint64_t AddToColumns(const SumColumns& to, std::size_t n, const double* values,
                           std::uint64_t which) {
  std::uint64_t left = 0;
  std::size_t i = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_HAVE_FLOAT64
  for (const std::size_t lanes = hn::Lanes(Words()); i + lanes <= n; i += lanes)
    left |= add_some(to, i, values + i, which >> i) << i;
#endif
  for (; i < n; ++i)
    if ((which >> i & 1) != 0 && !add_one(to, i, values[i])) left |= std::uint64_t{1} << i;
  return left;
}

}  // namespace polysome::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polysome {

HWY_EXPORT(AddToColumns);

ColumnSums::ColumnSums(std::size_t columns)
    : low_(columns), high_(columns), bases_(columns, kUnset), counts_(columns) {}

std::uint64_t ColumnSums::add(std::size_t first, std::size_t n, const double* values,
                              std::uint64_t which) {
  const SumColumns to{low_.data() + first, high_.data() + first, bases_.data() + first,
                      counts_.data() + first};
  const std::uint64_t left = HWY_DYNAMIC_DISPATCH(AddToColumns)(to, n, values, which);
  return left == 0 ? 0 : add_first(first, values, left);
}

// The first value of a column sets its unit, with room below and above, no subnormals and no
// infinities.
std::uint64_t ColumnSums::add_first(std::size_t first, const double* values, std::uint64_t which) {
  std::uint64_t left = which;
  for (std::uint64_t m = which; m != 0; m &= m - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(m));
    const std::size_t column = first + i;
    const auto exponent =
        static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(values[i]) >> 52 & 0x7ff);
    if (bases_[column] != kUnset || exponent == 0 || exponent == 0x7ff) continue;
    bases_[column] = std::clamp(exponent, kSpread / 2 + 1, 0x7feU - kSpread / 2) - kSpread / 2;
    const SumColumns to{low_.data(), high_.data(), bases_.data(), counts_.data()};
    if (HWY_STATIC_DISPATCH(add_one)(to, column, values[i])) left &= ~(std::uint64_t{1} << i);
  }
  return left;
}

void ColumnSums::pour(std::size_t column, Moments* out) {
  out->count += counts_[column];
  if (bases_[column] != kUnset) {
    const auto sum = static_cast<Int128>(static_cast<Uint128>(high_[column]) << 64 | low_[column]);
    out->sum.add_scaled(sum, static_cast<int>(bases_[column]) + (kOriginBits - 1075));
  }
  low_[column] = high_[column] = 0;
  counts_[column] = 0;
}

}  // namespace polysome
#endif  // HWY_ONCE
