#include "kernels/number_batch.h"

#include <array>
#include <cstring>

#include "kernels/number_text.h"

// This file is compiled once for each kind of CPU.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/number_batch.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace polysome::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One after another: the rest of a batch, and CPUs without wide vectors.
HWY_INLINE std::uint64_t convert_one(const char* base, const std::uint32_t* marks, std::size_t i,
                                     double* out) {
  const char* const end = base + marks[i + 1];
  return std::uint64_t{quick_double(base + marks[i] + 1, end, end - 8, out + i)} << i;
}

HWY_INLINE std::uint64_t spread_one(const char* const* ends, const std::uint64_t* sizes,
                                    std::size_t i, double* out) {
  return std::uint64_t{quick_double(ends[i] - sizes[i], ends[i], ends[i] - 16, out + i)} << i;
}

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_FLOAT64 == 0

std::uint64_t ConvertFields(const char* base, const std::uint32_t* marks, std::size_t n,
                            double* out) {
  std::uint64_t taken = 0;
  for (std::size_t i = 0; i < n; ++i) taken |= convert_one(base, marks, i, out);
  return taken;
}

std::uint64_t ConvertSpread(const char* const* ends, const std::uint64_t* sizes, std::size_t n,
                            double* out) {
  std::uint64_t taken = 0;
  for (std::size_t i = 0; i < n; ++i) taken |= spread_one(ends, sizes, i, out);
  return taken;
}

#else

using Words = hn::CappedTag<std::uint64_t, 8>;

// The steps of number_text.h on words of eight letters each.

template <class V>
HWY_INLINE V points_of(Words d, V w) {
  const auto x = hn::Xor(w, hn::Set(d, std::uint64_t{0x2E2E2E2E2E2E2E2E}));
  return hn::And(hn::AndNot(x, hn::Sub(x, hn::Set(d, std::uint64_t{0x0101010101010101}))),
                 hn::Set(d, std::uint64_t{0x8080808080808080}));
}

// All bits below the lowest point; all bits of a word without one.
template <class V>
HWY_INLINE V below_point(Words d, V points) {
  const auto lowest = hn::And(points, hn::Sub(hn::Zero(d), points));
  return hn::Sub(hn::ShiftRight<7>(lowest), hn::Set(d, std::uint64_t{1}));
}

template <class V>
HWY_INLINE auto all_digits(Words d, V w) {
  const auto high = hn::Set(d, std::uint64_t{0xF0F0F0F0F0F0F0F0});
  return hn::Eq(hn::Or(hn::And(w, high),
                       hn::ShiftRight<4>(hn::And(
                           hn::Add(w, hn::Set(d, std::uint64_t{0x0606060606060606})), high))),
                hn::Set(d, std::uint64_t{0x3333333333333333}));
}

