// sql: one SELECT over datasets. A projection or filter of one table is cut into partitions, and so
// are groups with aggregates that have partial states (sql_groups); anything else runs as one task
// over all of them. result.summary.plan says which, and why.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "kernels/sql_cage.h"
#include "operations/columns.h"
#include "operations/operation.h"
#include "operations/sql_groups.h"
#include "operations/table_result.h"
#include "operations/table_stages.h"

namespace polysome {
namespace {

constexpr const char* kTablePlace = "{table}";

OperationDescription description() {
  OperationDescription d;
  d.name = "sql";
  d.type = "table";
  d.text = "One SELECT over datasets: {table} is the first, others go by their names.";
  d.max_datasets = 16;
  d.tables = {"result"};
  Parameter query;
  query.name = "query";
  query.type = ParamType::kQuery;
  query.text =
      "a SELECT in DuckDB's SQL; {table} stands for the first dataset, the others are named "
      "as in dataset_id, in double quotes where the name needs it";
  query.required = true;
  query.foreign = {{"sql", "a common"}, {"statement", "an ODBC"}};
  d.parameters = {query};
  d.example = {
      {"operation", "sql"},
      {"dataset_id", "my_dataset"},
      {"parameters",
       {{"query",
         "SELECT gene, avg(expression) AS mean FROM {table} GROUP BY gene ORDER BY gene"}}}};
  return d;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string with_table(std::string query, const std::string& name) {
  const std::string place = kTablePlace;
  for (auto at = query.find(place); at != std::string::npos; at = query.find(place, at))
    query.replace(at, place.size(), sql_identifier(name));
  return query;
}

Result<std::vector<std::string>> table_names(const PlanRequest& request) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const auto& input : request.inputs) {
    if (!seen.insert(lower(input.source.id)).second)
      return fail(Error(Code::kUserData,
                        fmt::format("two datasets are named \"{}\"; SQL cannot tell them apart",
                                    input.source.id))
                      .at("/dataset_id"));
    out.push_back(input.source.id);
  }
  return out;
}

OperationPlan plan_single(const PlanRequest& request, const CheckedQuery& query,
                          const std::vector<std::size_t>& read, const Json& delivery,
                          const std::string& why_single) {
  OperationPlan out;
  Json tables = Json::array();
  Stage stage;
  for (const auto i : read) {
    tables.push_back({{"input", i}, {"view", request.inputs[i].source.id}});
    stage.bytes += request.inputs[i].source.total_bytes();
  }
  out.details = {{"query", query.sql},
                 {"tables", std::move(tables)},
                 {"delivery", delivery},
                 {"why", why_single}};
  stage.name = "query";
  stage.kind = StageKind::kSingle;
  stage.final = true;
  stage.body = {{"run", "sql.query"}};
  out.stages = {std::move(stage)};
  return out;
}

// A view for the time of planning.
class PlanningView {
 public:
  PlanningView(Session& session, std::string name) : session_(session), name_(std::move(name)) {}
  ~PlanningView() { (void)session_.run("DROP VIEW IF EXISTS " + sql_identifier(name_)); }
  PlanningView(const PlanningView&) = delete;
  PlanningView& operator=(const PlanningView&) = delete;

