// The end of aggregate and describe: merges what is left to merge, finishes the statistics and lays
// them out: a row per column, or a row per group.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "operations/aggregate_plan.h"
#include "operations/record_stages.h"
#include "operations/table_result.h"

namespace polysome {
namespace {

constexpr const char* kNames = "ps_names";

std::string state_table(ValueKind kind) { return fmt::format("ps_state_{}", short_name(kind)); }
std::string value_table(ValueKind kind) { return fmt::format("ps_value_{}", short_name(kind)); }
std::string joined_table(ValueKind kind) { return fmt::format("ps_all_{}", short_name(kind)); }

bool is_count(const std::string& operation) {
  return operation == "count" || operation == "missing" || operation == "count_distinct";
}

// A statistic of the rows of joined_table(kind). Numeric ones of a column that holds none are null.
std::string statistic_sql(const AggregateDetails& details, const Statistic& s, ValueKind kind) {
  if (s.operation == "count") return "n";
  if (s.operation == "missing") return "rows - n";
  if (s.operation == "count_distinct") return "coalesce(d, 0)";
  if (s.operation == "min") return "lo";
  if (s.operation == "max") return "hi";
  if (s.operation == "mode") return "mode";
  if (!is_number(kind)) return "NULL";
  if (s.operation == "sum")
    return kind == ValueKind::kInteger ? "coalesce(s, 0)" : "coalesce(ps_sum(m), 0.0)";
  if (s.operation == "mean") return "ps_mean(m)";
  if (s.operation == "var") return "ps_var(m, 1)";
  if (s.operation == "std") return "ps_std(m, 1)";
  const auto quantiles = details.quantiles();
  const auto at = std::ranges::find(quantiles, s.q) - quantiles.begin();
  return fmt::format("q{}", at);
}

// The SQL type of a statistic where values of these kinds stand in one column.
std::string common_type(const Statistic& s, const std::vector<ValueKind>& kinds,
                        const std::string& integer_sum) {
  if (is_count(s.operation)) return "BIGINT";
  const bool whole = std::ranges::all_of(kinds, [](auto k) { return k == ValueKind::kInteger; });
  if (s.operation == "sum") return whole ? integer_sum : "DOUBLE";
  if (s.operation != "min" && s.operation != "max" && s.operation != "mode") return "DOUBLE";
  if (std::ranges::all_of(kinds, [&](auto k) { return k == kinds.front(); }))
    return std::string(sql_type(kinds.front()));
  return std::ranges::all_of(kinds, is_number) ? "DOUBLE" : "VARCHAR";
}

// BIGINT where every exact sum fits, else a decimal of 38 digits.
Result<std::string> integer_sum_type(TaskEnv& env, const AggregateDetails& details) {
  if (details.of_kind(ValueKind::kInteger).empty()) return std::string("BIGINT");
  POLYSOME_ASSIGN(const std::int64_t fits,
                  env.session().integer(fmt::format(
                      "SELECT (coalesce(max(abs(s)), 0) <= 9223372036854775807)::BIGINT FROM {}",
                      state_table(ValueKind::kInteger))));
  return std::string(fits == 1 ? "BIGINT" : "DECIMAL(38,0)");
}

struct Inputs {
  std::vector<Manifest> scans;
  std::vector<Manifest> states;
  std::vector<Manifest> reduces;
  std::string states_from;
};

Result<Inputs> read_inputs(const TaskEnv& env) {
  const auto& folder = env.spec.job_folder;
  Inputs in;
  POLYSOME_ASSIGN(in.states_from, env.body_text("from"));
  POLYSOME_ASSIGN(const std::uint32_t states, env.body_number("states"));
  POLYSOME_ASSIGN(const std::uint32_t scans, env.body_number("scans"));
  POLYSOME_ASSIGN(const std::uint32_t reduces, env.body_number("reduces"));
  POLYSOME_ASSIGN(in.scans, stage_manifests(folder, kAggregateScan, 0, scans));
  POLYSOME_ASSIGN(in.states, stage_manifests(folder, in.states_from, 0, states));
  POLYSOME_ASSIGN(in.reduces, stage_manifests(folder, kAggregateReduce, 0, reduces));
  return in;
}

// Slice number `slice` of the groups; all of them, when there is no number.
std::string slice_of(const TaskEnv& env, const AggregateDetails& details, const std::string& from,
                     std::optional<std::uint32_t> slice) {
  return slice ? slices_of(env, details, from).at(*slice) : from;
}

Status make_value_table(TaskEnv& env, const AggregateDetails& details, ValueKind kind,
                        const Inputs& in, std::optional<std::uint32_t> slice) {
  const auto& folder = env.spec.job_folder;
  const auto reduced = [&](const std::string& prefix) {
    return files_of(folder, kAggregateReduce, in.reduces, 0,
                    fmt::format("{}.{}.parquet", prefix, short_name(kind)));
  };
  if (details.ranges())
    return finish_ranges(env, details, kind, reduced("run"), reduced("totals"), value_table(kind));
  if (details.buckets > 1)
    return env.temp_table(
        value_table(kind),
        "SELECT * FROM " + slice_of(env, details, read_parquet_sql(reduced("stats")), slice));
  const auto values = files_of(folder, kAggregateScan, in.scans, 0, values_role(kind));
  if (values.empty()) return fail(Code::kIo, "output lost: value counts are missing");
  if (env.spec.split > 1 && details.keys.empty()) {
    // Some columns after others; what is left of each is a row.
    std::vector<std::string> files;
    for (const auto& some : slices_of(env, details, read_parquet_sql(values))) {
      POLYSOME_ASSIGN(files.emplace_back(),
                      env.scratch_parquet(finish_values_sql(details, kind, some)));
    }
    return env.temp_table(value_table(kind), "SELECT * FROM " + read_parquet_sql(files));
  }
  return env.temp_table(
      value_table(kind),
      finish_values_sql(details, kind, slice_of(env, details, read_parquet_sql(values), slice)));
}

// joined_table(kind): states and finished value counts side by side.
Status make_tables(TaskEnv& env, const AggregateDetails& details, ValueKind kind, const Inputs& in,
                   std::optional<std::uint32_t> slice = std::nullopt) {
  const auto files = files_of(env.spec.job_folder, in.states_from, in.states, 0, state_role(kind));
  if (files.empty()) return fail(Code::kIo, "output lost: partial states are missing");
  POLYSOME_TRY(env.temp_table(
      state_table(kind),
      merge_states_sql(details, kind, slice_of(env, details, read_parquet_sql(files), slice))));
  if (!details.counts_values())
    return env.temp_table(joined_table(kind), "SELECT * FROM " + state_table(kind));
  POLYSOME_TRY(make_value_table(env, details, kind, in, slice));
  std::string on = "s.col = v.col";
  for (std::size_t i = 0; i < details.keys.size(); ++i)
    on += fmt::format(" AND s.k{0} IS NOT DISTINCT FROM v.k{0}", i);
  std::string picked = "v.d, v.f, v.mode";
  if (is_number(kind))
    for (std::size_t i = 0; i < details.quantiles().size(); ++i)
      picked += fmt::format(", v.q{}", i);
  return env.temp_table(joined_table(kind),
                        fmt::format("SELECT s.*, {} FROM {} s LEFT JOIN {} v ON {}", picked,
                                    state_table(kind), value_table(kind), on));
}

// Makes the temporary table kNames: col, name and type of each chosen column.
Status make_names(TaskEnv& env, const AggregateDetails& details) {
  auto rows = std::make_shared<RowSource>();
  rows->columns = {
      {"col", DUCKDB_TYPE_INTEGER}, {"name", DUCKDB_TYPE_VARCHAR}, {"type", DUCKDB_TYPE_VARCHAR}};
  rows->fill = [&details, next = std::size_t{0}](duckdb_data_chunk chunk) mutable {
    const auto put = [&](idx_t column, std::size_t row, std::string_view text) {
      duckdb_vector_assign_string_element_len(duckdb_data_chunk_get_vector(chunk, column), row,
                                              text.data(), text.size());
    };
    auto* places =
        static_cast<std::int32_t*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0)));
    std::size_t row = 0;
    for (; row < duckdb_vector_size() && next < details.columns.size(); ++row, ++next) {
      const auto& c = details.columns[next];
      places[row] = static_cast<std::int32_t>(next);
      put(1, row, c.name.empty() ? "*" : c.name);
      put(2, row, c.type);
    }
    return row;
  };
  return env.temp_rows(kNames, std::move(rows));
}

