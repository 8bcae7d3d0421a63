// filter: the rows for which an SQL expression is true, in their order; chosen columns; a limit.
#include <fmt/format.h>

#include "operations/columns.h"
#include "operations/operation.h"
#include "operations/simple_where.h"
#include "operations/table_stages.h"

namespace polysome {
namespace {

constexpr const char* kView = "data";

OperationDescription description() {
  OperationDescription d;
  d.name = "filter";
  d.type = "table";
  d.text =
      "Keep the rows for which an expression is true, and the columns you name; order is kept.";
  d.tables = {"result"};
  Parameter where;
  where.name = "where";
  where.type = ParamType::kExpression;
  where.text = "SQL expression over the columns, such as expression > 2 AND batch = 'A'";
  where.foreign = {{"query", "pandas'"}, {"predicate", "Polars'"}, {"condition", "an SQL"}};
  Parameter columns;
  columns.name = "columns";
  columns.type = ParamType::kColumns;
  columns.text = "columns to keep: a name, a list, \"*\" or /regex/; default all";
  columns.foreign = {{"select", "an SQL"}, {"usecols", "pandas'"}};
  Parameter limit;
  limit.name = "limit";
  limit.type = ParamType::kInteger;
  limit.text = "keep the first so many rows";
  limit.least = 0;
  limit.foreign = {{"head", "pandas'"}, {"n", "pandas'"}};
  d.parameters = {where, columns, limit};
  d.example = {{"operation", "filter"},
               {"dataset_id", "my_dataset"},
               {"parameters", {{"where", "expression > 2"}, {"limit", 1000}}}};
  return d;
}

Result<OperationPlan> plan(const PlanRequest& request) {
  const Json& parameters = request.job.spec.parameters;
  const auto& source = request.inputs.at(0).source;
  TableScan scan;
  scan.view = kView;
  std::string columns = "*";
  scan.columns = all_columns(source);
  if (parameters.contains("columns")) {
    POLYSOME_ASSIGN(scan.columns,
                    select_columns(source, parameters["columns"], "/parameters/columns"));
    columns = identifier_list(source, scan.columns);
  }
  scan.select = fmt::format("SELECT {} FROM {}", columns, sql_identifier(kView));
  if (parameters.contains("where")) {
    POLYSOME_ASSIGN(const std::string where,
                    check_where(*request.session, source, parameters["where"].get<std::string>()));
    scan.select += " WHERE " + where;
    scan.row_tests = simple_where(*request.session, source, where);
    if (scan.row_tests.is_null()) scan.columns.clear();
  }
  if (parameters.contains("limit")) scan.limit = parameters["limit"].get<std::uint64_t>();
  POLYSOME_ASSIGN(scan.delivery, delivery_of(request.job, {}));
  return plan_table_scan(request, scan);
}

}  // namespace

Operation filter_operation() { return {description(), plan, {}}; }

}  // namespace polysome
