// convert: the same table in another format, as one file or as parts.
#include <fmt/format.h>

#include "operations/operation.h"
#include "operations/table_stages.h"

namespace polysome {
namespace {

constexpr const char* kView = "data";

OperationDescription description() {
  OperationDescription d;
  d.name = "convert";
  d.type = "table";
  d.text = "Write a table in another format: one file, or a folder of parts (output.files).";
  d.tables = {"result"};
  Parameter format;
  format.name = "format";
  format.type = ParamType::kChoice;
  format.text =
      "csv, tsv, parquet, ndjson (a JSON object a line) or json (one array); default by "
      "the ending of output.path";
  format.choices = {"csv", "tsv", "parquet", "ndjson", "json"};
  format.foreign_values = {{"jsonl", "ndjson"}, {"pq", "parquet"}, {"txt", "tsv"}};
  format.foreign = {{"to", "a converter's"}};
  Parameter compression;
  compression.name = "compression";
  compression.type = ParamType::kChoice;
  compression.text = "of text formats: none, gzip or zstd; default by the ending of output.path";
  compression.choices = {"none", "gzip", "zstd"};
  compression.foreign_values = {{"gz", "gzip"}, {"zst", "zstd"}};
  d.parameters = {format, compression};
  d.example = {{"operation", "convert"},
               {"dataset_id", "my_dataset"},
               {"parameters", {{"format", "parquet"}}},
               {"output", {{"path", "my_dataset.parquet"}}}};
  return d;
}

Result<Delivery> delivery(const JobDescription& job) {
  const Json& parameters = job.spec.parameters;
  const std::string format = parameters.value("format", std::string());
  const std::string compression = parameters.value("compression", std::string());
  const std::string other = job.spec.output.value("format", std::string());
  if (!format.empty() && !other.empty() && format != other)
    return fail(Error(Code::kUserData,
                      fmt::format("parameters.format is {} but output.format is {}", format, other),
                      "say it once")
                    .at("/parameters/format"));
  POLYSOME_ASSIGN(auto asked, delivery_of(job, {}));
  Delivery out = asked.value_or(Delivery{});
  if (!asked && format.empty())
    return fail(Error(Code::kUserData, "convert needs a format",
                      "\"parameters\": {\"format\": \"parquet\"}, or an output.path with an ending")
                    .at("/parameters/format"));
  if (!format.empty()) out.format.format = format;
  if (!compression.empty()) out.format.compression = compression;
  return out;
}

Result<OperationPlan> plan(const PlanRequest& request) {
  TableScan scan;
  scan.view = kView;
  scan.select = fmt::format("SELECT * FROM {}", sql_identifier(kView));
  POLYSOME_ASSIGN(scan.delivery, delivery(request.job));
  scan.summary = {{"format", scan.delivery->format.format}};
  if (scan.delivery->format.format != "parquet")
    scan.summary["compression"] = scan.delivery->format.compression;
  return plan_table_scan(request, scan);
}

}  // namespace

Operation convert_operation() { return {description(), plan, {}}; }

}  // namespace polysome