std::string label_of(const AggregateDetails& details, const Statistic& s) {
  const bool describe = details.shape == AggregateDetails::Shape::kDescribe;
  return describe && s.operation == "count_distinct" ? "distinct" : s.label();
}

std::string per_column_sql(const AggregateDetails& details, const std::string& integer_sum) {
  const bool describe = details.shape == AggregateDetails::Shape::kDescribe;
  const auto kinds = details.kinds();
  std::string rows;
  for (const auto kind : kinds) {
    rows += fmt::format("{}SELECT col", rows.empty() ? "" : " UNION ALL ");
    for (std::size_t i = 0; i < details.statistics.size(); ++i) {
      const auto& s = details.statistics[i];
      // describe gives extremes of numbers only, so that its columns are numbers.
      const bool extreme = s.operation == "min" || s.operation == "max";
      const std::string type = describe && extreme ? "DOUBLE" : common_type(s, kinds, integer_sum);
      const std::string sql =
          describe && extreme && !is_number(kind) ? "NULL" : statistic_sql(details, s, kind);
      rows += fmt::format(", CAST({} AS {}) AS o{}", sql, type, i);
    }
    if (describe)
      rows += kind == ValueKind::kText || kind == ValueKind::kBoolean
                  ? ", CAST(mode AS VARCHAR) AS top, f AS freq"
                  : ", NULL::VARCHAR AS top, NULL::BIGINT AS freq";
    rows += " FROM " + joined_table(kind);
  }
  std::string out = "SELECT names.name AS \"column\"";
  if (describe) out += ", names.type AS \"type\"";
  for (std::size_t i = 0; i < details.statistics.size(); ++i) {
    const auto& s = details.statistics[i];
    const bool zero = is_count(s.operation);
    out +=
        fmt::format(", {} AS {}", zero ? fmt::format("coalesce(o{}, 0)", i) : fmt::format("o{}", i),
                    sql_identifier(label_of(details, s)));
  }
  if (describe) out += ", top, freq";
  return fmt::format("{} FROM {} names LEFT JOIN ({}) USING (col) ORDER BY col", out, kNames, rows);
}

