#include "operations/sql_groups.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/plan.h"
#include "operations/table_result.h"

namespace polysome {
namespace {

constexpr const char* kScanStage = "scan";
constexpr const char* kRole = "groups.parquet";
// Sums of counts are 128 bits wide in SQL, which Parquet can't hold.
constexpr const char* kAddCounts = "sum({})::BIGINT";
constexpr const char* kPlanText =
    "cut into partitions: the groups of each are aggregated and then merged";

// One state of a call: what a partition computes, how states merge.
struct PartialState {
  std::string partial;  // SQL over the dataset
  std::string merge;    // SQL over the states in place of {}
};
struct MergedCall {
  std::vector<PartialState> states;
  std::string finish;  // SQL over the merged states {0}, {1} …
};

enum class Kind : std::uint8_t { kInteger, kDouble, kDecimal, kOther, kNone };

Kind kind_of_type(const std::string& type) {
  static const std::vector<std::string> kIntegers{"TINYINT",  "SMALLINT",  "INTEGER",  "BIGINT",
                                                  "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"};
  static const std::vector<std::string> kOthers{
      "VARCHAR",      "DATE",         "TIME",
      "BOOLEAN",      "TIMESTAMP",    "TIMESTAMP_S",
      "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"};
  if (std::ranges::find(kIntegers, type) != kIntegers.end()) return Kind::kInteger;
  if (type == "DOUBLE" || type == "FLOAT") return Kind::kDouble;
  if (type.starts_with("DECIMAL(")) return Kind::kDecimal;
  return std::ranges::find(kOthers, type) != kOthers.end() ? Kind::kOther : Kind::kNone;
}

// SQL's sums and means propagate NaN; the moments take it as missing, so it is noted beside them.
MergedCall of_doubles(const std::string& moments, const std::string& argument,
                      const std::string& filter, const std::string& finish) {
  MergedCall out;
  out.states = {
      {fmt::format("{}(({})::DOUBLE){}", moments, argument, filter), "ps_moments_merge({})"},
      {fmt::format("bool_or(isnan(({})::DOUBLE)){}", argument, filter), "bool_or({})"}};
  out.finish = "CASE WHEN {1} THEN 'NaN'::DOUBLE WHEN ps_count({0}) > 0 THEN " + finish + " END";
  return out;
}

// nullopt: no states for this function over that type.
std::optional<MergedCall> merged_call(const AggregateCall& call, const std::string& type) {
  const std::string filter =
      call.filter.empty() ? "" : fmt::format(" FILTER (WHERE {})", call.filter);
  const std::string& x = call.argument;
  const auto simple = [&](const std::string& partial, const std::string& merge) {
    return MergedCall{{{partial + filter, merge}}, "{0}"};
  };
  const std::string& f = call.function;
  if (f == "count_star") return MergedCall{{{"count(*)" + filter, kAddCounts}}, "coalesce({0}, 0)"};
  if (f == "count" || f == "count_if" || f == "countif")
    return MergedCall{{{fmt::format("{}({}){}", f, x, filter), kAddCounts}}, "coalesce({0}, 0)"};
  const Kind kind = kind_of_type(type);
  if (kind == Kind::kNone) return std::nullopt;
  if (f == "min" || f == "max") return simple(fmt::format("{}({})", f, x), f + "({})");
  if (f == "bool_and" || f == "bool_or")
    return type == "BOOLEAN" ? std::optional(simple(fmt::format("{}({})", f, x), f + "({})"))
                             : std::nullopt;
  if (kind == Kind::kOther) return std::nullopt;
  if (f == "sum" && kind == Kind::kDouble) return of_doubles("ps_sums", x, filter, "ps_sum({0})");
  if (f == "sum") return simple(fmt::format("sum({})", x), "sum({})");
  if (f == "avg" || f == "mean") {
    if (kind == Kind::kDouble) return of_doubles("ps_sums", x, filter, "ps_mean({0})");
    return MergedCall{{{fmt::format("sum({}){}", x, filter), "sum({})"},
                       {fmt::format("count({}){}", x, filter), kAddCounts}},
                      "CASE WHEN {1} > 0 THEN {0}::DOUBLE / {1}::DOUBLE END"};
  }
  const bool is_population = f.ends_with("_pop");
  const std::string function = f.starts_with("stddev") ? "ps_std" : "ps_var";
  return of_doubles("ps_moments", x, filter,
                    fmt::format("{}({{0}}, {})", function, is_population ? 0 : 1));
}

std::string in_place(std::string text, std::size_t call, std::size_t states) {
  for (std::size_t i = 0; i < states; ++i) {
    const std::string place = fmt::format("{{{}}}", i), name = fmt::format("s{}_{}", call, i);
    for (auto at = text.find(place); at != std::string::npos; at = text.find(place, at))
      text.replace(at, place.size(), name);
  }
  return text;
}

std::string joined(const std::vector<std::string>& list, std::string_view between = ", ") {
  return fmt::format("{}", fmt::join(list, between));
}

std::vector<std::string> key_names(std::size_t n) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(fmt::format("k{}", i));
  return out;
}

// By place: the dataset may have a column of a key's name.
std::string grouped_by(std::size_t keys) {
  std::string out;
  for (std::size_t i = 1; i <= keys; ++i)
    out += fmt::format("{}{}", i > 1 ? ", " : " GROUP BY ", i);
  return out;
}

// "sum(s0_1) AS s0_1, …" of all calls, after what is in `list`.
void add_merges(const std::vector<MergedCall>& calls, std::vector<std::string>* list) {
  for (std::size_t c = 0; c < calls.size(); ++c)
    for (std::size_t i = 0; i < calls[c].states.size(); ++i) {
      const std::string name = fmt::format("s{}_{}", c, i);
      list->push_back(fmt::format(fmt::runtime(calls[c].states[i].merge), name) + " AS " + name);
    }
}

// The types of expressions over the view.
Result<std::vector<std::string>> types_of(Session& session, const std::string& from,
                                          const std::vector<std::string>& expressions) {
  std::vector<std::string> types;
  if (expressions.empty()) return types;
  POLYSOME_ASSIGN(const auto columns,
                  columns_of(session, fmt::format("SELECT {} FROM {}", joined(expressions), from)));
  for (const auto& c : columns) types.push_back(c.sql_type);
  return types;
}

// The answer over `states` (merged): keys and finished calls, then the caller's own list.
std::string answer_sql(const GroupedQuery& query, const std::vector<MergedCall>& calls,
                       const std::vector<ResultColumn>& columns, const std::string& states) {
  const auto keys = key_names(query.keys.size());
  std::vector<std::string> merged = keys, finished = keys, list;
  add_merges(calls, &merged);
  for (std::size_t c = 0; c < calls.size(); ++c)
    finished.push_back(
        fmt::format("{} AS a{}", in_place(calls[c].finish, c, calls[c].states.size()), c));
  for (std::size_t i = 0; i < columns.size(); ++i)
    list.push_back(fmt::format("CAST({} AS {}) AS {}", query.select[i], columns[i].sql_type,
                               sql_identifier(columns[i].name)));
  std::vector<std::string> order = query.order;
  for (const auto& k : keys) order.push_back(k + " NULLS LAST");
  std::string out =
      fmt::format("SELECT {} FROM (SELECT {} FROM (SELECT {} FROM {}{}))", joined(list),
                  joined(finished), joined(merged), states, grouped_by(keys.size()));
  if (!query.having.empty()) out += " WHERE " + query.having;
  if (!order.empty()) out += " ORDER BY " + joined(order);
  return out + query.limit;
}

// Merges the files of up to kMaxFanIn tasks into one.
Status combine_body(TaskEnv& env) {
  POLYSOME_ASSIGN(const std::string from, env.body_text("from"));
  POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("tasks"));
  const std::uint32_t first = env.spec.task.index * kMaxFanIn;
  const std::uint32_t count = std::min<std::uint32_t>(kMaxFanIn, tasks - first);
  POLYSOME_ASSIGN(const auto manifests, stage_manifests(env.spec.job_folder, from, first, count));
  const auto files = files_of(env.spec.job_folder, from, manifests, first, kRole);
  if (files.size() != count) return fail(Code::kIo, "output lost: a partial state is missing");
  const auto sql = fmt::format(fmt::runtime(env.plan().details.at("merge").get<std::string>()),
                               read_parquet_sql(files));
  POLYSOME_TRY(env.write_parquet(sql, kRole));
  return {};
}

