// sort: rows in the order of columns, stable, missing values last. Every partition becomes a sorted
// run; reduce tasks merge those between two places, which all of them work out alike from samples
// of the runs. The rows are the same in any cut.
#include <fmt/format.h>

#include <algorithm>

#include "operations/columns.h"
#include "operations/operation.h"
#include "operations/record_stages.h"
#include "operations/table_stages.h"

namespace polysome {
namespace {

constexpr const char* kView = "data";
constexpr const char* kScanStage = "scan";
constexpr const char* kMergeStage = "merge";
// Of so few rows one task makes the answer.
constexpr std::uint64_t kFewRows = 1'000'000;

OperationDescription description() {
  OperationDescription d;
  d.name = "sort";
  d.type = "table";
  d.text = "Rows in the order of columns; equal rows keep their order, missing values come last.";
  d.tables = {"result"};
  Parameter by;
  by.name = "by";
  by.type = ParamType::kTexts;
  by.text = "columns to sort by, the first counts most; \"-\" before one turns its direction";
  by.required = true;
  by.foreign = {
      {"columns", "a common"}, {"column", "a common"}, {"order_by", "an SQL"}, {"key", "a common"}};
  Parameter descending;
  descending.name = "descending";
  descending.type = ParamType::kBoolean;
  descending.text = "from large to small";
  descending.default_value = false;
  descending.foreign = {{"reverse", "Python's"}, {"desc", "an SQL"}};
  Parameter limit;
  limit.name = "limit";
  limit.type = ParamType::kInteger;
  limit.text = "keep the first so many rows";
  limit.least = 0;
  limit.foreign = {{"head", "pandas'"}, {"n", "pandas'"}, {"top", "a common"}};
  d.parameters = {by, descending, limit};
  d.example = {{"operation", "sort"},
               {"dataset_id", "my_dataset"},
               {"parameters", {{"by", {"gene", "-expression"}}, {"limit", 1000}}}};
  return d;
}

Result<std::vector<SortKey>> keys_of(const TableSource& source, const Json& parameters) {
  const bool descending = parameters.value("descending", false);
  std::vector<SortKey> out;
  for (const auto& item : parameters.at("by")) {
    const auto text = item.get<std::string>();
    // A column may be called "-x": its name as a whole comes first.
    const bool named =
        std::ranges::any_of(source.columns, [&](const auto& c) { return c.name == text; });
    const bool turned = !named && text.starts_with('-') && text.size() > 1;
    POLYSOME_ASSIGN(const std::uint32_t column,
                    find_column(source, turned ? text.substr(1) : text, "/parameters/by"));
    out.push_back({sql_identifier(source.columns[column].name), descending != turned});
  }
  return out;
}

std::string whole_row(const TaskEnv& env) {
  const TableSource& source = env.plan().inputs[0].source;
  return identifier_list(source, all_columns(source));
}

Result<OperationPlan> plan(const PlanRequest& request) {
  const Json& parameters = request.job.spec.parameters;
  const auto& input = request.inputs.at(0);
  POLYSOME_ASSIGN(const auto keys, keys_of(input.source, parameters));
  POLYSOME_ASSIGN(const auto delivery, delivery_of(request.job, {}));
  OperationPlan out;
  out.details = {{"key", sort_key_sql(keys)},
                 {"limit", parameters.contains("limit") ? parameters["limit"] : Json()},
                 {"delivery", delivery ? delivery->to_json() : Json()},
                 {"summary", Json::object()}};
  Stage scan;
  scan.name = kScanStage;
  scan.kind = StageKind::kMap;
  scan.tasks = input.tasks();
  scan.bytes = input.source.total_bytes();
  scan.borders = input.has_borders();
  scan.can_split = true;  // sorts in less memory
  scan.body = {{"run", "sort.scan"}};
  const StageTasks scans{kScanStage, scan.tasks};
  Stage merge;
  merge.name = kMergeStage;
  merge.kind = StageKind::kReduce;
  const bool few = parameters.contains("limit") &&
                   parameters["limit"].get<std::uint64_t>() <= kFewRows / scans.tasks;
  merge.tasks = few ? 1 : parts_for(request.job, scan.bytes);
  merge.bytes = few ? 0 : scan.bytes;
  merge.after = {kScanStage};
  merge.can_split = true;
  merge.body = {{"run", "sort.merge"}, {"scans", scans.tasks}, {"parts", merge.tasks}};
  const StageTasks parts{kMergeStage, merge.tasks};
  out.stages = {std::move(scan), std::move(merge), result_stage(parts, {scans})};
  return out;
}

std::optional<std::uint64_t> limit_of(const Json& details) {
  if (details["limit"].is_null()) return std::nullopt;
  return details["limit"].get<std::uint64_t>();
}

Status scan_body(TaskEnv& env) {
  const Json& details = env.plan().details;
  POLYSOME_TRY(env.open_partition(kView, 1));
  return sort_partition(env,
                        fmt::format("SELECT {}, {} FROM {}", details.at("key").get<std::string>(),
                                    whole_row(env), sql_identifier(kView)),
                        {.limit = limit_of(details)});
}

Status merge_body(TaskEnv& env) {
  POLYSOME_ASSIGN(const std::uint32_t scans, env.body_number("scans"));
  POLYSOME_ASSIGN(const std::uint32_t parts, env.body_number("parts"));
  POLYSOME_ASSIGN(const StageRuns runs, stage_runs(env, kScanStage, scans));
  POLYSOME_TRY(env.open_nothing(kView, 0));
  POLYSOME_ASSIGN(RowCodec codec, codec_of(env, fmt::format("SELECT {} FROM {}", whole_row(env),
                                                            sql_identifier(kView))));
  POLYSOME_ASSIGN(RunMerge merge, merge_part(env, runs, env.spec.task.index, parts));
  PlainRows shape(std::move(codec));
  return write_merged_part(env, std::move(merge), shape, runs, limit_of(env.plan().details));
}

}  // namespace

Operation sort_operation() {
  return {description(), plan, {{"sort.scan", scan_body}, {"sort.merge", merge_body}}};
}

}  // namespace polysome
