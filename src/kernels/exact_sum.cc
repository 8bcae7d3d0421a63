#include "kernels/exact_sum.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace polysome {
namespace {

constexpr std::int64_t kDigitMask = 0xffffffff;

// Brings every limb but the last into [0, 2^32); the last keeps the sign.
void carry(std::span<std::int64_t> limbs) {
  for (std::size_t i = 0; i + 1 < limbs.size(); ++i) {
    limbs[i + 1] += limbs[i] >> 32;
    limbs[i] &= kDigitMask;
  }
}

int bits_of(Uint128 v) {
  const auto high = static_cast<std::uint64_t>(v >> 64);
  return high != 0 ? 128 - std::countl_zero(high)
                   : 64 - std::countl_zero(static_cast<std::uint64_t>(v));
}

// -1, 0, 1 as |a| <, =, > |b|.
int compare(const Magnitude& a, const Magnitude& b) {
  const int top_a = a.low + a.size, top_b = b.low + b.size;
  if (a.size == 0 || b.size == 0) return (a.size != 0) - (b.size != 0);
  if (top_a != top_b) return top_a < top_b ? -1 : 1;
  for (int digit = top_a - 1; digit >= std::min(a.low, b.low); --digit) {
    const std::uint32_t x = digit >= a.low ? a.digits[digit - a.low] : 0;
    const std::uint32_t y = digit >= b.low ? b.digits[digit - b.low] : 0;
    if (x != y) return x < y ? -1 : 1;
  }
  return 0;
}

// |large| − |small|, large ≥ small.
Magnitude subtract(const Magnitude& large, const Magnitude& small) {
  Magnitude out;
  if (small.size == 0) return large;
  out.low = std::min(large.low, small.low);
  out.size = large.low + large.size - out.low;
  std::int64_t borrow = 0;
  for (int i = 0; i < out.size; ++i) {
    const int digit = out.low + i;
    const int at_large = digit - large.low, at_small = digit - small.low;
    std::int64_t v = borrow;
    if (at_large >= 0) v += large.digits[at_large];
    if (at_small >= 0 && at_small < small.size) v -= small.digits[at_small];
    out.digits[i] = static_cast<std::uint32_t>(v & kDigitMask);
    borrow = v >> 32;
  }
  out.trim();
  return out;
}

template <class T>
void append_raw(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
bool take_raw(std::string_view* bytes, T* value) {
  if (bytes->size() < sizeof *value) return false;
  std::memcpy(value, bytes->data(), sizeof *value);
  bytes->remove_prefix(sizeof *value);
  return true;
}

}  // namespace

void Magnitude::trim() {
  while (size > 0 && digits[size - 1] == 0) --size;
  int zeros = 0;
  while (zeros < size && digits[zeros] == 0) ++zeros;
  if (zeros > 0) {
    std::copy(digits.begin() + zeros, digits.begin() + size, digits.begin());
    size -= zeros;
    low += zeros;
  }
  if (size == 0) {
    low = 0;
    negative = false;
  }
}

namespace {

// The first n <= 128 of the `length` bits of m; zeros where it has fewer.
Uint128 highest_bits(const Magnitude& m, int length, int n) {
  Uint128 out = 0;
  for (int digit = m.size - 1, left = n; left > 0; --digit) {
    const int bits = digit == m.size - 1 ? length - 32 * digit : 32;
    const std::uint32_t here = digit >= 0 ? m.digits[digit] : 0;
    const int taken = std::min(bits, left);
    out = out << taken | here >> (bits - taken);
    left -= taken;
  }
  return out;
}

}  // namespace

double divide(const Magnitude& m, Uint128 divisor) {
  if (m.size == 0) return 0;
  const int length = 32 * (m.size - 1) + std::bit_width(m.digits[m.size - 1]);
  // Long division from the top: enough quotient bits to round, the rest is sticky.
  const int steps = bits_of(divisor) + 60;
  std::uint64_t quotient = 0;
  Uint128 rest = 0;
  if (steps <= 124) {
    // All of it fits: the highest bits, in whole digits and what is left of one.
    rest = highest_bits(m, length, steps);
    quotient = static_cast<std::uint64_t>(rest / divisor);
    rest %= divisor;
  } else {
    for (int i = 0; i < steps; ++i) {
      const int bit = length - 1 - i;
      rest = rest << 1 | (bit >= 0 ? m.digits[bit >> 5] >> (bit & 31) & 1 : 0);
      quotient <<= 1;
      if (rest >= divisor) {
        rest -= divisor;
        quotient |= 1;
      }
    }
  }
  bool sticky = rest != 0;
  const int unread = length - steps;  // low bits of m
  for (int i = 0; 32 * i < unread && !sticky; ++i) {
    const int here = std::min(32, unread - 32 * i);
    sticky = m.digits[i] << (32 - here) != 0;
  }
  // value = (quotient + sticky) · 2^exponent; the quotient has 60 bits or more.
  const int exponent = 32 * (m.low - kOriginDigits) + unread;
  const int drop = std::max(static_cast<int>(std::bit_width(quotient)) - 53, -1074 - exponent);
  double out = 0;
  if (drop < 64) {
    std::uint64_t kept = quotient >> drop;
    const std::uint64_t lost = quotient & ((std::uint64_t{1} << drop) - 1);
    const std::uint64_t half = std::uint64_t{1} << (drop - 1);
    if (lost > half || (lost == half && (sticky || (kept & 1) != 0))) ++kept;
    out = std::ldexp(static_cast<double>(kept), exponent + drop);
  }
  return m.negative ? -out : out;
}

Magnitude scaled_minus_square(std::uint64_t n, const Magnitude& a, const Magnitude& b) {
  Magnitude scaled;
  scaled.low = a.low;
  scaled.size = a.size + 2;
  std::uint64_t carried = 0;
  Uint128 sum = 0;
  for (int i = 0; i < scaled.size; ++i) {
    sum += i < a.size ? static_cast<Uint128>(n) * a.digits[i] : 0;
    scaled.digits[i] = static_cast<std::uint32_t>(static_cast<std::uint64_t>(sum) & kDigitMask);
    sum >>= 32;
  }
  scaled.trim();

  Magnitude square;
  // A square's digits have the weight 2^(2·32 k − 2·kOriginBits): brought to the common origin.
  square.low = 2 * b.low - kOriginDigits;
  square.size = 2 * b.size;
  std::fill_n(square.digits.begin(), square.size, 0);
  for (int i = 0; i < b.size; ++i) {
    carried = 0;
    for (int k = 0; k < b.size; ++k) {
      carried += static_cast<std::uint64_t>(b.digits[i]) * b.digits[k] + square.digits[i + k];
      square.digits[i + k] = static_cast<std::uint32_t>(carried & kDigitMask);
      carried >>= 32;
    }
    square.digits[i + b.size] = static_cast<std::uint32_t>(carried);
  }
  square.trim();

  if (compare(scaled, square) >= 0) return subtract(scaled, square);
  Magnitude out = subtract(square, scaled);
  out.negative = true;
  return out;
}

template <int kWindow>
ExactSum<kWindow>& ExactSum<kWindow>::operator=(const ExactSum& other) {
  if (this == &other) return *this;
  base_ = other.base_;
  pending_ = other.pending_;
  infinities_ = other.infinities_;
  window_ = other.window_;
  full_ = other.full_ == nullptr ? nullptr : std::make_unique<Full>(*other.full_);
  return *this;
}

template <int kWindow>
void ExactSum<kWindow>::settle() {
  if (full_ != nullptr)
    carry(*full_);
  else
    carry(window_);
  pending_ = 1;
}

template <int kWindow>
void ExactSum<kWindow>::widen() {
  auto full = std::make_unique<Full>();
  full->fill(0);
  if (base_ != kEmpty) std::copy(window_.begin(), window_.end(), full->begin() + base_);
  full_ = std::move(full);
}

template <int kWindow>
std::int64_t* ExactSum<kWindow>::find_slowly(int digit, int pieces) {
  if (full_ != nullptr) return full_->data() + digit;
  const int room = kWindow - pieces - 1;  // of positions of the lowest digit
  if (base_ == kEmpty) {
    // Most data have more small values than large ones: more room below.
    base_ = static_cast<std::int16_t>(std::clamp(digit - (room + 1) / 2, 0, kFullDigits - kWindow));
    return window_.data() + (digit - base_);
  }
  // Digits not used yet are zero: the window moves if it then covers what is used and what comes.
  carry(window_);
  pending_ = 1;
  int first = 0, last = kWindow - 1;
  while (first < kWindow && window_[first] == 0) ++first;
  while (last >= 0 && window_[last] == 0) --last;
  int low = digit, high = digit + pieces;  // the highest is for carries
  if (first <= last) {
    low = std::min(low, base_ + first);
    // A last limb with a sign or more than a digit spreads over what is above it.
    high = std::max(high, base_ + last + 1);
    const bool whole = last < kWindow - 1;
    if (!whole) high = std::max(high, base_ + kWindow);
  }
  if (high - low + 1 > kWindow || low + kWindow > kFullDigits) {
    widen();
    return full_->data() + digit;
  }
  std::array<std::int64_t, kWindow> moved{};
  const int base = std::clamp((low + high + 1 - kWindow) / 2, std::max(high + 1 - kWindow, 0),
                              std::min(low, kFullDigits - kWindow));
  for (int i = first; i <= last; ++i) moved[base_ + i - base] = window_[i];
  window_ = moved;
  base_ = static_cast<std::int16_t>(base);
  return window_.data() + (digit - base_);
}

template <int kWindow>
void ExactSum<kWindow>::add_digits(int low, std::span<const std::int64_t> digits) {
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] == 0) continue;
    // Settled digits are below 2^32, but the top one may hold any carry: in two pieces.
    std::int64_t* limb = find<2>(low + static_cast<int>(i));
    limb[0] += digits[i] & kDigitMask;
    limb[1] += digits[i] >> 32;
  }
}

