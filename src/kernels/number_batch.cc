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

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_FLOAT64 == 0

std::uint64_t ConvertFields(const char* base, const std::uint32_t* marks, std::size_t n,
                            double* out) {
  std::uint64_t taken = 0;
  for (std::size_t i = 0; i < n; ++i) taken |= convert_one(base, marks, i, out);
  return taken;
}

#else

using Words = hn::CappedTag<std::uint64_t, 8>;

// Fields i … i + lanes − 1. The steps are those of quick_double.
HWY_INLINE std::uint64_t convert_some(const char* base, const std::uint32_t* marks, std::size_t i,
                                      double* out) {
  const Words d;
  const hn::Repartition<std::uint32_t, Words> d32;
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
  const auto x = hn::Xor(w, hn::Set(d, std::uint64_t{0x2E2E2E2E2E2E2E2E}));
  const auto points =
      hn::And(hn::AndNot(x, hn::Sub(x, hn::Set(d, std::uint64_t{0x0101010101010101}))),
              hn::Set(d, std::uint64_t{0x8080808080808080}));
  const auto no_point = hn::Eq(points, hn::Zero(d));
  const auto lowest = hn::And(points, hn::Sub(hn::Zero(d), points));
  const auto below = hn::Sub(hn::ShiftRight<7>(lowest), one);
  const auto without =
      hn::Or(hn::Or(hn::AndNot(hn::Or(hn::ShiftLeft<8>(below), hn::Set(d, std::uint64_t{0xff})), w),
                    hn::ShiftLeft<8>(hn::And(w, below))),
             hn::Set(d, std::uint64_t{0x30}));
  w = hn::IfThenElse(no_point, w, without);
  // Letters behind the point: bytes above it.
  const auto before = hn::ShiftRight<3>(hn::PopulationCount(below));
  const auto fraction =
      hn::IfThenElseZero(hn::Not(no_point), hn::Sub(hn::Set(d, std::uint64_t{7}), before));

  const auto high = hn::Set(d, std::uint64_t{0xF0F0F0F0F0F0F0F0});
  const auto digits =
      hn::Eq(hn::Or(hn::And(w, high),
                    hn::ShiftRight<4>(
                        hn::And(hn::Add(w, hn::Set(d, std::uint64_t{0x0606060606060606})), high))),
             hn::Set(d, std::uint64_t{0x3333333333333333}));
  // At least one digit: more letters than the sign and the point.
  const auto letters = hn::Sub(size, hn::IfThenElse(no_point, hn::Zero(d), one));
  const auto some = hn::Gt(hn::BitCast(signed_words, letters), hn::Zero(signed_words));

  w = hn::Sub(w, zeros);
  w = hn::Add(hn::Add(hn::ShiftLeft<3>(w), hn::ShiftLeft<1>(w)), hn::ShiftRight<8>(w));
  const auto pair = hn::Set(d, std::uint64_t{0x000000FF000000FF});
  const auto a = hn::And(w, pair);
  const auto b = hn::And(hn::ShiftRight<16>(w), pair);
  const auto times = [&](auto v, std::uint32_t factor) {
    return hn::BitCast(d, hn::MulEven(hn::BitCast(d32, v), hn::Set(d32, factor)));
  };
  const auto value = hn::Add(hn::Add(times(a, 1'000'000), times(b, 10'000)),
                             hn::Add(times(hn::ShiftRight<32>(a), 100), hn::ShiftRight<32>(b)));
  // As doubles: 2^52 + value, less 2^52.
  const auto number =
      hn::Sub(hn::BitCast(df, hn::Or(value, hn::Set(d, std::uint64_t{0x4330000000000000}))),
              hn::Set(df, 4503599627370496.0));
  const auto power =
      hn::GatherIndex(df, number_text::kPowers.data(),
                      hn::BitCast(signed_words, hn::And(fraction, hn::Set(d, std::uint64_t{15}))));
  const auto sign = hn::IfThenElseZero(negative, hn::Set(d, std::uint64_t{1} << 63));
  hn::StoreU(hn::BitCast(df, hn::Or(hn::BitCast(d, hn::Div(number, power)), sign)), df, out + i);

  const auto good = hn::And(digits, hn::And(hn::RebindMask(d, fits), hn::RebindMask(d, some)));
  std::array<std::uint8_t, 8> bits{};
  hn::StoreMaskBits(d, good, bits.data());
  return std::uint64_t{bits[0]} << i;
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

std::uint64_t convert_fields(const char* base, const std::uint32_t* marks, std::size_t n,
                             double* out) {
  return HWY_DYNAMIC_DISPATCH(ConvertFields)(base, marks, n, out);
}

}  // namespace polysome
#endif  // HWY_ONCE
