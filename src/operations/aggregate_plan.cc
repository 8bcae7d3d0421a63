#include "operations/aggregate_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "data/column_list.h"

namespace polysome {
namespace {

constexpr std::uint32_t kMostBuckets = 64;

constexpr std::size_t kMostRuns = 100;

// Columns that are the source's own, as they are: [[first, how many] …] of its places, where these
// are few; null else.
Json runs_in(const std::vector<AggregateColumn>& columns, const TableSource& source) {
  Json out = Json::array();
  std::size_t at = 0;  // a place of the source behind the last one found
  for (std::size_t i = 0; i < columns.size();) {
    const auto is = [&](std::size_t place, const AggregateColumn& c) {
      const SourceColumn& own = source.columns[place];
      return c.sql.empty() && own.name == c.name && own.type == c.type;
    };
    while (at < source.columns.size() && !is(at, columns[i])) ++at;
    if (at == source.columns.size() || out.size() == kMostRuns) return {};
    const std::size_t first = at;
    while (i < columns.size() && at < source.columns.size() && is(at, columns[i])) ++i, ++at;
    out.push_back({first, at - first});
  }
  return out;
}

// As data/column_list packs them, or by their places; kind and SQL where they do not follow from
// the type.
Json columns_json(const std::vector<AggregateColumn>& columns, const TableSource& source) {
  if (Json runs = runs_in(columns, source); !runs.is_null()) return {{"runs", std::move(runs)}};
  std::vector<SourceColumn> plain;
  plain.reserve(columns.size());
  Json special = Json::array();
  for (const auto& c : columns) {
    if (!c.sql.empty()) special.push_back({plain.size(), static_cast<int>(c.kind), c.sql});
    plain.push_back({c.name, c.type, {}});
  }
  Json out = pack_columns(plain);
  if (!special.empty()) out["special"] = std::move(special);
  return out;
}

std::vector<AggregateColumn> columns_from(const Json& j, const TableSource& source) {
  std::vector<AggregateColumn> out;
  const auto add = [&out](std::string name, std::string type) {
    const bool as_before = !out.empty() && out.back().type == type;
    const ValueKind kind = as_before ? out.back().kind : kind_of(SourceColumn{name, type, {}});
    out.push_back({std::move(name), kind, std::move(type), {}});
  };
  if (const auto runs = j.find("runs"); runs != j.end()) {
    out.reserve(source.columns.size());
    for (const auto& run : *runs) {
      const auto first = run.at(0).get<std::size_t>(), n = run.at(1).get<std::size_t>();
      for (std::size_t i = first; i < first + n; ++i)
        add(source.columns.at(i).name, source.columns[i].type);
    }
    return out;
  }
  std::vector<SourceColumn> columns = unpack_columns(j);
  out.reserve(columns.size());
  for (auto& c : columns) add(std::move(c.name), std::move(c.type));
  if (const auto special = j.find("special"); special != j.end())
    for (const auto& s : *special) {
      AggregateColumn& c = out.at(s.at(0).get<std::size_t>());
      c.kind = static_cast<ValueKind>(s.at(1).get<int>());
      c.sql = s.at(2).get<std::string>();
    }
  return out;
}

}  // namespace

std::string Statistic::label() const {
  return operation == "quantile" ? fmt::format("quantile_{}", q) : operation;
}

bool AggregateDetails::has(std::string_view operation) const {
  return std::ranges::any_of(statistics, [&](const auto& s) { return s.operation == operation; });
}

bool AggregateDetails::counts_values() const {
  return needs_quantiles() || has("count_distinct") || has("mode");
}

bool AggregateDetails::needs_quantiles() const { return has("median") || has("quantile"); }

std::vector<double> AggregateDetails::quantiles() const {
  std::set<double> out;
  for (const auto& s : statistics)
    if (s.operation == "median" || s.operation == "quantile") out.insert(s.q);
  return {out.begin(), out.end()};
}

bool AggregateDetails::needs_moments() const {
  return has("sum") || has("mean") || second_moments();
}

bool AggregateDetails::second_moments() const { return has("var") || has("std"); }

std::vector<std::uint32_t> AggregateDetails::of_kind(ValueKind kind) const {
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = 0; i < columns.size(); ++i)
    if (columns[i].kind == kind) out.push_back(i);
  return out;
}