 private:
  Session& session_;
  const std::string name_;
};

// The plan that cuts a grouped query, or std::nullopt and *why_not.
Result<std::optional<OperationPlan>> plan_groups(const PlanRequest& request,
                                                 const CheckedQuery& query, std::size_t input,
                                                 const std::string& view, const Json& delivery,
                                                 std::string* why_not) {
  if (!query.single_table || !query.is_deterministic) return std::optional<OperationPlan>{};
  Session& session = *request.session;
  const TableSource& source = request.inputs[input].source;
  std::vector<std::string> columns;
  for (const auto& c : source.columns) columns.push_back(c.name);
  POLYSOME_ASSIGN(const auto split, split_grouped_query(session, query.sql, columns, why_not));
  if (!split) return std::optional<OperationPlan>{};
  const PlanningView guard(session, view);
  POLYSOME_TRY(open_view(session, view, source, {}, {}));
  SqlGroups groups{input, view, {}};
  POLYSOME_ASSIGN(groups.columns, columns_of(session, query.sql));
  return plan_sql_groups(request, groups, *split, delivery, why_not);
}

Result<OperationPlan> plan(const PlanRequest& request) {
  const std::string pointer = "/parameters/query";
  POLYSOME_ASSIGN(const auto names, table_names(request));
  const std::string text =
      with_table(request.job.spec.parameters.at("query").get<std::string>(), names.at(0));
  auto query = check_query(*request.session, text, names);
  if (!query) return fail(std::move(query.error()).at(pointer));
  std::vector<std::size_t> read;
  std::vector<std::pair<std::string, const TableSource*>> views;
  for (std::size_t i = 0; i < names.size(); ++i)
    for (const auto& table : query->tables)
      if (lower(table) == lower(names[i])) {
        read.push_back(i);
        views.emplace_back(names[i], &request.inputs[i].source);
      }
  POLYSOME_TRY(check_binds(*request.session, views, query->sql, pointer));
  POLYSOME_ASSIGN(const auto delivery, delivery_of(request.job, {}));
  const Json to = delivery ? delivery->to_json() : Json();
  if (!query->is_plain_map || read.size() != 1) {
    std::string why_not = query->why_not_map;
    if (read.size() == 1) {
      POLYSOME_ASSIGN(auto groups,
                      plan_groups(request, *query, read[0], names[read[0]], to, &why_not));
      if (groups) return *std::move(groups);
    }
    return plan_single(request, *query, read, to, why_not);
  }
  TableScan scan;
  scan.input = read[0];
  scan.view = names[read[0]];
  scan.select = query->sql;
  scan.delivery = delivery;
  scan.summary = {{"plan", "cut into partitions: the query selects and filters rows of one table"}};
  return plan_table_scan(request, scan);
}

// The select list that writes the answer: 128-bit integers as BIGINT where they fit, else exact
// decimals.
Result<std::string> answer_select(TaskEnv& env) {
  const std::string all = fmt::format("SELECT * FROM {}", kSqlAnswer);
  POLYSOME_ASSIGN(const auto columns, columns_of(env.session(), all));
  std::string list;
  for (const auto& c : columns) {
    const std::string name = sql_identifier(c.name);
    if (!list.empty()) list += ", ";
    if (c.sql_type != "HUGEINT" && c.sql_type != "UHUGEINT") {
      list += name;
      continue;
    }
    POLYSOME_ASSIGN(const std::int64_t fits,
                    env.session().integer(fmt::format(
                        "SELECT coalesce(bool_and(TRY_CAST({0} AS BIGINT) IS NOT NULL OR {0} IS "
                        "NULL), true)::BIGINT FROM {1}",
                        name, kSqlAnswer)));
    list += fmt::format("CAST({0} AS {1}) AS {0}", name, fits == 1 ? "BIGINT" : "DECIMAL(38,0)");
  }
  return fmt::format("SELECT {} FROM {}", list, kSqlAnswer);
}

Status query_body(TaskEnv& env) {
  const Json& details = env.plan().details;
  for (const auto& t : details.at("tables"))
    POLYSOME_TRY(env.open_whole(t.at("view").get<std::string>(), t.at("input").get<std::size_t>()));
  // The rows are read here: what was met in them is known afterwards.
  POLYSOME_TRY(env.temp_table(kSqlAnswer, details.at("query").get<std::string>()));
  env.finish_scan();
  ScanTotals totals;
  totals.add(env.output.result.payload);
  return finish_sql_answer(env, details.at("delivery"),
                           "one task: " + details.at("why").get<std::string>(), totals);
}

}  // namespace

Status finish_sql_answer(TaskEnv& env, const Json& delivery, const std::string& plan_text,
                         const ScanTotals& totals) {
  POLYSOME_ASSIGN(const std::string answer, answer_select(env));
  POLYSOME_ASSIGN(const std::uint64_t rows, env.write_parquet(answer, "table.parquet"));
  TableResult result;
  result.files = {{env.path_of("table.parquet"), 0, env.output.files.back().bytes, rows}};
  result.delivery = Delivery::from_json(delivery);
  result.summary = {{"plan", plan_text}};
  POLYSOME_ASSIGN(const auto columns, columns_of(env.session(), answer));
  if (rows == 1 && columns.size() == 1 &&
      (columns[0].type() == "int64" || columns[0].type() == "double")) {
    result.value = true;
    result.value_column = columns[0].name;
  }
  POLYSOME_TRY(check_bad_values(env, totals, &result.warnings));
  return finish_table(env, std::move(result));
}

Operation sql_operation() {
  Operation out{description(), plan, {{"sql.query", query_body}}};
  for (auto& body : sql_groups_bodies()) out.bodies.push_back(std::move(body));
  return out;
}

}  // namespace polysome
