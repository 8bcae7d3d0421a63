// Count, sum and sum of squares of a column, exact, as one binary state that merges in any order,
// and the SQL functions over it. Equal data gives equal bytes for any partitioning, order and
// thread count.
//   aggregates  ps_moments(DOUBLE|BIGINT) → BLOB, ps_sums(DOUBLE|BIGINT) → BLOB (no squares),
//               ps_moments_merge(BLOB) → BLOB
//   scalars     ps_count(BLOB) → BIGINT; ps_sum, ps_mean(BLOB) → DOUBLE;
//               ps_var, ps_std(BLOB, ddof INTEGER) → DOUBLE
// NULL and NaN are missing: neither counted nor added. Of no values: count 0, sum 0, the rest NULL.
// A NULL state counts as no values. For our own SQL: DuckDB 1.5 gives aggregates of its C interface
// wrong states under ORDER BY inside the call, so the cage keeps these names from callers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kernels/exact_sum.h"
#include "kernels/session.h"

namespace polysome {

struct Moments {
  std::int64_t count = 0;
  ExactSum<kValueWindow> sum;
  ExactSum<kSquareWindow> squares;
  bool has_squares = true;

  void add(double x);  // NaN is skipped
  void add(std::int64_t x);
  void merge(const Moments& other);  // has_squares stays only if both have them (or other is empty)
  // The same of a serialized one. kUserData: not a state; what is counted so far is of no use then.
  Status merge(std::string_view bytes);
  // Canonical: equal moments, equal bytes.
  std::string serialize() const;
  static Result<Moments> parse(std::string_view bytes);  // kUserData: not a state

  // Correctly rounded; ±infinity and NaN as IEEE addition would give.
  double total() const;
  std::optional<double> mean() const;  // none of no values
  // (n Σx² − (Σx)²) / (n (n − ddof)) over exact integers, rounded once. None when n ≤ ddof; kept
  // squares are required (none otherwise).
  std::optional<double> variance(int ddof) const;
};

// Called by Session::open.
Status register_moments(Session& session);

}  // namespace polysome