Status scan_body(TaskEnv& env) {
  const Json& details = env.plan().details;
  POLYSOME_TRY(env.open_partition(details.at("view").get<std::string>(), 1,
                                  details.at("input").get<std::size_t>()));
  const auto rows = env.write_parquet(details.at("partial").get<std::string>(), kRole);
  if (!rows) {
    if (env.dispute(rows.error())) return {};
    return std::unexpected(rows.error());
  }
  env.finish_scan();
  return {};
}

Status result_body(TaskEnv& env) {
  const Json& details = env.plan().details;
  POLYSOME_ASSIGN(const std::string from, env.body_text("from"));
  POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("tasks"));
  POLYSOME_ASSIGN(const std::uint32_t scans, env.body_number("scans"));
  const auto& folder = env.spec.job_folder;
  POLYSOME_ASSIGN(const auto manifests, stage_manifests(folder, from, 0, tasks));
  const auto files = files_of(folder, from, manifests, 0, kRole);
  if (files.size() != tasks) return fail(Code::kIo, "output lost: a partial state is missing");
  POLYSOME_ASSIGN(const auto scanned, stage_manifests(folder, kScanStage, 0, scans));
  const auto answer = details.at("answer").get<std::string>();
  POLYSOME_TRY(
      env.temp_table(kSqlAnswer, fmt::format(fmt::runtime(answer), read_parquet_sql(files))));
  return finish_sql_answer(env, details.at("delivery"), kPlanText, scan_totals(scanned));
}

