// describe: a row of figures for every column; aggregate with fixed statistics.
#include "operations/aggregate_plan.h"

namespace polysome {
namespace {

OperationDescription description() {
  OperationDescription d;
  d.name = "describe";
  d.type = "table";
  d.text =
      "For every column: type, count, missing, mean, std, quartiles, extremes, distinct values.";
  d.tables = {"result"};
  Parameter columns;
  columns.name = "columns";
  columns.type = ParamType::kColumns;
  columns.text = "columns to describe: a name, a list, \"*\" or /regex/; default all";
  columns.foreign = {{"column", "aggregate's"}, {"include", "pandas'"}};
  d.parameters = {columns};
  d.example = {
      {"operation", "describe"}, {"dataset_id", "my_dataset"}, {"parameters", Json::object()}};
  return d;
}

Result<OperationPlan> plan(const PlanRequest& request) {
  const auto& source = request.inputs.at(0).source;
  const Json selection = request.job.spec.parameters.value("columns", Json("*"));
  POLYSOME_ASSIGN(const auto chosen, select_columns(source, selection, "/parameters/columns"));
  AggregateDetails details;
  details.shape = AggregateDetails::Shape::kDescribe;
  for (const auto c : chosen) details.columns.push_back(aggregate_column(source.columns[c]));
  details.statistics = {{"count", 0}, {"missing", 0},       {"mean", 0},     {"std", 0},
                        {"min", 0},   {"quantile", 0.25},   {"median", 0.5}, {"quantile", 0.75},
                        {"max", 0},   {"count_distinct", 0}};
  OperationPlan out = plan_aggregate(request, std::move(details));
  POLYSOME_ASSIGN(const auto delivery, delivery_of(request.job, {}));
  out.details["delivery"] = delivery ? delivery->to_json() : Json();
  return out;
}

}  // namespace

Operation describe_operation() { return {description(), plan, {}}; }

}  // namespace polysome
