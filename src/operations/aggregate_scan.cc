// The map of aggregate and describe: one partition's partial states and value counts.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "operations/aggregate_plan.h"
#include "operations/parquet_states.h"
#include "operations/query_states.h"
#include "operations/text_states.h"
#include "operations/wide_states.h"

namespace polysome {
namespace {

// Up to so many columns each get aggregates of their own; more are turned into rows first, because
// thousands of aggregates in one query take longer to plan than to run.
constexpr std::size_t kNarrow = 64;
// What a column costs while a query works on it, however few rows there are: a segment of a
// temporary table, or a chunk's values some times over.
constexpr std::uint64_t kColumnMemory = 262'144;
constexpr std::uint64_t kFewestColumns = 16;
// Value counts between two samples of a partition's sorted values.
constexpr std::uint64_t kCutsPerTask = 64;
constexpr const char* kRows = "ps_rows";
// With less memory than this, states are written in small row groups.
constexpr std::uint64_t kAmple = 500'000'000;
constexpr std::uint32_t kSmallRowGroup = 12'288;

std::string list_of(const std::vector<std::uint32_t>& columns, const char* prefix) {
  std::string out = "[";
  for (const auto c : columns) out += fmt::format("{}{}{}", out.size() > 1 ? ", " : "", prefix, c);
  return out + "]";
}

// Keys as k0…, values as x<place>: SELECT list over the view.
std::string rows_sql(const AggregateDetails& details, const std::vector<std::uint32_t>& columns) {
  std::string list;
  for (std::size_t i = 0; i < details.keys.size(); ++i)
    list += fmt::format("{} AS k{}, ", value_sql(details.keys[i]), i);
  for (const auto c : columns) list += fmt::format("{} AS x{}, ", value_sql(details.columns[c]), c);
  list.resize(list.size() - 2);
  std::string out = fmt::format("SELECT {} FROM {}", list, sql_identifier(kAggregateView));
  if (!details.where.empty()) out += " WHERE " + details.where;
  return out;
}

std::string group_clause(const std::string& keys) {
  return keys.empty() ? std::string() : " GROUP BY " + keys.substr(0, keys.size() - 2);
}

struct Accumulators {
  bool moments = false;
  const char* moments_function = "ps_sums";
  bool exact_sum = false;
  bool extremes = false;
};

Accumulators accumulators(const AggregateDetails& details, ValueKind kind) {
  Accumulators a;
  a.moments = is_number(kind) && details.needs_moments();
  if (details.second_moments()) a.moments_function = "ps_moments";
  a.exact_sum = kind == ValueKind::kInteger;
  a.extremes = details.has("min") || details.has("max");
  return a;
}

using Columns = std::vector<std::uint32_t>;

std::string narrow_state_sql(const AggregateDetails& details, ValueKind kind,
                             const Columns& columns, const std::string& from) {
  const auto a = accumulators(details, kind);
  const std::string keys = key_list(details.keys.size());
  std::string inner = fmt::format("SELECT {}count(*) AS rows", keys);
  for (const auto c : columns) {
    inner += fmt::format(", count(x{0}) AS n{0}", c);
    if (a.extremes) inner += fmt::format(", min(x{0}) AS lo{0}, max(x{0}) AS hi{0}", c);
    if (a.moments) inner += fmt::format(", {}(x{}) AS m{}", a.moments_function, c, c);
    if (a.exact_sum) inner += fmt::format(", sum(x{0})::DECIMAL(38,0) AS s{0}", c);
  }
  inner += fmt::format(" FROM {}{}", from, group_clause(keys));
  std::string outer = fmt::format("SELECT {}unnest({}) AS col, rows, unnest({}) AS n", keys,
                                  list_of(columns, ""), list_of(columns, "n"));
  if (a.moments) outer += fmt::format(", unnest({}) AS m", list_of(columns, "m"));
  if (a.exact_sum) outer += fmt::format(", unnest({}) AS s", list_of(columns, "s"));
  if (a.extremes)
    outer += fmt::format(", unnest({}) AS lo, unnest({}) AS hi", list_of(columns, "lo"),
                         list_of(columns, "hi"));
  else
    outer += fmt::format(", NULL::{0} AS lo, NULL::{0} AS hi", sql_type(kind));
  return fmt::format("{} FROM ({})", outer, inner);
}

// Columns as rows: k0…, col, v.
std::string melted_sql(const AggregateDetails& details, const Columns& columns,
                       const std::string& from) {
  const std::string keys = key_list(details.keys.size());
  if (columns.size() == 1)
    return fmt::format("SELECT {}{} AS col, x{} AS v FROM {}", keys, columns[0], columns[0], from);
  return fmt::format("SELECT {}unnest({}) AS col, unnest({}) AS v FROM {}", keys,
                     list_of(columns, ""), list_of(columns, "x"), from);
}

std::string wide_state_sql(const AggregateDetails& details, ValueKind kind, const Columns& columns,
                           const std::string& from) {
  const auto a = accumulators(details, kind);
  const std::string keys = key_list(details.keys.size());
  std::string out = fmt::format("SELECT {}col, count(*) AS rows, count(v) AS n", keys);
  if (a.moments) out += fmt::format(", {}(v) AS m", a.moments_function);
  if (a.exact_sum) out += ", sum(v)::DECIMAL(38,0) AS s";
  return out + fmt::format(", min(v) AS lo, max(v) AS hi FROM ({}) GROUP BY {}col",
                           melted_sql(details, columns, from), keys);
}

std::string values_sql(const AggregateDetails& details, const Columns& columns,
                       const std::string& from) {
  const std::string keys = key_list(details.keys.size());
  std::string bucket = "0";
  std::string order;
  if (details.ranges()) {
    order = " ORDER BY col, v";
  } else if (details.buckets > 1) {
    bucket =
        fmt::format("(hash({}) % {})::INTEGER", keys.substr(0, keys.size() - 2), details.buckets);
    order = " ORDER BY bucket";
  }
  return fmt::format(
      "SELECT {0}{1} AS bucket, col, v, count(*) AS n FROM ({2}) WHERE v IS NOT NULL "
      "GROUP BY {0}col, v{3}",
      keys, bucket, melted_sql(details, columns, from), order);
}

// Samples of the sorted value counts, from which every reduce task computes the same splitters.
Status write_cuts(TaskEnv& env, ValueKind kind, std::uint64_t rows) {
  const std::uint64_t step = std::max<std::uint64_t>(rows / kCutsPerTask, 1);
  POLYSOME_TRY(
      env.write_parquet(fmt::format("SELECT col, v FROM read_parquet({}, file_row_number = true) "
                                    "WHERE file_row_number % {} = 0",
                                    sql_text(env.path_of(values_role(kind))), step),
                        cuts_role(kind)));
  return {};
}

// What becomes of a SELECT whose rows are to stand in the file of this role.
using Leave = std::function<Status(const std::string& select, const std::string& role)>;

// Columns of one kind that are worked on together.
struct ColumnBlock {
  ValueKind kind = ValueKind::kDouble;
  Columns columns;
};

// All columns of a kind, or as many at a time as the grant has room for.
std::vector<ColumnBlock> column_blocks(const AggregateDetails& details, std::size_t at_once) {
  std::vector<ColumnBlock> out;
  for (const auto kind : details.kinds()) {
    const auto columns = details.of_kind(kind);
    for (std::size_t at = 0; at < columns.size(); at += at_once) {
      const auto begin = columns.begin() + static_cast<std::ptrdiff_t>(at);
      const auto n = static_cast<std::ptrdiff_t>(std::min(at_once, columns.size() - at));
      out.push_back({kind, {begin, begin + n}});
    }
  }
  return out;
}

std::size_t columns_at_once(const TaskEnv& env) {
  return static_cast<std::size_t>(std::max(
      kFewestColumns, env.context.memory / 4 / std::max(env.spec.split, 1U) / kColumnMemory));
}

Status scan_view(TaskEnv& env, const AggregateDetails& details,
                 const std::vector<ColumnBlock>& blocks, bool copied, const Leave& leave) {
  if (copied) {
    Columns all(details.columns.size());
    std::iota(all.begin(), all.end(), 0U);
    POLYSOME_TRY(env.temp_table(kRows, rows_sql(details, all)));
  }
  for (const auto& [kind, columns] : blocks) {
    POLYSOME_TRY(env.check_cancelled());
    const std::string from = copied ? kRows : fmt::format("({})", rows_sql(details, columns));
    POLYSOME_TRY(leave(columns.size() <= kNarrow ? narrow_state_sql(details, kind, columns, from)
                                                 : wide_state_sql(details, kind, columns, from),
                       state_role(kind)));
    if (details.counts_values())
      POLYSOME_TRY(leave(values_sql(details, columns, from), values_role(kind)));
  }
  return {};
}

Status scan(TaskEnv& env, const AggregateDetails& details) {
  const std::size_t at_once = columns_at_once(env);
  const auto blocks = column_blocks(details, at_once);
  const int passes = static_cast<int>(blocks.size()) * (details.counts_values() ? 2 : 1);
  const bool copied = passes > 1 && details.columns.size() <= at_once;
  const int reads = copied ? 1 : passes;
  std::map<std::string, std::uint64_t> rows;
  const Leave write = [&](const std::string& select, const std::string& role) -> Status {
    POLYSOME_ASSIGN(rows[role], env.write_parquet(select, role));
    return {};
  };
  if (env.spec.split <= 1 && blocks.size() == details.kinds().size()) {
    POLYSOME_TRY(env.open_partition(kAggregateView, reads));
    POLYSOME_TRY(scan_view(env, details, blocks, copied, write));
  } else {
    // States and counts of pieces and blocks stand side by side in one file: whoever reads it
    // brings those of one group or value together, as it must for those of several tasks.
    std::map<std::string, std::vector<std::string>> files;
    const Leave keep = [&](const std::string& select, const std::string& role) -> Status {
      POLYSOME_ASSIGN(files[role].emplace_back(), env.scratch_parquet(select));
      return {};
    };
    POLYSOME_TRY(env.each_piece(kAggregateView, reads, [&](std::size_t) {
      return scan_view(env, details, blocks, copied, keep);
    }));
    if (copied) POLYSOME_TRY(env.drop_table(kRows));
    for (const auto& [role, pieces] : files)
      POLYSOME_TRY(write("SELECT * FROM " + read_parquet_sql(pieces), role));
  }
  if (details.ranges())
    for (const auto kind : details.kinds())
      POLYSOME_TRY(write_cuts(env, kind, rows[values_role(kind)]));
  return {};
}

// What the direct way through text (text_states.h) is to do; nothing when these columns or keys
// need SQL.
std::optional<TextStatesPlan> direct_plan(const TaskEnv& env, const AggregateDetails& details,
                                          const TextScan& scan) {
  std::unordered_map<std::string_view, std::uint32_t> places;
  places.reserve(scan.columns.size());
  for (std::uint32_t i = 0; i < scan.columns.size(); ++i) places.emplace(scan.columns[i].name, i);
  TextStatesPlan out;
  for (const auto& c : details.columns) {
    const auto it = places.find(c.name);
    if (it == places.end() || !is_number(c.kind)) return std::nullopt;
    const bool whole = scan.columns[it->second].type == ValueType::kInt64;
    if (whole != (c.kind == ValueKind::kInteger)) return std::nullopt;
    out.values.push_back(it->second);
  }
  for (const auto& c : details.keys) {
    const auto it = places.find(c.name);
    if (it == places.end()) return std::nullopt;
    const ValueType type = scan.columns[it->second].type;
    if (type != ValueType::kInt64 && type != ValueType::kString) return std::nullopt;
    out.keys.push_back(it->second);
  }
  out.squares = details.second_moments();
  out.extremes = details.has("min") || details.has("max");
  out.memory = env.context.memory / 10 * 4;
  return out;
}

// Reads this task's partition and leaves its states in this task's files. False: it has to be read
// another way, and nothing is written.
Result<bool> write_states(TaskEnv& env, const AggregateDetails& details, PartialStates& states) {
  std::vector<std::uint32_t> places(details.columns.size());
  std::iota(places.begin(), places.end(), 0U);
  // States that did not fit stand side by side, as those of pieces do.
  std::map<std::string, std::vector<std::string>> aside;
  const auto take = [&](bool last) -> Status {
    for (const auto kind : details.kinds()) {
      const auto a = accumulators(details, kind);
      const ValueType type = a.exact_sum ? ValueType::kInt64 : ValueType::kDouble;
      const char* select = a.exact_sum ? "* REPLACE (s::DECIMAL(38,0) AS s)" : "*";
      auto rows = states.states(type, a.moments, places);
      if (last && aside.empty()) {
        POLYSOME_TRY(env.write_rows(std::move(rows), select, state_role(kind)));
      } else {
        POLYSOME_ASSIGN(aside[state_role(kind)].emplace_back(),
                        env.scratch_rows(std::move(rows), select));
      }
    }
    return {};
  };
  // A writer holds a row group beside the states.
  if (env.context.memory > 0 && env.context.memory < kAmple) env.row_group = kSmallRowGroup;
  POLYSOME_ASSIGN(const bool done, states.read([&] { return take(false); }));
  if (!done) return false;
  POLYSOME_TRY(take(true));
  for (const auto& [role, pieces] : aside)
    POLYSOME_TRY(env.write_parquet("SELECT * FROM " + read_parquet_sql(pieces), role));
  env.output.result.rows = states.rows();
  return true;
}

// False: it has to be done in SQL.
Result<bool> scan_text(TaskEnv& env, const AggregateDetails& details) {
  if (!details.where.empty() && details.row_tests.is_null()) return false;
  POLYSOME_ASSIGN(const auto text, env.open_text());
  if (text == nullptr || (!details.where.empty() && text->tests == nullptr)) return false;
  const auto plan = direct_plan(env, details, *text);
  if (!plan) return false;
  const auto states = make_text_states(text, *plan);
  const auto done = write_states(env, details, *states);
  if (!done || *done) env.note_scan(text);
  return done;
}

// How the columns and keys of a plan become those of a table of states; nothing when they need SQL.
std::optional<StateShape> shape_of(const AggregateDetails& details) {
  StateShape out;
  for (const auto& c : details.keys) {
    if (c.kind != ValueKind::kInteger && c.kind != ValueKind::kText) return std::nullopt;
    out.keys.push_back(c.kind == ValueKind::kInteger ? ValueType::kInt64 : ValueType::kString);
  }
  for (const auto& c : details.columns) {
    if (!is_number(c.kind)) return std::nullopt;
    out.values.push_back(c.kind == ValueKind::kInteger ? ValueType::kInt64 : ValueType::kDouble);
  }
  out.extremes = details.has("min") || details.has("max");
  return out;
}

// Columns that are what the file has under their names.
bool are_plain(const std::vector<AggregateColumn>& columns) {
  return std::ranges::all_of(columns, [](const auto& c) { return c.sql.empty(); });
}

// Parquet by groups, from its pages.
Result<bool> scan_parquet_pages(TaskEnv& env, const AggregateDetails& details,
                                const StateShape& shape) {
  const auto& source = env.plan().inputs.front().source;
  if (!reads_alike(source) || !are_plain(details.keys) || !are_plain(details.columns)) return false;
  ParquetStatesPlan plan;
  for (const auto& c : details.keys) plan.keys.push_back(c.name);
  for (const auto& c : details.columns) plan.values.push_back(c.name);
  plan.squares = details.second_moments();
  plan.shape = shape;
  // A table that is full is up to twice as large, while DuckDB writes it and pages are held.
  plan.shape.memory = env.context.memory / (env.context.memory < kAmple ? 8 : 4);
  plan.unpacked = env.context.memory / 2;
  POLYSOME_ASSIGN(auto own, env.own_partition(1, 0));
  POLYSOME_TRY(check_unchanged(source, own.pieces));
  const auto states = make_parquet_states(source, std::move(own.pieces), own.options, plan);
  POLYSOME_ASSIGN(const bool done, write_states(env, details, *states));
  if (done) env.output.result.bytes_in += own.bytes;
  return done;
}

// The same of what only DuckDB can read: it decodes, our table takes its vectors. Its own hash
// table, with our sums as aggregates of its C interface, takes twice as long.
Result<bool> scan_parquet_rows(TaskEnv& env, const AggregateDetails& details,
                               const StateShape& shape) {
  QueryStatesPlan plan;
  plan.squares = details.second_moments();
  plan.shape = shape;
  plan.shape.memory = env.context.memory / 4;  // DuckDB holds row groups beside it
  std::vector<std::uint32_t> columns(details.columns.size());
  std::iota(columns.begin(), columns.end(), 0U);
  plan.sql = rows_sql(details, columns);
  const std::uint64_t bytes_before = env.output.result.bytes_in;
  POLYSOME_ASSIGN(plan.rows, env.open_counted(kAggregateView));
  plan.cancelled = env.context.cancelled;
  const auto states = make_query_states(env.session(), plan);
  POLYSOME_ASSIGN(const bool done, write_states(env, details, *states));
  if (!done) env.output.result.bytes_in = bytes_before;  // they will be read again
  return done;
}

Result<bool> scan_parquet_groups(TaskEnv& env, const AggregateDetails& details) {
  if (details.keys.empty() || details.columns.size() > kNarrow) return false;
  const auto shape = shape_of(details);
  if (!shape) return false;
  POLYSOME_ASSIGN(const bool done, scan_parquet_pages(env, details, *shape));
  return done ? true : scan_parquet_rows(env, details, *shape);
}

// Very wide Parquet, column by column.
Result<bool> scan_wide_parquet(TaskEnv& env, const AggregateDetails& details) {
  const auto& source = env.plan().inputs.front().source;
  if (!details.keys.empty() || details.columns.size() <= kNarrow || !reads_alike(source) ||
      !are_plain(details.columns))
    return false;
  const auto shape = shape_of(details);
  if (!shape) return false;
  WideStatesPlan plan;
  for (const auto& c : details.columns) plan.columns.push_back(c.name);
  plan.squares = details.second_moments();
  plan.shape = *shape;
  plan.shape.memory = env.context.memory / 4;
  POLYSOME_ASSIGN(auto own, env.own_partition(1, 0));
  POLYSOME_TRY(check_unchanged(source, own.pieces));
  const auto states = make_wide_states(source, std::move(own.pieces), own.options, plan);
  POLYSOME_ASSIGN(const bool done, write_states(env, details, *states));
  if (done) env.output.result.bytes_in += own.bytes;
  return done;
}

// False: it has to be done in SQL.
Result<bool> scan_directly(TaskEnv& env, const AggregateDetails& details) {
  // Work that is cut in pieces for want of memory spills, too.
  if (details.counts_values() || env.spec.split > 1) return false;
  POLYSOME_ASSIGN(const bool done, scan_text(env, details));
  if (done) return true;
  if (env.plan().inputs.front().source.format != "parquet" || !details.where.empty()) return false;
  POLYSOME_ASSIGN(const bool by_column, scan_wide_parquet(env, details));
  return by_column ? true : scan_parquet_groups(env, details);
}

Status scan_by_sql(TaskEnv& env, const AggregateDetails& details) {
  const auto kinds = details.kinds();
  POLYSOME_TRY(scan(env, details));
  POLYSOME_ASSIGN(const std::int64_t rows,
                  env.session().integer(fmt::format(
                      "SELECT coalesce(sum(rows), 0)::BIGINT FROM {} WHERE col = {}",
                      read_parquet_sql(std::vector{env.path_of(state_role(kinds.front()))}),
                      details.of_kind(kinds.front()).front())));
  env.output.result.rows = static_cast<std::uint64_t>(rows);
  return {};
}

}  // namespace

Status aggregate_scan_body(TaskEnv& env) {
  POLYSOME_ASSIGN(const auto details, aggregate_details(env));
  auto direct = scan_directly(env, details);
  Status done;
  if (!direct)
    done = std::unexpected(direct.error());
  else if (!*direct)
    done = scan_by_sql(env, details);
  if (!done) {
    if (env.dispute(done.error())) return {};
    return done;
  }
  env.finish_scan();
  return {};
}

}  // namespace polysome