template <int kWindow>
void ExactSum<kWindow>::add_scaled(Int128 value, int position) {
  const bool negative = value < 0;
  const auto size = negative ? 0 - static_cast<Uint128>(value) : static_cast<Uint128>(value);
  const int shift = position & 31;
  // Up to 127 + 31 bits: five digits.
  std::array<std::int64_t, 5> digits{};
  const Uint128 rest = size >> (32 - shift);
  digits[0] = static_cast<std::int64_t>(static_cast<std::uint64_t>(size) << shift & kDigitMask);
  for (int i = 0; i < 4; ++i)
    digits[i + 1] = static_cast<std::int64_t>(rest >> (32 * i) & kDigitMask);
  if (negative)
    for (auto& d : digits) d = -d;
  add_digits(position >> 5, digits);
}

template <int kWindow>
void ExactSum<kWindow>::merge(const ExactSum& other) {
  infinities_ |= other.infinities_;
  if (other.full_ == nullptr && other.base_ == kEmpty) return;
  if (other.full_ != nullptr && full_ == nullptr) widen();
  if (other.full_ != nullptr) {
    Full digits = *other.full_;
    carry(digits);
    settle();
    for (int i = 0; i < kFullDigits; ++i) (*full_)[i] += digits[i];
    ++pending_;
    return;
  }
  auto digits = other.window_;
  carry(digits);
  if (full_ == nullptr && base_ == other.base_) {
    settle();
    for (int i = 0; i < kWindow; ++i) window_[i] += digits[i];
    ++pending_;
    return;
  }
  add_digits(other.base_, digits);
}

