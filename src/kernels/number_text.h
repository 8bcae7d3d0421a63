// The common ways of writing numbers, read without a branch per digit: up to 16 letters of digits
// with at most one point and a leading minus. What these functions take they read exactly (a double
// is the nearest one: whole numbers up to 2^53 divided by powers of ten up to 10^16 round once);
// what they do not take is for the full readers (values.h). Eight digits in three
// multiplications: D. Lemire, "Quickly parsing eight digits" (2018). Pure, any thread.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace polysome {

namespace number_text {

__extension__ using Wide = unsigned __int128;
inline constexpr std::size_t kMostLetters = 16;
inline constexpr std::uint64_t kMostExact = std::uint64_t{1} << 53;
inline constexpr std::array<double, 17> kPowers{1,   1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7, 1e8,
                                                1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16};

inline std::uint64_t load(const char* p) {
  std::uint64_t w = 0;
  std::memcpy(&w, p, sizeof w);
  if constexpr (std::endian::native == std::endian::big) w = __builtin_bswap64(w);
  return w;
}

inline bool all_digits(std::uint64_t w) {
  constexpr std::uint64_t kHigh = 0xF0F0F0F0F0F0F0F0;
  return ((w & kHigh) | (((w + 0x0606060606060606) & kHigh) >> 4)) == 0x3333333333333333;
}

// Eight digits, the first in the lowest byte.
inline std::uint64_t eight_digits(std::uint64_t w) {
  w -= 0x3030303030303030;
  w = w * 10 + (w >> 8);
  constexpr std::uint64_t kMask = 0x000000FF000000FF;
  return (((w & kMask) * 0x000F424000000064) + (((w >> 16) & kMask) * 0x0000271000000001)) >> 32;
}

// A bit in the top of each byte that is a point; exact for the lowest one.
inline std::uint64_t points(std::uint64_t w) {
  const std::uint64_t x = w ^ 0x2E2E2E2E2E2E2E2E;
  return (x - 0x0101010101010101) & ~x & 0x8080808080808080;
}

}  // namespace number_text

// [begin, end) as a double; `floor`: no byte before it may be touched. False: not taken.
[[gnu::always_inline]] inline bool quick_double(const char* begin, const char* end,
                                                const char* floor, double* out) {
  namespace nt = number_text;
  const bool negative = begin != end && *begin == '-';
  const auto size = static_cast<std::size_t>(end - begin) - (negative ? 1 : 0);
  std::uint64_t value = 0;
  unsigned fraction = 0;
  if (size - 1 < 8 && end - floor >= 8) {
    // Right aligned, with zeros in front.
    const std::uint64_t front = (~std::uint64_t{0} >> (8 * (size - 1))) >> 8;
    std::uint64_t w = nt::load(end - 8);
    w = (w & ~front) | (0x3030303030303030 & front);
    const std::uint64_t point = nt::points(w);
    if (point != 0) {
      const auto at = static_cast<unsigned>(std::countr_zero(point)) >> 3;
      if (size == 1) return false;
      fraction = 7 - at;
      const std::uint64_t below = (std::uint64_t{1} << (8 * at)) - 1;
      w = (w & ~((below << 8) | 0xff)) | ((w & below) << 8) | 0x30;
    }
    if (!nt::all_digits(w)) return false;
    value = nt::eight_digits(w);
  } else if (size - 1 < nt::kMostLetters && end - floor >= 16) {
    const auto front = (~nt::Wide{0} >> (8 * (size - 1))) >> 8;
    constexpr nt::Wide kZeros = nt::Wide{0x3030303030303030} << 64 | 0x3030303030303030;
    nt::Wide w = nt::Wide{nt::load(end - 8)} << 64 | nt::load(end - 16);
    w = (w & ~front) | (kZeros & front);
    const std::uint64_t low = nt::points(static_cast<std::uint64_t>(w));
    const std::uint64_t high = nt::points(static_cast<std::uint64_t>(w >> 64));
    if ((low | high) != 0) {
      const unsigned at = low != 0 ? static_cast<unsigned>(std::countr_zero(low)) >> 3
                                   : 8 + (static_cast<unsigned>(std::countr_zero(high)) >> 3);
      fraction = 15 - at;
      const nt::Wide below = (nt::Wide{1} << (8 * at)) - 1;
      w = (w & ~((below << 8) | 0xff)) | ((w & below) << 8) | 0x30;
    }
    const auto first = static_cast<std::uint64_t>(w);
    const auto second = static_cast<std::uint64_t>(w >> 64);
    if (!nt::all_digits(first) || !nt::all_digits(second)) return false;
    value = nt::eight_digits(first) * 100'000'000 + nt::eight_digits(second);
    if (value > nt::kMostExact) return false;
  } else {
    return false;
  }
  const double positive = static_cast<double>(value) / nt::kPowers[fraction];
  *out = negative ? -positive : positive;
  return true;
}

// The same for whole numbers.
[[gnu::always_inline]] inline bool quick_int64(const char* begin, const char* end,
                                               const char* floor, std::int64_t* out) {
  namespace nt = number_text;
  const bool negative = begin != end && *begin == '-';
  const auto size = static_cast<std::size_t>(end - begin) - (negative ? 1 : 0);
  std::uint64_t value = 0;
  if (size - 1 < 8 && end - floor >= 8) {
    const std::uint64_t front = (~std::uint64_t{0} >> (8 * (size - 1))) >> 8;
    const std::uint64_t w = (nt::load(end - 8) & ~front) | (0x3030303030303030 & front);
    if (!nt::all_digits(w)) return false;
    value = nt::eight_digits(w);
  } else if (size - 1 < nt::kMostLetters && end - floor >= 16) {
    const std::uint64_t front = (~std::uint64_t{0} >> (8 * (size - 9))) >> 8;
    const std::uint64_t first = (nt::load(end - 16) & ~front) | (0x3030303030303030 & front);
    const std::uint64_t second = nt::load(end - 8);
    if (!nt::all_digits(first) || !nt::all_digits(second)) return false;
    value = nt::eight_digits(first) * 100'000'000 + nt::eight_digits(second);
  } else {
    return false;
  }
  *out = negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
  return true;
}

}  // namespace polysome
