// The middle of aggregate and describe: states brought together in a tree, value counts shuffled to
// reduce tasks by group or by range.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "model/plan.h"
#include "operations/aggregate_plan.h"

namespace polysome {
namespace {

std::string run_role(ValueKind kind) { return fmt::format("run.{}.parquet", short_name(kind)); }
std::string stats_role(ValueKind kind) { return fmt::format("stats.{}.parquet", short_name(kind)); }

// A place in the order of (col, v).
struct Splitter {
  std::int64_t column = 0;
  std::string value;  // as text, exact
};

// The splitter at `share` of the sampled values of all tasks.
Result<Splitter> splitter_at(TaskEnv& env, std::int64_t position) {
  Splitter out;
  const std::string from = fmt::format("ps_cuts WHERE i = {}", position);
  POLYSOME_ASSIGN(out.column, env.session().integer("SELECT col FROM " + from));
  POLYSOME_ASSIGN(out.value, env.session().text("SELECT v::VARCHAR FROM " + from));
  return out;
}

std::string range_sql(ValueKind kind, const std::optional<Splitter>& low,
                      const std::optional<Splitter>& high) {
  const auto literal = [&](const Splitter& s) {
    return fmt::format("{}::{}", sql_text(s.value), sql_type(kind));
  };
  // Within one column the plain bounds let whole row groups be skipped.
  if (low && high && low->column == high->column)
    return fmt::format("col = {} AND v > {} AND v <= {}", low->column, literal(*low),
                       literal(*high));
  std::string out = "true";
  if (low)
    out += fmt::format(" AND col >= {0} AND (col > {0} OR v > {1})", low->column, literal(*low));
  if (high)
    out += fmt::format(" AND col <= {0} AND (col < {0} OR v <= {1})", high->column, literal(*high));
  return out;
}

// Which values belong to reduce task `r`.
Result<std::string> range_of(TaskEnv& env, const AggregateDetails& details, ValueKind kind,
                             std::uint32_t r, const std::vector<StageFile>& cuts) {
  POLYSOME_TRY(env.temp_table(
      "ps_cuts", fmt::format("SELECT col, v, row_number() OVER (ORDER BY col, v) - 1 AS i FROM {}",
                             read_parquet_sql(cuts))));
  POLYSOME_ASSIGN(const std::int64_t samples,
                  env.session().integer("SELECT count(*) FROM ps_cuts"));
  if (samples == 0) return std::string(r == 0 ? "true" : "false");
  const auto position = [&](std::uint32_t bucket) { return samples * bucket / details.buckets; };
  std::optional<Splitter> low, high;
  if (r > 0) {
    POLYSOME_ASSIGN(low, splitter_at(env, position(r)));
  }
  if (r + 1 < details.buckets) {
    POLYSOME_ASSIGN(high, splitter_at(env, position(r + 1)));
  }
  return range_sql(kind, low, high);
}

Status reduce_range(TaskEnv& env, const AggregateDetails& details, ValueKind kind, std::uint32_t r,
                    const std::vector<StageFile>& values, const std::vector<StageFile>& cuts) {
  POLYSOME_ASSIGN(const std::string range, range_of(env, details, kind, r, cuts));
  POLYSOME_TRY(env.write_parquet(
      fmt::format("SELECT col, v, sum(n)::BIGINT AS n FROM {} WHERE {} GROUP BY col, v "
                  "ORDER BY col, v",
                  read_parquet_sql(values), range),
      run_role(kind)));
  const std::string run = read_parquet_sql(std::vector{env.path_of(run_role(kind))});
  POLYSOME_TRY(env.write_parquet(
      fmt::format("WITH t AS (SELECT col, sum(n)::BIGINT AS total, count(*) AS d, max(n) AS f "
                  "FROM {0} GROUP BY col) "
                  "SELECT t.col, any_value(t.total) AS total, any_value(t.d) AS d, "
                  "any_value(t.f) AS f, min(r.v) AS mode "
                  "FROM {0} r JOIN t ON r.col = t.col AND r.n = t.f GROUP BY t.col",
                  run),
      totals_role(kind)));
  return {};
}

// The rank, part and place of each value that a quantile needs.
Status locate_ranks(TaskEnv& env, const AggregateDetails& details) {
  std::string wanted;
  const auto quantiles = details.quantiles();
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    const std::string h = fmt::format("((total - 1) * {}::DOUBLE)", quantiles[i]);
    wanted += fmt::format(
        "{0}SELECT col, {1} AS q, {2} - floor({2}) AS t, floor({2})::BIGINT AS low, "
        "ceil({2})::BIGINT AS high FROM ps_columns",
        wanted.empty() ? "" : " UNION ALL ", i, h);
  }
  POLYSOME_TRY(env.temp_table("ps_wanted", wanted));
  return env.temp_table(
      "ps_located",
      "WITH placed AS (SELECT part, col, total, (sum(total) OVER (PARTITION BY col ORDER BY part) "
      "- "
      "total)::BIGINT AS before FROM ps_totals), "
      "ranks AS (SELECT DISTINCT col, low AS rank FROM ps_wanted UNION SELECT col, high FROM "
      "ps_wanted) "
      "SELECT p.part, r.col, r.rank, r.rank - p.before AS place FROM ranks r JOIN placed p "
      "ON r.col = p.col AND r.rank >= p.before AND r.rank < p.before + p.total");
}

Status pick_ranks(TaskEnv& env, ValueKind kind, const std::vector<StageFile>& runs) {
  POLYSOME_TRY(env.temp_table(
      "ps_picks", fmt::format("SELECT 0 AS col, 0::BIGINT AS rank, NULL::{} AS v WHERE false",
                              sql_type(kind))));
  for (std::size_t part = 0; part < runs.size(); ++part) {
    POLYSOME_TRY(env.check_cancelled());
    POLYSOME_ASSIGN(const std::int64_t any,
                    env.session().integer(
                        fmt::format("SELECT count(*) FROM ps_located WHERE part = {}", part)));
    if (any == 0) continue;
    POLYSOME_TRY(env.session().run(fmt::format(
        "INSERT INTO ps_picks WITH runs AS (SELECT col, v, (sum(n) OVER (PARTITION BY col ORDER BY "
        "v))::BIGINT AS cum FROM {0} WHERE col IN (SELECT col FROM ps_located WHERE part = {1})) "
        "SELECT l.col, l.rank, min(r.v) FROM runs r JOIN ps_located l ON r.col = l.col "
        "WHERE l.part = {1} AND r.cum > l.place GROUP BY l.col, l.rank",
        read_parquet_sql(std::vector{runs[part]}), part)));
  }
  return {};
}

}  // namespace