std::vector<ValueKind> AggregateDetails::kinds() const {
  std::vector<ValueKind> out;
  for (const auto kind : kAllKinds)
    if (!of_kind(kind).empty()) out.push_back(kind);
  return out;
}

Json AggregateDetails::to_json(const TableSource& source) const {
  Json s = Json::array();
  for (const auto& x : statistics) s.push_back({{"operation", x.operation}, {"q", x.q}});
  Json out = {{"shape", static_cast<int>(shape)},
              {"keys", columns_json(keys, source)},
              {"columns", columns_json(columns, source)},
              {"statistics", std::move(s)},
              {"where", where},
              {"buckets", buckets}};
  if (!row_tests.is_null()) out["row_tests"] = row_tests;
  return out;
}

Result<AggregateDetails> AggregateDetails::from_json(const Json& j, const TableSource& source) {
  try {
    AggregateDetails out;
    out.shape = static_cast<Shape>(j.at("shape").get<int>());
    out.keys = columns_from(j.at("keys"), source);
    out.columns = columns_from(j.at("columns"), source);
    for (const auto& x : j.at("statistics"))
      out.statistics.push_back({x.at("operation").get<std::string>(), x.at("q").get<double>()});
    out.where = j.at("where").get<std::string>();
    out.buckets = j.at("buckets").get<std::uint32_t>();
    if (const auto tests = j.find("row_tests"); tests != j.end()) out.row_tests = *tests;
    return out;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable aggregate: ") + e.what());
  }
}

Result<AggregateDetails> aggregate_details(const TaskEnv& env) {
  return AggregateDetails::from_json(env.plan().details, env.plan().inputs.at(0).source);
}

OperationPlan plan_aggregate(const PlanRequest& request, AggregateDetails details) {
  const auto& input = request.inputs.at(0);
  const std::uint64_t bytes = input.source.total_bytes();
  if (details.counts_values() && bytes > request.job.bucket_size)
    details.buckets = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(bytes / request.job.bucket_size + 1, kMostBuckets));
  OperationPlan out;
  Stage scan;
  scan.name = kAggregateScan;
  scan.kind = StageKind::kMap;
  scan.tasks = input.tasks();
  scan.bytes = bytes;
  scan.borders = input.has_borders();
  scan.can_split = true;
  scan.body = {{"run", "aggregate.scan"}};
  const std::uint32_t scans = scan.tasks;
  out.stages.push_back(std::move(scan));

  std::string states_from = kAggregateScan;
  std::uint32_t states = scans;
  while (states > kMaxFanIn) {
    Stage combine;
    combine.name = fmt::format("combine.{}", out.stages.size());
    combine.kind = StageKind::kCombine;
    combine.tasks = fan_in_tasks(states);
    combine.after = {states_from};
    combine.can_split = true;
    combine.body = {{"run", "aggregate.combine"}, {"from", states_from}, {"tasks", states}};
    states_from = combine.name;
    states = combine.tasks;
    out.stages.push_back(std::move(combine));
  }
  std::vector<std::string> after = {states_from};
  std::uint32_t reduces = 0;
  if (details.counts_values() && details.buckets > 1) {
    Stage reduce;
    reduce.name = kAggregateReduce;
    reduce.kind = StageKind::kReduce;
    reduces = reduce.tasks = details.buckets * static_cast<std::uint32_t>(details.kinds().size());
    reduce.after = {kAggregateScan};
    reduce.can_split = true;
    reduce.body = {{"run", "aggregate.reduce"}, {"tasks", scans}};
    after.push_back(reduce.name);
    out.stages.push_back(std::move(reduce));
  }
  Stage last;
  last.name = "result";
  last.kind = StageKind::kSingle;
  last.after = std::move(after);
  last.final = true;
  last.can_split = true;
  last.body = {{"run", "aggregate.result"},
               {"from", states_from},
               {"states", states},
               {"scans", scans},
               {"reduces", reduces}};
  out.stages.push_back(std::move(last));
  out.details = details.to_json(input.source);
  return out;
}