// One row per group for the columns of a kind, ordered by key: k0…, c<column>_<statistic>.
std::string pivot_sql(const AggregateDetails& details, ValueKind kind,
                      const std::string& integer_sum) {
  const std::string keys = key_list(details.keys.size());
  std::string order;
  std::string out = "SELECT " + keys.substr(0, keys.size() - 2);
  for (const auto c : details.of_kind(kind))
    for (std::size_t i = 0; i < details.statistics.size(); ++i) {
      const auto& s = details.statistics[i];
      out +=
          fmt::format(", CAST(any_value(CASE WHEN col = {0} THEN {1} END) AS {2}) AS c{0}_{3}", c,
                      statistic_sql(details, s, kind), common_type(s, {kind}, integer_sum), i);
    }
  for (std::size_t i = 0; i < details.keys.size(); ++i)
    order += fmt::format("{}k{} NULLS LAST", i > 0 ? ", " : "", i);
  return fmt::format("{} FROM {} GROUP BY {} ORDER BY {}", out, joined_table(kind),
                     keys.substr(0, keys.size() - 2), order);
}

std::string per_group_sql(const AggregateDetails& details, const std::string& integer_sum) {
  const auto kinds = details.kinds();
  // Every kind has the same groups in the same order.
  std::string from;
  for (const auto kind : kinds)
    from += fmt::format("{}({}) {}", from.empty() ? "" : " POSITIONAL JOIN ",
                        pivot_sql(details, kind, integer_sum), short_name(kind));
  std::string out = "SELECT ";
  for (std::size_t i = 0; i < details.keys.size(); ++i)
    out += fmt::format("\"{}\".k{} AS {}, ", short_name(kinds.front()), i,
                       sql_identifier(details.keys[i].name));
  for (std::size_t c = 0; c < details.columns.size(); ++c)
    for (std::size_t i = 0; i < details.statistics.size(); ++i) {
      const auto& column = details.columns[c];
      const std::string label = details.statistics[i].label();
      out += fmt::format("\"{}\".c{}_{} AS {}, ", short_name(column.kind), c, i,
                         sql_identifier(column.name.empty() ? label : column.name + "_" + label));
    }
  out.resize(out.size() - 2);
  return out + " FROM " + from;
}