std::vector<std::string> slices_of(const TaskEnv& env, const AggregateDetails& details,
                                   const std::string& from) {
  if (env.spec.split <= 1) return {from};
  // A group's columns stay together; without groups each column is one.
  std::string key = "col";
  if (!details.keys.empty()) {
    key = key_list(details.keys.size());
    key.resize(key.size() - 2);
  }
  std::vector<std::string> out;
  for (std::uint32_t i = 0; i < env.spec.split; ++i)
    out.push_back(
        fmt::format("(SELECT * FROM {} WHERE hash({}) % {} = {})", from, key, env.spec.split, i));
  return out;
}

Status write_slices(TaskEnv& env, const std::vector<std::string>& slices, const SelectOver& select,
                    const std::string& role) {
  if (slices.size() == 1) {
    POLYSOME_TRY(env.write_parquet(select(slices.front()), role));
    return {};
  }
  std::vector<std::string> files;
  for (const auto& slice : slices) {
    POLYSOME_ASSIGN(files.emplace_back(), env.scratch_parquet(select(slice)));
  }
  POLYSOME_TRY(env.write_parquet("SELECT * FROM " + read_parquet_sql(files), role));
  return {};
}

Status aggregate_combine_body(TaskEnv& env) {
  POLYSOME_ASSIGN(const auto details, aggregate_details(env));
  POLYSOME_ASSIGN(const std::string from, env.body_text("from"));
  POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("tasks"));
  const std::uint32_t first = env.spec.task.index * kMaxFanIn;
  const std::uint32_t count = std::min<std::uint32_t>(kMaxFanIn, tasks - first);
  POLYSOME_ASSIGN(const auto manifests, stage_manifests(env.spec.job_folder, from, first, count));
  for (const auto kind : details.kinds()) {
    const auto files = files_of(env.spec.job_folder, from, manifests, first, state_role(kind));
    if (files.size() != count) return fail(Code::kIo, "output lost: a partial state is missing");
    POLYSOME_TRY(write_slices(
        env, slices_of(env, details, read_parquet_sql(files)),
        [&](const std::string& from_slice) { return merge_states_sql(details, kind, from_slice); },
        state_role(kind)));
  }
  return {};
}

