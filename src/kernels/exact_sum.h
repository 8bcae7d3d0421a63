// An exact sum of doubles or of their squares: fixed-point digits of 32 bits in 64-bit integers,
// added without any rounding, so the result has the same bits for every order, partitioning and
// merge tree. The state is a small window of digits around the values met; values that do not fit
// it move it to a full-range accumulator on the heap. Plain data but for that pointer; may be moved
// bytewise (DuckDB does); one thread. NaN must not be added. See
// docs/decisions/0001-exact-moments.md.
//
// The idea of digits with late carries: R. Neal, "Fast exact summation using small and large
// superaccumulators" (2015). Invariant: |limb| < 2^63 always, as carries are settled every
// kMaxPending additions of at most 2^53 each.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace polysome {

// Digit k has the weight 2^(32 k − kOriginBits): squares of the smallest doubles are 2^-2148, of
// the largest under 2^2048; the rest is room for carries (2^63 additions and more).
inline constexpr int kOriginBits = 2176;
inline constexpr int kOriginDigits = kOriginBits / 32;
inline constexpr int kFullDigits = 138;

// A whole number of 32-bit digits, lowest first, without zero digits at either end: sign · Σ
// digit[i] · 2^(32 (low + i)). The one form of each value; zero has no digits.
struct Magnitude {
  bool negative = false;
  int low = 0;
  int size = 0;
  std::array<std::uint32_t, 2 * kFullDigits + 8> digits;

  std::span<const std::uint32_t> span() const {
    return {digits.data(), static_cast<std::size_t>(size)};
  }
  void trim();
};

// Correctly rounded m / divisor (half to even; overflow is infinity). divisor > 0.
__extension__ using Uint128 = unsigned __int128;
__extension__ using Int128 = __int128;
double divide(const Magnitude& m, Uint128 divisor);
// n·a − b², exact. `a` and `b` as ExactSum::magnitude gives them.
Magnitude scaled_minus_square(std::uint64_t n, const Magnitude& a, const Magnitude& b);

// Windows: limbs of values (2 digits each) and of squares (4 digits each), the top one for carries.
inline constexpr int kValueWindow = 6;
inline constexpr int kSquareWindow = 10;

template <int kWindow>
class ExactSum {
 public:
  ExactSum() = default;
  ExactSum(const ExactSum& other) { *this = other; }
  ExactSum& operator=(const ExactSum& other);
  ExactSum(ExactSum&&) noexcept = default;
  ExactSum& operator=(ExactSum&&) noexcept = default;

  void add(double x) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    auto exponent = static_cast<int>(bits >> 52 & 0x7ff);
    std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52) - 1);
    if (exponent == 0x7ff) return add_infinity(bits >> 63 != 0);
    if (exponent == 0)
      exponent = 1;
    else
      mantissa |= std::uint64_t{1} << 52;
    if (mantissa == 0) return;
    const int position = exponent + (kOriginBits - 1075);
    const int shift = position & 31;
    const auto sign = static_cast<std::int64_t>(bits) >> 63;
    std::int64_t* limb = find<2>(position >> 5);
    limb[0] += (static_cast<std::int64_t>(mantissa << shift & 0xffffffff) ^ sign) - sign;
    limb[1] += (static_cast<std::int64_t>(mantissa >> (32 - shift)) ^ sign) - sign;
  }

  // Adds x² exactly.
  void add_square(double x) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    auto exponent = static_cast<int>(bits >> 52 & 0x7ff);
    std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52) - 1);
    if (exponent == 0x7ff) return add_infinity(false);
    if (exponent == 0)
      exponent = 1;
    else
      mantissa |= std::uint64_t{1} << 52;
    if (mantissa == 0) return;
    const int position = 2 * exponent + (kOriginBits - 2150);
    add_wide(static_cast<Uint128>(mantissa) * mantissa, position);
  }

  void add(std::int64_t x) {
    if (x == 0) return;
    const auto sign = x >> 63;
    const std::uint64_t size = (static_cast<std::uint64_t>(x) ^ static_cast<std::uint64_t>(sign)) -
                               static_cast<std::uint64_t>(sign);
    std::int64_t* limb = find<2>(kOriginDigits);
    limb[0] += (static_cast<std::int64_t>(size & 0xffffffff) ^ sign) - sign;
    limb[1] += (static_cast<std::int64_t>(size >> 32) ^ sign) - sign;
  }

  void add_square(std::int64_t x) {
    if (x == 0) return;
    const std::uint64_t size =
        x < 0 ? 0 - static_cast<std::uint64_t>(x) : static_cast<std::uint64_t>(x);
    add_wide(static_cast<Uint128>(size) * size, kOriginBits);
  }

  // Adds value · 2^(position − kOriginBits): what was summed elsewhere as an integer. position ≥ 0,
  // and the value's highest bit within the range of the digits.
  void add_scaled(Int128 value, int position);

  void merge(const ExactSum& other);

  // Infinities met; with one the sum is it, with both NaN.
  bool has_infinity() const { return infinities_ != 0; }
  double infinity() const;

  // The exact value of the finite part.
  Magnitude magnitude() const;
  // Appends the canonical bytes; takes them off the front of `bytes` and adds what they stand for.
  // False: not such bytes, nothing is added.
  void append_to(std::string* out) const;
  bool merge_from(std::string_view* bytes);

 private:
  static constexpr std::int16_t kEmpty = 16384;  // no digit is near it
  static constexpr int kMaxPending = 500;        // each may add to a limb twice, 2^53 at most
  using Full = std::array<std::int64_t, kFullDigits>;

  void add_infinity(bool negative) { infinities_ |= negative ? 2 : 1; }

  // The limb of digit `digit`, with room for `pieces` digits and the carries above them.
  template <int kPieces>
  std::int64_t* find(int digit) {
    if (++pending_ > kMaxPending) [[unlikely]]
      settle();
    const int at = digit - base_;
    if (full_ == nullptr && static_cast<unsigned>(at) <= kWindow - kPieces - 1) [[likely]]
      return window_.data() + at;
    return find_slowly(digit, kPieces);
  }

  void add_wide(Uint128 value, int position) {
    const int shift = position & 31;
    std::int64_t* limb = find<4>(position >> 5);
    const Uint128 rest = value >> (32 - shift);
    limb[0] += static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << shift & 0xffffffff);
    limb[1] += static_cast<std::int64_t>(static_cast<std::uint64_t>(rest) & 0xffffffff);
    limb[2] += static_cast<std::int64_t>(static_cast<std::uint64_t>(rest) >> 32);
    limb[3] += static_cast<std::int64_t>(static_cast<std::uint64_t>(rest >> 64));
  }

  void settle();
  std::int64_t* find_slowly(int digit, int pieces);
  void widen();
  void add_digits(int low, std::span<const std::int64_t> digits);

  std::int16_t base_ = kEmpty;  // digit of window_[0]
  std::uint16_t pending_ = 0;   // additions since carries were settled
  std::uint8_t infinities_ = 0;
  std::array<std::int64_t, kWindow> window_{};
  std::unique_ptr<Full> full_;
};

extern template class ExactSum<kValueWindow>;
extern template class ExactSum<kSquareWindow>;

}  // namespace polysome