// The same rows as per_group_sql's for a task that has to cut its work: each slice of the groups is
// finished by itself and left aside; only finished rows are brought into order, by the key that
// stands before them.
Result<std::string> per_group_in_slices(TaskEnv& env, const AggregateDetails& details,
                                        const Inputs& in) {
  const auto kinds = details.kinds();
  // Columns go by place: names are the caller's.
  std::vector<std::string> names;
  std::vector<std::size_t> sums;
  for (const auto& key : details.keys) names.push_back(key.name);
  for (const auto& column : details.columns)
    for (const auto& s : details.statistics) {
      if (s.operation == "sum" && column.kind == ValueKind::kInteger) sums.push_back(names.size());
      names.push_back(column.name.empty() ? s.label() : column.name + "_" + s.label());
    }
  std::string places;
  for (std::size_t i = 0; i < names.size(); ++i) places += fmt::format("{}p{}", i ? ", " : "", i);
  std::vector<std::string> files;
  for (std::uint32_t slice = 0; slice < env.spec.split; ++slice) {
    for (const auto kind : kinds) POLYSOME_TRY(make_tables(env, details, kind, in, slice));
    POLYSOME_ASSIGN(files.emplace_back(), env.scratch_parquet(fmt::format(
                                              "SELECT * FROM ({}) t({})",
                                              per_group_sql(details, "DECIMAL(38,0)"), places)));
  }
  for (const auto kind : kinds)
    for (const auto& table : {state_table(kind), value_table(kind), joined_table(kind)})
      POLYSOME_TRY(env.drop_table(table));
  std::string largest = "0";
  for (const auto i : sums) largest += fmt::format(", abs(p{})", i);
  POLYSOME_ASSIGN(
      const std::int64_t fits,
      env.session().integer(fmt::format(
          "SELECT (coalesce(max(greatest({})), 0) <= 9223372036854775807)::BIGINT FROM {}", largest,
          read_parquet_sql(files))));
  std::string select;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool sum = fits == 1 && std::ranges::find(sums, i) != sums.end();
    select += fmt::format("{}p{}{} AS {}", i > 0 ? ", " : "", i, sum ? "::BIGINT" : "",
                          sql_identifier(names[i]));
  }
  std::vector<SortKey> keys;
  for (std::size_t i = 0; i < details.keys.size(); ++i)
    keys.push_back({fmt::format("p{}", i), false});
  return fmt::format("SELECT {}, {} FROM {}", sort_key_sql(keys), select, read_parquet_sql(files));
}

Json definitions_of(const AggregateDetails& details) {
  Json out = Json::object();
  if (details.second_moments()) out["ddof"] = 1;
  if (details.needs_quantiles()) out["quantile"] = "linear";
  if (details.has("mode")) out["mode"] = "smallest of the most frequent";
  return out;
}

}  // namespace

Status aggregate_result_body(TaskEnv& env) {
  POLYSOME_ASSIGN(const auto details, aggregate_details(env));
  POLYSOME_ASSIGN(const Inputs in, read_inputs(env));
  TableResult result;
  const ScanTotals totals = scan_totals(in.scans);
  POLYSOME_TRY(check_bad_values(env, totals, &result.warnings));
  const bool groups = details.shape == AggregateDetails::Shape::kPerGroup;
  if (!groups) POLYSOME_TRY(make_names(env, details));
  std::uint64_t rows = 0;
  if (groups && env.spec.split > 1) {
    POLYSOME_ASSIGN(const std::string select, per_group_in_slices(env, details, in));
    POLYSOME_ASSIGN(rows, write_in_order(env, select, "table.parquet"));
  } else {
    for (const auto kind : details.kinds()) POLYSOME_TRY(make_tables(env, details, kind, in));
    POLYSOME_ASSIGN(const std::string integer_sum, integer_sum_type(env, details));
    POLYSOME_ASSIGN(rows, env.write_parquet(groups ? per_group_sql(details, integer_sum)
                                                   : per_column_sql(details, integer_sum),
                                            "table.parquet"));
  }
  result.files = {{env.path_of("table.parquet"), 0, env.output.files.back().bytes, rows}};
  result.delivery = Delivery::from_json(env.plan().details.value("delivery", Json()));
  result.summary = {{"rows_used", totals.rows}};
  if (groups) result.summary["groups"] = rows;
  result.definitions = definitions_of(details);
  if (details.shape == AggregateDetails::Shape::kPerColumn && details.columns.size() == 1 &&
      details.statistics.size() == 1) {
    const auto& only = details.statistics.front();
    result.value = is_number(details.columns[0].kind) || is_count(only.operation);
    result.value_column = only.label();
  }
  return finish_table(env, std::move(result));
}

}  // namespace polysome
