// Count, exact sum and exact sum of squares of the values of many groups, a batch of rows at a
// time: the numbers are made whole numbers side by side (fixed_points.h), and a group's words are
// touched once, by additions alone. One unit for all groups of a column; what does not fit it is
// for the caller to add elsewhere. Poured into Moments: the same bytes as Moments::add for every
// value would give. Plain memory, one thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/fixed_points.h"
#include "kernels/moments.h"

namespace polysome {

template <bool kSquares>
class GroupSums {
 public:
  // At most so many values of a state between two pours: 53 bits of a value + kFixedSpread + 2^22
  // values fit 127 bits; 106 + twice that fit 192.
  static constexpr std::uint32_t kMostPending = std::uint32_t{1} << 22;

  std::size_t size() const { return states_.size(); }
  void resize(std::size_t states) { states_.resize(states); }
  std::size_t bytes() const { return states_.capacity() * sizeof(State); }
  [[gnu::always_inline]] void prefetch(std::size_t state) const {
    // It may lie in two lines of the cache.
    const auto* const at = reinterpret_cast<const char*>(states_.data() + state);
    __builtin_prefetch(at, 1);
    __builtin_prefetch(at + sizeof(State) - 1, 1);
  }

  // Adds numbers[i] to state groups[i] · stride + column where bit i of `which` is set, i < n
  // <= 64. `base` is the column's unit: 0 until the first values set it. Returns the bits of those
  // not counted.
  std::uint64_t add(const std::uint32_t* groups, std::size_t stride, std::size_t column,
                    const double* numbers, std::size_t n, std::uint64_t which,
                    std::uint32_t* base) {
    if (*base == 0)
      for (std::size_t i = 0; i < n; ++i)
        if ((which >> i & 1) != 0) *base = std::max(*base, fixed_base(numbers[i]));
    if (*base == 0) return which;
    FixedPoints fixed;
    const std::uint64_t taken = to_fixed_points(numbers, n, which, *base, kSquares, &fixed);
    State* const states = states_.data() + column;
    for (std::uint64_t left = taken; left != 0; left &= left - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(left));
      states[groups[i] * stride].add(fixed, i);
    }
    return which & ~taken;
  }

  std::uint64_t pending(std::size_t state) const { return states_[state].count; }
  // Adds the state's to `out` and begins anew, in the same unit.
  void pour(std::size_t state, std::uint32_t base, Moments* out) {
    State& s = states_[state];
    if (s.count == 0) return;
    out->count += static_cast<std::int64_t>(s.count);
    const int unit = static_cast<int>(base);
    out->sum.add_scaled(static_cast<Int128>(static_cast<Uint128>(s.high) << 64 | s.low),
                        unit + (kOriginBits - 1075));
    if constexpr (kSquares)
      for (int i = 0; i < 3; ++i)
        out->squares.add_scaled(static_cast<Int128>(s.square[static_cast<std::size_t>(i)]),
                                2 * unit + (kOriginBits - 2150) + 64 * i);
    s = State();
  }

 private:
  struct State {
    std::uint64_t low = 0, high = 0;  // in two's complement
    std::array<std::uint64_t, kSquares ? 3 : 0> square{};
    std::uint64_t count = 0;

    void add(const FixedPoints& fixed, std::size_t i) {
      const Uint128 sum = (static_cast<Uint128>(high) << 64 | low) +
                          (static_cast<Uint128>(fixed.high[i]) << 64 | fixed.low[i]);
      low = static_cast<std::uint64_t>(sum);
      high = static_cast<std::uint64_t>(sum >> 64);
      if constexpr (kSquares) {
        const Uint128 before = static_cast<Uint128>(square[1]) << 64 | square[0];
        const Uint128 after =
            before + (static_cast<Uint128>(fixed.square[1][i]) << 64 | fixed.square[0][i]);
        square[0] = static_cast<std::uint64_t>(after);
        square[1] = static_cast<std::uint64_t>(after >> 64);
        square[2] += fixed.square[2][i] + (after < before ? 1 : 0);
      }
      ++count;
    }
  };

  std::vector<State> states_;
};

}  // namespace polysome
