// aggregate: statistics of columns, whole or by group. The definitions are pandas' and numpy's:
// missing values are skipped, var and std divide by n − 1, quantiles interpolate linearly, the mode
// is the smallest of the most frequent values.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/nearest.h"
#include "operations/aggregate_plan.h"
#include "operations/simple_where.h"

namespace polysome {
namespace {

constexpr std::array<std::string_view, 6> kNumericOnly = {"sum", "mean",   "var",
                                                          "std", "median", "quantile"};

bool numeric_only(std::string_view operation) {
  return std::ranges::find(kNumericOnly, operation) != kNumericOnly.end();
}

std::vector<Parameter> parameters() {
  Parameter column;
  column.name = "column";
  column.type = ParamType::kColumn;
  column.text = "the column";
  column.foreign = {{"field", "an SQL"}, {"on", "pandas'"}};
  Parameter columns;
  columns.name = "columns";
  columns.type = ParamType::kColumns;
  columns.text = "several columns: a list, \"*\" or /regex/";
  Parameter operation;
  operation.name = "operation";
  operation.type = ParamType::kChoices;
  operation.text = "what to compute, one or a list";
  operation.required = true;
  operation.choices = {"count", "count_distinct", "sum",      "mean", "min",    "max", "var",
                       "std",   "median",         "quantile", "mode", "missing"};
  operation.foreign = {{"agg", "pandas'"}, {"aggfunc", "pandas'"}, {"func", "pandas'"}};
  operation.foreign_values = {{"average", "mean"},
                              {"avg", "mean"},
                              {"nunique", "count_distinct"},
                              {"n_unique", "count_distinct"},
                              {"total", "sum"},
                              {"minimum", "min"},
                              {"maximum", "max"},
                              {"variance", "var"},
                              {"stddev", "std"},
                              {"sd", "std"},
                              {"percentile", "quantile"},
                              {"null_count", "missing"}};
  Parameter q;
  q.name = "q";
  q.type = ParamType::kNumbers;
  q.text = "the quantiles, from 0 to 1; needed with operation quantile";
  q.least = 0;
  q.most = 1;
  q.foreign = {{"quantiles", "a common"}, {"percentiles", "pandas'"}};
  Parameter group_by;
  group_by.name = "group_by";
  group_by.type = ParamType::kTexts;
  group_by.text = "columns whose values make the groups";
  group_by.foreign = {{"by", "pandas'"}, {"groupby", "pandas'"}, {"keys", "an SQL"}};
  Parameter where;
  where.name = "where";
  where.type = ParamType::kExpression;
  where.text = "only rows for which this SQL expression is true";
  where.foreign = {{"filter", "Polars'"}, {"query", "pandas'"}};
  return {column, columns, operation, q, group_by, where};
}

OperationDescription description() {
  OperationDescription d;
  d.name = "aggregate";
  d.type = "table";
  d.text = "Count, sum, mean, quantiles and other statistics of columns, whole or by group.";
  d.tables = {"result"};
  d.parameters = parameters();
  d.example = {{"operation", "aggregate"},
               {"dataset_id", "my_dataset"},
               {"parameters", {{"column", "expression"}, {"operation", "mean"}}}};
  return d;
}

Result<std::vector<Statistic>> statistics_of(const Json& p) {
  std::vector<Statistic> out;
  const bool has_q = p.contains("q");
  bool used_q = false;
  for (const auto& item : p.at("operation")) {
    const auto operation = item.get<std::string>();
    if (operation != "quantile") {
      const Statistic one{operation, operation == "median" ? 0.5 : 0.0};
      if (std::ranges::none_of(out, [&](const auto& s) { return s.operation == operation; }))
        out.push_back(one);
      continue;
    }
    if (!has_q)
      return fail(
          Error(Code::kUserData, "operation quantile needs q", "for example \"q\": [0.25, 0.75]")
              .at("/parameters/q"));
    if (used_q) continue;
    used_q = true;
    for (const auto& q : p["q"]) {
      const Statistic one{"quantile", q.get<double>()};
      if (std::ranges::none_of(out, [&](const auto& s) { return s.label() == one.label(); }))
        out.push_back(one);
    }
  }
  if (has_q && !used_q)
    return fail(Error(Code::kUserData, "q is given but no operation quantile",
                      "add \"quantile\" to operation, or leave q out")
                    .at("/parameters/q"));
  return out;
}

Error not_numeric(const TableSource& source, const SourceColumn& column,
                  const std::string& operation, const std::string& pointer) {
  std::vector<std::string> numeric;
  for (const auto& c : source.columns)
    if (is_number(kind_of(c))) numeric.push_back(c.name);
  std::string hint;
  if (const auto near = nearest(column.name, numeric))
    hint = fmt::format("a numeric column with a similar name: {}", *near);
  else if (numeric.empty())
    hint = fmt::format("dataset {} has no numeric columns", source.id);
  else
    hint = fmt::format("numeric columns: {}{}",
                       fmt::join(numeric.begin(),
                                 numeric.begin() + static_cast<std::ptrdiff_t>(
                                                       std::min<std::size_t>(numeric.size(), 10)),
                                 ", "),
                       numeric.size() > 10 ? ", …" : "");
  return Error(Code::kUserData,
               fmt::format("column \"{}\" of dataset {} holds {} values; {} needs numbers",
                           column.name, source.id, column.type, operation),
               hint)
      .at(pointer);
}

// The chosen columns. Columns chosen by "*" or a pattern that are no numbers are left out where
// only numbers make sense; a column named by the caller is an error.
Result<std::vector<AggregateColumn>> columns_for(const PlanRequest& request,
                                                 const std::vector<Statistic>& statistics,
                                                 const std::vector<std::uint32_t>& keys,
                                                 Json* warnings) {
  const Json& p = request.job.spec.parameters;
  const auto& source = request.inputs[0].source;
  if (p.contains("column") && p.contains("columns"))
    return fail(Error(Code::kUserData, "column and columns are both given", "leave one out")
                    .at("/parameters/columns"));
  const char* key = p.contains("column") ? "column" : "columns";
  if (!p.contains(key)) {
    if (std::ranges::all_of(statistics, [](const auto& s) { return s.operation == "count"; }))
      return std::vector<AggregateColumn>{{"", ValueKind::kInteger, "int64", "1::BIGINT"}};
    return fail(Error(Code::kUserData, "aggregate needs a column (only count works without)",
                      "\"column\": \"expression\", or \"columns\": \"*\"")
                    .at("/parameters/column"));
  }
  const std::string pointer = std::string("/parameters/") + key;
  const bool by_pattern = p[key].is_string() && std::string_view(key) == "columns";
  std::vector<std::uint32_t> chosen;
  if (by_pattern) {
    POLYSOME_ASSIGN(chosen, select_columns(source, p[key], pointer));
    for (const auto k : keys) std::erase(chosen, k);
  } else {
    const Json names = p[key].is_array() ? p[key] : Json::array({p[key]});
    POLYSOME_ASSIGN(chosen, select_columns(source, names, pointer));
  }
  const auto wants_numbers =
      std::ranges::find_if(statistics, [](const auto& s) { return numeric_only(s.operation); });
  std::vector<AggregateColumn> out;
  std::vector<std::string> left_out;
  for (const auto i : chosen) {
    const auto& column = source.columns[i];
    if (wants_numbers == statistics.end() || is_number(kind_of(column))) {
      out.push_back(aggregate_column(column));
    } else if (by_pattern) {
      left_out.push_back(column.name);
    } else {
      return fail(not_numeric(source, column, wants_numbers->operation, pointer));
    }
  }
  if (out.empty())
    return fail(
        Error(Code::kUserData, fmt::format("no numeric column of dataset {} is chosen", source.id))
            .at(pointer));
  if (!left_out.empty()) {
    const std::size_t shown = std::min<std::size_t>(left_out.size(), 10);
    warnings->push_back(
        {{"code", "columns_left_out"},
         {"count", left_out.size()},
         {"message",
          fmt::format("{} needs numbers; left out: {}{}", wants_numbers->operation,
                      fmt::join(left_out.begin(),
                                left_out.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                      left_out.size() > shown ? ", …" : "")}});
  }
  return out;
}

Result<OperationPlan> plan(const PlanRequest& request) {
  const Json& p = request.job.spec.parameters;
  const auto& source = request.inputs.at(0).source;
  AggregateDetails details;
  Json warnings = Json::array();
  POLYSOME_ASSIGN(details.statistics, statistics_of(p));
  std::vector<std::uint32_t> keys;
  if (p.contains("group_by")) {
    POLYSOME_ASSIGN(keys, select_columns(source, p["group_by"], "/parameters/group_by"));
    for (const auto k : keys) details.keys.push_back(aggregate_column(source.columns[k]));
    details.shape = AggregateDetails::Shape::kPerGroup;
  }
  POLYSOME_ASSIGN(details.columns, columns_for(request, details.statistics, keys, &warnings));
  if (p.contains("where")) {
    POLYSOME_ASSIGN(details.where,
                    check_where(*request.session, source, p["where"].get<std::string>()));
    details.row_tests = simple_where(*request.session, source, details.where);
  }
  OperationPlan out = plan_aggregate(request, std::move(details));
  POLYSOME_ASSIGN(const auto delivery, delivery_of(request.job, {}));
  out.details["delivery"] = delivery ? delivery->to_json() : Json();
  out.warnings = std::move(warnings);
  return out;
}

}  // namespace

Operation aggregate_operation() {
  return {description(),
          plan,
          {{"aggregate.scan", aggregate_scan_body},
           {"aggregate.combine", aggregate_combine_body},
           {"aggregate.reduce", aggregate_reduce_body},
           {"aggregate.result", aggregate_result_body}}};
}

}  // namespace polysome