template <int kWindow>
double ExactSum<kWindow>::infinity() const {
  if (infinities_ == 3) return std::numeric_limits<double>::quiet_NaN();
  return infinities_ == 1 ? std::numeric_limits<double>::infinity()
                          : -std::numeric_limits<double>::infinity();
}

template <int kWindow>
Magnitude ExactSum<kWindow>::magnitude() const {
  std::array<std::int64_t, kFullDigits + 2> limbs;
  std::size_t n = 0;
  Magnitude out;
  if (full_ != nullptr) {
    std::copy(full_->begin(), full_->end(), limbs.begin());
    n = full_->size();
  } else if (base_ != kEmpty) {
    std::copy(window_.begin(), window_.end(), limbs.begin());
    n = window_.size();
    out.low = base_;
  }
  limbs[n++] = 0;
  limbs[n++] = 0;
  const std::span used(limbs.data(), n);
  carry(used);
  if (used.back() < 0) {
    out.negative = true;
    for (auto& limb : used) limb = -limb;
    carry(used);
  }
  out.size = static_cast<int>(n);
  for (std::size_t i = 0; i < n; ++i) out.digits[i] = static_cast<std::uint32_t>(used[i]);
  out.trim();
  return out;
}

template <int kWindow>
void ExactSum<kWindow>::append_to(std::string* out) const {
  const Magnitude m = magnitude();
  append_raw(out, static_cast<std::uint8_t>(infinities_ | (m.negative ? 4 : 0)));
  append_raw(out, static_cast<std::uint8_t>(m.size));
  append_raw(out, static_cast<std::uint8_t>(m.low));
  out->append(reinterpret_cast<const char*>(m.digits.data()), 4 * static_cast<std::size_t>(m.size));
}

template <int kWindow>
bool ExactSum<kWindow>::merge_from(std::string_view* bytes) {
  std::uint8_t flags = 0, size = 0, low = 0;
  if (!take_raw(bytes, &flags) || !take_raw(bytes, &size) || !take_raw(bytes, &low)) return false;
  if (flags > 7 || low + size > kFullDigits - 2 || bytes->size() < 4U * size) return false;
  infinities_ |= flags & 3;
  const std::int64_t sign = (flags & 4) != 0 ? -1 : 0;
  // From the top: the first digit places the window, so a state comes back as small as it went.
  for (int i = size - 1; i >= 0; --i) {
    std::uint32_t digit = 0;
    std::memcpy(&digit, bytes->data() + 4 * i, sizeof digit);
    *find<2>(low + i) += (static_cast<std::int64_t>(digit) ^ sign) - sign;
  }
  bytes->remove_prefix(4U * size);
  return true;
}

template class ExactSum<kValueWindow>;
template class ExactSum<kSquareWindow>;

}  // namespace polysome