AggregateColumn aggregate_column(const SourceColumn& column) {
  return {column.name, kind_of(column), column.type, {}};
}

std::string value_sql(const AggregateColumn& column) {
  return column.sql.empty() ? value_sql(SourceColumn{column.name, column.type, {}}) : column.sql;
}

std::string key_list(std::size_t n, const std::string& prefix) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += fmt::format("{}k{}, ", prefix, i);
  return out;
}

std::string state_role(ValueKind kind) { return fmt::format("state.{}.parquet", short_name(kind)); }
std::string values_role(ValueKind kind) {
  return fmt::format("values.{}.parquet", short_name(kind));
}
std::string cuts_role(ValueKind kind) { return fmt::format("cuts.{}.parquet", short_name(kind)); }
std::string totals_role(ValueKind kind) {
  return fmt::format("totals.{}.parquet", short_name(kind));
}

std::string merge_states_sql(const AggregateDetails& details, ValueKind kind,
                             const std::string& from) {
  const std::string keys = key_list(details.keys.size());
  std::string out =
      fmt::format("SELECT {}col, sum(rows)::BIGINT AS rows, sum(n)::BIGINT AS n", keys);
  if (is_number(kind) && details.needs_moments()) out += ", ps_moments_merge(m) AS m";
  if (kind == ValueKind::kInteger) out += ", sum(s) AS s";
  return out + fmt::format(", min(lo) AS lo, max(hi) AS hi FROM {} GROUP BY {}col", from, keys);
}

std::string interpolate_sql(const std::string& low, const std::string& high,
                            const std::string& fraction) {
  return fmt::format(
      "CASE WHEN {0} = {1} THEN {0} WHEN {2} < 0.5 THEN {0} + ({1} - {0}) * {2} "
      "ELSE {1} - ({1} - {0}) * (1 - {2}) END",
      low, high, fraction);
}

std::string finish_values_sql(const AggregateDetails& details, ValueKind kind,
                              const std::string& from) {
  const std::string keys = key_list(details.keys.size());
  const auto quantiles = is_number(kind) ? details.quantiles() : std::vector<double>{};
  std::string windows = fmt::format(", max(n) OVER (PARTITION BY {}col) AS f", keys);
  if (!quantiles.empty())
    windows += fmt::format(
        ", (sum(n) OVER (PARTITION BY {0}col ORDER BY v))::BIGINT AS cum"
        ", (sum(n) OVER (PARTITION BY {0}col))::BIGINT AS total",
        keys);
  std::string picked, finished;
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    const std::string h = fmt::format("((total - 1) * {}::DOUBLE)", quantiles[i]);
    picked += fmt::format(
        ", min(v) FILTER (WHERE cum > floor({0}))::DOUBLE AS a{1}"
        ", min(v) FILTER (WHERE cum > ceil({0}))::DOUBLE AS b{1}"
        ", any_value({0} - floor({0})) AS t{1}",
        h, i);
    finished += fmt::format(
        ", {} AS q{}",
        interpolate_sql(fmt::format("a{}", i), fmt::format("b{}", i), fmt::format("t{}", i)), i);
  }
  return fmt::format(
      "WITH merged AS (SELECT {0}col, v, sum(n)::BIGINT AS n FROM {1} GROUP BY {0}col, v), "
      "ranked AS (SELECT *{2} FROM merged), "
      "picked AS (SELECT {0}col, count(*) AS d, max(f) AS f, min(v) FILTER (WHERE n = f) AS "
      "mode{3} "
      "FROM ranked GROUP BY {0}col) SELECT {0}col, d, f, mode{4} FROM picked",
      keys, from, windows, picked, finished);
}

}  // namespace polysome