// Braces of the caller's SQL are no places for the files.
std::string escaped(const std::string& sql) {
  std::string out;
  for (const char c : sql) {
    out += c;
    if (c == '{' || c == '}') out += c;
  }
  return out;
}
constexpr const char* kStates = "ps_states";

// `sql` over kStates as a format whose only place takes the files.
std::string over_files(const std::string& sql) {
  std::string out = escaped(sql);
  const std::string from = fmt::format("FROM {}", kStates);
  out.replace(out.find(from), from.size(), "FROM {}");
  return out;
}

std::vector<Stage> stages_of(const PlanRequest& request, std::size_t index) {
  const auto& input = request.inputs.at(index);
  std::vector<Stage> stages;
  Stage scan;
  scan.name = kScanStage;
  scan.tasks = input.tasks();
  scan.bytes = input.source.total_bytes();
  scan.borders = input.has_borders();
  scan.body = {{"run", "sql.groups_scan"}};
  const std::uint32_t scans = scan.tasks;
  stages.push_back(std::move(scan));
  std::string from = kScanStage;
  std::uint32_t states = scans;
  while (states > kMaxFanIn) {
    Stage combine;
    combine.name = fmt::format("combine.{}", stages.size());
    combine.kind = StageKind::kCombine;
    combine.tasks = fan_in_tasks(states);
    combine.after = {from};
    combine.body = {{"run", "sql.groups_combine"}, {"from", from}, {"tasks", states}};
    from = combine.name;
    states = combine.tasks;
    stages.push_back(std::move(combine));
  }
  Stage last;
  last.name = "result";
  last.kind = StageKind::kSingle;
  last.after = {from};
  last.final = true;
  last.body = {{"run", "sql.groups_result"}, {"from", from}, {"tasks", states}, {"scans", scans}};
  stages.push_back(std::move(last));
  return stages;
}

}  // namespace

Result<std::optional<OperationPlan>> plan_sql_groups(const PlanRequest& request,
                                                     const SqlGroups& groups,
                                                     const GroupedQuery& query,
                                                     const Json& delivery, std::string* why_not) {
  Session& session = *request.session;
  POLYSOME_ASSIGN(const auto key_types, types_of(session, query.from, query.keys));
  for (std::size_t i = 0; i < key_types.size(); ++i)
    if (kind_of_type(key_types[i]) == Kind::kNone) {
      *why_not = fmt::format("it is grouped by a {}", key_types[i]);
      return std::optional<OperationPlan>{};
    }
  const auto keys = key_names(query.keys.size());
  std::vector<std::string> partial, merged = keys;
  for (std::size_t i = 0; i < keys.size(); ++i)
    partial.push_back(fmt::format("{} AS {}", query.keys[i], keys[i]));
  std::vector<MergedCall> calls;
  for (std::size_t c = 0; c < query.calls.size(); ++c) {
    std::string type;
    if (!query.calls[c].argument.empty()) {
      POLYSOME_ASSIGN(const auto types, types_of(session, query.from, {query.calls[c].argument}));
      type = types.at(0);
    }
    auto call = merged_call(query.calls[c], type);
    if (!call) {
      *why_not = fmt::format("{}() of a {} has no partial states", query.calls[c].function, type);
      return std::optional<OperationPlan>{};
    }
    for (std::size_t i = 0; i < call->states.size(); ++i)
      partial.push_back(fmt::format("{} AS s{}_{}", call->states[i].partial, c, i));
    calls.push_back(*std::move(call));
  }
  add_merges(calls, &merged);
  std::string scan = fmt::format("SELECT {} FROM {}", joined(partial), query.from);
  if (!query.where.empty()) scan += " WHERE " + query.where;
  scan += grouped_by(keys.size());
  POLYSOME_ASSIGN(const auto scanned, columns_of(session, scan));
  scan = parquet_safe(scanned, scan);
  const std::string merge =
      fmt::format("SELECT {} FROM {}{}", joined(merged), kStates, grouped_by(keys.size()));
  OperationPlan out;
  out.details = {{"input", groups.input},
                 {"view", groups.view},
                 {"partial", std::move(scan)},
                 {"merge", over_files(merge)},
                 {"answer", over_files(answer_sql(query, calls, groups.columns, kStates))},
                 {"delivery", delivery}};
  out.stages = stages_of(request, groups.input);
  return std::optional(std::move(out));
}

std::vector<StageBody> sql_groups_bodies() {
  return {{"sql.groups_scan", scan_body},
          {"sql.groups_combine", combine_body},
          {"sql.groups_result", result_body}};
}

}  // namespace polysome
