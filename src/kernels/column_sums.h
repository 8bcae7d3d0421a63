// Exact sums of many columns whose values come a row at a time, side by side in vector registers:
// what QuickMoments<false> (quick_moments.h) is for one, with the same units, limits and results.
// Vector code for each kind of CPU, chosen at run time. Plain memory, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/moments.h"

namespace polysome {

class ColumnSums {
 public:
  // At most so many values of a column between two pours.
  static constexpr std::uint32_t kMostPending = std::uint32_t{1} << 22;

  explicit ColumnSums(std::size_t columns);

  std::size_t size() const { return counts_.size(); }
  std::size_t bytes() const {
    return size() * (2 * sizeof(std::uint64_t) + 2 * sizeof(std::uint32_t));
  }

  // Adds values[i] to column first + i where bit i of `which` is set, i < n <= 64. Returns the bits
  // of those that are not counted, to be added elsewhere: NaN, infinities, and what is out of the
  // reach of the column's unit.
  std::uint64_t add(std::size_t first, std::size_t n, const double* values, std::uint64_t which);

  std::uint32_t pending(std::size_t column) const { return counts_[column]; }
  // Adds the column's count and sum to `out` and begins anew, in the same unit.
  void pour(std::size_t column, Moments* out);

 private:
  std::uint64_t add_first(std::size_t first, const double* values, std::uint64_t which);

  // A sum is the 128-bit whole number high · 2^64 + low in units of 2^(base − 1075).
  std::vector<std::uint64_t> low_, high_;
  std::vector<std::uint32_t> bases_, counts_;
};

}  // namespace polysome