Status aggregate_reduce_body(TaskEnv& env) {
  POLYSOME_ASSIGN(const auto details, aggregate_details(env));
  POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("tasks"));
  const auto kinds = details.kinds();
  const ValueKind kind = kinds.at(env.spec.task.index / details.buckets);
  const std::uint32_t r = env.spec.task.index % details.buckets;
  const auto& folder = env.spec.job_folder;
  POLYSOME_ASSIGN(const auto manifests, stage_manifests(folder, kAggregateScan, 0, tasks));
  const auto values = files_of(folder, kAggregateScan, manifests, 0, values_role(kind));
  if (values.empty()) return fail(Code::kIo, "output lost: value counts are missing");
  if (details.ranges())
    return reduce_range(env, details, kind, r, values,
                        files_of(folder, kAggregateScan, manifests, 0, cuts_role(kind)));
  const std::string from =
      fmt::format("(SELECT * FROM {} WHERE bucket = {})", read_parquet_sql(values), r);
  return write_slices(
      env, slices_of(env, details, from),
      [&](const std::string& slice) { return finish_values_sql(details, kind, slice); },
      stats_role(kind));
}

Status finish_ranges(TaskEnv& env, const AggregateDetails& details, ValueKind kind,
                     const std::vector<StageFile>& runs, const std::vector<StageFile>& totals,
                     const std::string& name) {
  std::string all;
  for (std::size_t part = 0; part < totals.size(); ++part)
    all += fmt::format("{}SELECT {} AS part, * FROM {}", part == 0 ? "" : " UNION ALL ", part,
                       read_parquet_sql(std::vector{totals[part]}));
  POLYSOME_TRY(env.temp_table("ps_totals", all));
  POLYSOME_TRY(
      env.temp_table("ps_columns",
                     "WITH t AS (SELECT *, max(f) OVER (PARTITION BY col) AS most FROM ps_totals) "
                     "SELECT col, sum(total)::BIGINT AS total, sum(d)::BIGINT AS d, max(f) AS f, "
                     "min(mode) FILTER (WHERE f = most) AS mode FROM t GROUP BY col"));
  const auto quantiles = is_number(kind) ? details.quantiles() : std::vector<double>{};
  std::string select = "SELECT c.col, c.d, c.f, c.mode";
  std::string joins;
  if (!quantiles.empty()) {
    POLYSOME_TRY(locate_ranks(env, details));
    POLYSOME_TRY(pick_ranks(env, kind, runs));
  }
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    select += fmt::format(", {} AS q{}",
                          interpolate_sql(fmt::format("a{}.v::DOUBLE", i),
                                          fmt::format("b{}.v::DOUBLE", i), fmt::format("w{}.t", i)),
                          i);
    joins += fmt::format(
        " LEFT JOIN ps_wanted w{0} ON w{0}.col = c.col AND w{0}.q = {0}"
        " LEFT JOIN ps_picks a{0} ON a{0}.col = c.col AND a{0}.rank = w{0}.low"
        " LEFT JOIN ps_picks b{0} ON b{0}.col = c.col AND b{0}.rank = w{0}.high",
        i);
  }
  return env.temp_table(name, select + " FROM ps_columns c" + joins);
}

}  // namespace polysome
