// What aggregate and describe have worked out before the first row is read, and the SQL they share.
//
// Every map task writes, for each kind of value (int, double, text …), partial states
//   state.<kind>.parquet    k0…, col, rows, n, m (moments), s (exact integer sum), lo, hi
// and, when quantiles, distinct counts or modes are asked for, value counts
//   values.<kind>.parquet   k0…, bucket, col, v, n
// States are merged in a tree; value counts go either straight to the result task (one bucket), or
// through reduce tasks: with keys each takes the groups whose hash falls into its bucket and
// finishes them, without keys each takes a range of (col, v) between splitters that all tasks
// compute alike.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "operations/columns.h"
#include "operations/delivery.h"
#include "operations/operation.h"

namespace polysome {

struct AggregateColumn {
  std::string name;  // "" for the count of rows
  ValueKind kind = ValueKind::kDouble;
  std::string type;  // of the dataset's column
  std::string sql;   // its value over the view; empty: what its type says (value_sql)
};

struct Statistic {
  std::string operation;  // count, mean, quantile …
  double q = 0;           // of quantile and median
  std::string label() const;
};

struct AggregateDetails {
  enum class Shape { kPerColumn, kPerGroup, kDescribe };
  Shape shape = Shape::kPerColumn;
  std::vector<AggregateColumn> keys;
  std::vector<AggregateColumn> columns;
  std::vector<Statistic> statistics;
  std::string where;  // checked SQL, or empty
  Json row_tests;     // the same for the reader of text (data/row_tests.h); null: needs SQL
  std::uint32_t buckets = 1;

  bool has(std::string_view operation) const;
  bool counts_values() const;  // needs value counts
  bool needs_quantiles() const;
  std::vector<double> quantiles() const;  // distinct, ascending
  bool needs_moments() const;             // mean, var, std, or a sum of doubles
  bool second_moments() const;
  std::vector<std::uint32_t> of_kind(ValueKind kind) const;  // places in `columns`
  std::vector<ValueKind> kinds() const;
  bool ranges() const { return keys.empty() && buckets > 1; }

  // `source`: the plan's first input, whose columns need not be listed once more.
  Json to_json(const TableSource& source) const;
  static Result<AggregateDetails> from_json(const Json& j, const TableSource& source);
};

// Of the task's plan. Errors: kInternal.
Result<AggregateDetails> aggregate_details(const TaskEnv& env);

inline constexpr const char* kAggregateView = "data";
inline constexpr const char* kAggregateScan = "scan";
inline constexpr const char* kAggregateReduce = "reduce";

// The stages for these details: scan, combine.1 …, reduce, result.
OperationPlan plan_aggregate(const PlanRequest& request, AggregateDetails details);
AggregateColumn aggregate_column(const SourceColumn& column);
// Its value over the view.
std::string value_sql(const AggregateColumn& column);

// "k0, k1, " for `n` keys, or "" without.
std::string key_list(std::size_t n, const std::string& prefix = {});
std::string state_role(ValueKind kind);
std::string values_role(ValueKind kind);
std::string cuts_role(ValueKind kind);
std::string totals_role(ValueKind kind);

// SELECT that merges the states in `from`.
std::string merge_states_sql(const AggregateDetails& details, ValueKind kind,
                             const std::string& from);
// SELECT that finishes the value counts in `from`: k0…, col, d, f, mode, q0, q1 ….
std::string finish_values_sql(const AggregateDetails& details, ValueKind kind,
                              const std::string& from);
// Linear interpolation between the values at ranks floor(h) and ceil(h), h = (n − 1) q, as numpy's
// default method rounds it.
std::string interpolate_sql(const std::string& low, const std::string& high,
                            const std::string& fraction);

// For a task that has to cut its work (spec.split): `from` in slices of which each holds all rows
// of its groups, {from} otherwise.
std::vector<std::string> slices_of(const TaskEnv& env, const AggregateDetails& details,
                                   const std::string& from);
// SELECT over each of `slices`, one after the other into one Parquet file of this role.
using SelectOver = std::function<std::string(const std::string& from)>;
Status write_slices(TaskEnv& env, const std::vector<std::string>& slices, const SelectOver& select,
                    const std::string& role);

Status aggregate_scan_body(TaskEnv& env);
Status aggregate_combine_body(TaskEnv& env);
Status aggregate_reduce_body(TaskEnv& env);
Status aggregate_result_body(TaskEnv& env);

// After range reduces: makes the temporary table `name` that finish_values_sql would give.
Status finish_ranges(TaskEnv& env, const AggregateDetails& details, ValueKind kind,
                     const std::vector<StageFile>& runs, const std::vector<StageFile>& totals,
                     const std::string& name);

}  // namespace polysome