template <class V>
HWY_INLINE V eight_digits(Words d, V w) {
  const hn::Repartition<std::uint32_t, Words> d32;
  const auto times = [&](auto v, std::uint32_t factor) {
    return hn::BitCast(d, hn::MulEven(hn::BitCast(d32, v), hn::Set(d32, factor)));
  };
  w = hn::Sub(w, hn::Set(d, std::uint64_t{0x3030303030303030}));
#if HWY_TARGET <= HWY_AVX2
  // Twos, then fours: the products of neighbours added, which Highway 1.0 has no word for.
#if HWY_TARGET <= HWY_AVX3
  const __m512i twos = _mm512_maddubs_epi16(w.raw, _mm512_set1_epi16(0x010A));
  const V fours{_mm512_madd_epi16(twos, _mm512_set1_epi32(0x00010064))};
#else
  const __m256i twos = _mm256_maddubs_epi16(w.raw, _mm256_set1_epi16(0x010A));
  const V fours{_mm256_madd_epi16(twos, _mm256_set1_epi32(0x00010064))};
#endif
  return hn::Add(times(fours, 10'000), hn::ShiftRight<32>(fours));
#else
  w = hn::Add(hn::Add(hn::ShiftLeft<3>(w), hn::ShiftLeft<1>(w)), hn::ShiftRight<8>(w));
  const auto pair = hn::Set(d, std::uint64_t{0x000000FF000000FF});
  const auto a = hn::And(w, pair);
  const auto b = hn::And(hn::ShiftRight<16>(w), pair);
  return hn::Add(hn::Add(times(a, 1'000'000), times(b, 10'000)),
                 hn::Add(times(hn::ShiftRight<32>(a), 100), hn::ShiftRight<32>(b)));
#endif
}

// Bytes of `below` that are all ones.
template <class V>
HWY_INLINE V count_bytes(Words d, V below) {
#if HWY_TARGET <= HWY_AVX2
  const hn::Repartition<std::uint8_t, Words> d8;
  return hn::SumsOf8(
      hn::BitCast(d8, hn::And(below, hn::Set(d, std::uint64_t{0x0101010101010101}))));
#else
  return hn::ShiftRight<3>(hn::PopulationCount(below));
#endif
}

// 10^fraction, of 0 … 7.
template <class V>
HWY_INLINE auto small_power(Words d, V fraction) {
  const hn::Rebind<double, Words> df;
#if HWY_TARGET <= HWY_AVX3
  return hn::TableLookupLanes(hn::LoadU(df, number_text::kPowers.data()),
                              hn::IndicesFromVec(df, fraction));
#else
  const hn::Rebind<std::int64_t, Words> signed_words;
  return hn::GatherIndex(df, number_text::kPowers.data(), hn::BitCast(signed_words, fraction));
#endif
}

// Whole numbers below 2^52 as doubles: 2^52 + value, less 2^52.
template <class V>
HWY_INLINE auto as_double(Words d, V value) {
  const hn::Rebind<double, Words> df;
  return hn::Sub(hn::BitCast(df, hn::Or(value, hn::Set(d, std::uint64_t{0x4330000000000000}))),
                 hn::Set(df, 4503599627370496.0));
}

template <class M>
HWY_INLINE std::uint64_t bits_of(Words d, M mask, std::size_t i) {
  std::array<std::uint8_t, 8> bits{};
  hn::StoreMaskBits(d, mask, bits.data());
  return std::uint64_t{bits[0]} << i;
}

// Fields i … i + lanes − 1. The steps are those of quick_double.
HWY_INLINE std::uint64_t convert_some(const char* base, const std::uint32_t* marks, std::size_t i,
                                      double* out) {
  const Words d;
  const hn::Rebind<std::uint32_t, Words> half;
  const hn::Rebind<std::int64_t, Words> signed_words;
  const hn::Rebind<double, Words> df;
  const auto ends32 = hn::LoadU(half, marks + i + 1);
  const auto begins32 = hn::LoadU(half, marks + i);
  const auto ends = hn::PromoteTo(d, ends32);
  const auto one = hn::Set(d, std::uint64_t{1});
  const auto length = hn::Sub(hn::Sub(ends, hn::PromoteTo(d, begins32)), one);

  auto w = hn::GatherOffset(d, reinterpret_cast<const std::uint64_t*>(base - 8),
                            hn::BitCast(signed_words, ends));
  // Up to eight letters; longer ones give rubbish that is not taken.
  const auto eight = hn::Set(d, std::uint64_t{8});
  const auto fits =
      hn::Lt(hn::BitCast(signed_words, hn::Sub(length, one)), hn::BitCast(signed_words, eight));
  const auto skipped = hn::And(hn::Sub(eight, length), hn::Set(d, std::uint64_t{7}));
  const auto first =
      hn::And(hn::Shr(w, hn::ShiftLeft<3>(skipped)), hn::Set(d, std::uint64_t{0xff}));
  const auto negative = hn::Eq(first, hn::Set(d, std::uint64_t{'-'}));
  const auto size = hn::Sub(length, hn::IfThenElseZero(negative, one));

  // Right aligned, with zeros in front.
  const auto shift = hn::And(hn::ShiftLeft<3>(hn::Sub(size, one)), hn::Set(d, std::uint64_t{63}));
  const auto front = hn::ShiftRight<8>(hn::Shr(hn::Set(d, ~std::uint64_t{0}), shift));
  const auto zeros = hn::Set(d, std::uint64_t{0x3030303030303030});
  w = hn::Or(hn::AndNot(front, w), hn::And(front, zeros));

  // The point is taken out.
  const auto points = points_of(d, w);
  const auto no_point = hn::Eq(points, hn::Zero(d));
  const auto below = below_point(d, points);
  const auto without =
      hn::Or(hn::Or(hn::AndNot(hn::Or(hn::ShiftLeft<8>(below), hn::Set(d, std::uint64_t{0xff})), w),
                    hn::ShiftLeft<8>(hn::And(w, below))),
             hn::Set(d, std::uint64_t{0x30}));
  w = hn::IfThenElse(no_point, w, without);
  // Letters behind the point: bytes above it.
  const auto before = count_bytes(d, below);
  const auto fraction =
      hn::IfThenElseZero(hn::Not(no_point), hn::Sub(hn::Set(d, std::uint64_t{7}), before));

  const auto digits = all_digits(d, w);
  // At least one digit: more letters than the sign and the point.
  const auto letters = hn::Sub(size, hn::IfThenElse(no_point, hn::Zero(d), one));
  const auto some = hn::Gt(hn::BitCast(signed_words, letters), hn::Zero(signed_words));

  const auto number = as_double(d, eight_digits(d, w));
  const auto power = small_power(d, hn::And(fraction, hn::Set(d, std::uint64_t{7})));
  const auto sign = hn::IfThenElseZero(negative, hn::Set(d, std::uint64_t{1} << 63));
  hn::StoreU(hn::BitCast(df, hn::Or(hn::BitCast(d, hn::Div(number, power)), sign)), df, out + i);

  const auto good = hn::And(digits, hn::And(hn::RebindMask(d, fits), hn::RebindMask(d, some)));
  return bits_of(d, good, i);
}

// The same of up to sixteen letters in two words, `low` with the first ones.
HWY_INLINE std::uint64_t spread_some(const char* const* ends, const std::uint64_t* sizes,
                                     std::size_t i, double* out) {
  const Words d;
  const hn::Rebind<std::int64_t, Words> signed_words;
  const hn::Rebind<double, Words> df;
  const auto one = hn::Set(d, std::uint64_t{1});
  const auto eight = hn::Set(d, std::uint64_t{8});
  const auto bits = hn::Set(d, std::uint64_t{63});
  const auto byte = hn::Set(d, std::uint64_t{0xff});
  const auto zeros = hn::Set(d, std::uint64_t{0x3030303030303030});
  const auto all = hn::Set(d, ~std::uint64_t{0});
  const auto signed_of = [&](auto v) { return hn::BitCast(signed_words, v); };
  std::array<std::uint64_t, 8> first_words{}, last_words{};
  for (std::size_t k = 0; k < hn::Lanes(d); ++k) {
    first_words[k] = number_text::load(ends[i + k] - 16);
    last_words[k] = number_text::load(ends[i + k] - 8);
  }
  auto low = hn::LoadU(d, first_words.data());
  auto high = hn::LoadU(d, last_words.data());
  const auto length = hn::LoadU(d, sizes + i);
  const auto fits = hn::RebindMask(
      d, hn::Lt(signed_of(hn::Sub(length, one)), signed_of(hn::Set(d, std::uint64_t{16}))));
  const auto is_long = [&](auto v) {
    return hn::RebindMask(d, hn::Gt(signed_of(v), signed_of(eight)));
  };

  // The first letter: byte 16 − length of the two words.
  const auto skipped = hn::And(hn::ShiftLeft<3>(hn::Sub(hn::Zero(d), length)), bits);
  const auto first = hn::And(hn::Shr(hn::IfThenElse(is_long(length), low, high), skipped), byte);
  const auto negative = hn::Eq(first, hn::Set(d, std::uint64_t{'-'}));
  const auto size = hn::Sub(length, hn::IfThenElseZero(negative, one));

  // Right aligned, with zeros in front: the word in which the number begins is cut, and before that
  // there is nothing.
  const auto wide = is_long(size);
  const auto in_word = hn::And(hn::ShiftLeft<3>(hn::Sub(size, one)), bits);
  const auto front = hn::ShiftRight<8>(hn::Shr(all, in_word));
  const auto front_low = hn::IfThenElse(wide, front, all);
  const auto front_high = hn::IfThenElse(wide, hn::Zero(d), front);
  low = hn::Or(hn::AndNot(front_low, low), hn::And(front_low, zeros));
  high = hn::Or(hn::AndNot(front_high, high), hn::And(front_high, zeros));

  // The first point is taken out: what stands before it moves up by a byte, across the words.
  const auto points_low = points_of(d, low), points_high = points_of(d, high);
  const auto none_low = hn::Eq(points_low, hn::Zero(d)),
             none_high = hn::Eq(points_high, hn::Zero(d));
  const auto no_point = hn::And(none_low, none_high);
  const auto below_low = below_point(d, points_low), below_high = below_point(d, points_high);
  const auto closed = [&](auto w, auto below, auto in) {
    return hn::Or(hn::Or(hn::AndNot(hn::Or(hn::ShiftLeft<8>(below), byte), w),
                         hn::ShiftLeft<8>(hn::And(w, below))),
                  in);
  };
  const auto zero_in = hn::Set(d, std::uint64_t{0x30});
  const auto in_high = hn::And(none_low, hn::Not(none_high));
  high = hn::IfThenElse(in_high, closed(high, below_high, hn::ShiftRight<56>(low)), high);
  low = hn::IfThenElse(no_point, low, closed(low, below_low, zero_in));
  const auto before_low = count_bytes(d, below_low);
  const auto before_high = count_bytes(d, below_high);
  const auto fraction = hn::IfThenElseZero(
      hn::Not(no_point), hn::IfThenElse(in_high, hn::Sub(hn::Set(d, std::uint64_t{7}), before_high),
                                        hn::Sub(hn::Set(d, std::uint64_t{15}), before_low)));

  const auto letters = hn::Sub(size, hn::IfThenElse(no_point, hn::Zero(d), one));
  const auto some = hn::RebindMask(d, hn::Gt(signed_of(letters), hn::Zero(signed_words)));
  const auto digits = hn::And(all_digits(d, low), all_digits(d, high));

  // Exact up to 2^53: both parts are below 10^8.
  const auto tens = hn::Mul(as_double(d, eight_digits(d, low)), hn::Set(df, 1e8));
  const auto number = hn::Add(tens, as_double(d, eight_digits(d, high)));
  const auto exact = hn::RebindMask(d, hn::Le(number, hn::Set(df, 9007199254740991.0)));
  const auto power = hn::GatherIndex(df, number_text::kPowers.data(),
                                     signed_of(hn::And(fraction, hn::Set(d, std::uint64_t{15}))));
  const auto sign = hn::IfThenElseZero(negative, hn::Set(d, std::uint64_t{1} << 63));
  hn::StoreU(hn::BitCast(df, hn::Or(hn::BitCast(d, hn::Div(number, power)), sign)), df, out + i);
  return bits_of(d, hn::And(hn::And(digits, exact), hn::And(fits, some)), i);
}

std::uint64_t ConvertSpread(const char* const* ends, const std::uint64_t* sizes, std::size_t n,
                            double* out) {
  const std::size_t lanes = hn::Lanes(Words());
  std::uint64_t taken = 0;
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) taken |= spread_some(ends, sizes, i, out);
  for (; i < n; ++i) taken |= spread_one(ends, sizes, i, out);
  return taken;
}

std::uint64_t ConvertFields(const char* base, const std::uint32_t* marks, std::size_t n,
                            double* out) {
  const std::size_t lanes = hn::Lanes(Words());
  std::uint64_t taken = 0;
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) taken |= convert_some(base, marks, i, out);
  for (; i < n; ++i) taken |= convert_one(base, marks, i, out);
  return taken;
}

#endif

}  // namespace polysome::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polysome {

HWY_EXPORT(ConvertFields);
HWY_EXPORT(ConvertSpread);

std::uint64_t convert_fields(const char* base, const std::uint32_t* marks, std::size_t n,
                             double* out) {
  return HWY_DYNAMIC_DISPATCH(ConvertFields)(base, marks, n, out);
}

std::uint64_t convert_spread(const char* const* ends, const std::uint64_t* sizes, std::size_t n,
                             double* out) {
  return HWY_DYNAMIC_DISPATCH(ConvertSpread)(ends, sizes, n, out);
}

}  // namespace polysome
#endif  // HWY_ONCE
