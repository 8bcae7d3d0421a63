// convert: the same table in another format, as one file or as parts.
#include <fmt/format.h>

#include "data/dataset_layout.h"
#include "data/text_pieces.h"
#include "operations/columns.h"
#include "operations/dataset_facts.h"
#include "operations/operation.h"
#include "operations/table_stages.h"
#include "operations/transpose.h"

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
      "csv, tsv, parquet, arrow (Arrow IPC, Feather 2), ndjson (a JSON object a line) or json (one "
      "array); default by "
      "the ending of output.path";
  format.choices = {"csv", "tsv", "parquet", "arrow", "ndjson", "json"};
  format.foreign_values = {{"jsonl", "ndjson"},
                           {"pq", "parquet"},
                           {"feather", "arrow"},
                           {"ipc", "arrow"},
                           {"txt", "tsv"}};
  format.foreign = {{"to", "a converter's"}};
  Parameter compression;
  compression.name = "compression";
  compression.type = ParamType::kChoice;
  compression.text =
      "of text formats: none, gzip or zstd, of arrow none or zstd; default by the ending of "
      "output.path";
  compression.choices = {"none", "gzip", "zstd"};
  compression.foreign_values = {{"gz", "gzip"}, {"zst", "zstd"}};
  Parameter orientation;
  orientation.name = "orientation";
  orientation.type = ParamType::kChoice;
  orientation.text =
      "how a matrix is to lie: features_as_rows or samples_as_rows; one that lies the other way is "
      "turned round (layout.orientation says how it lies, layout.label_columns what names the "
      "columns)";
  orientation.choices = {"features_as_rows", "samples_as_rows"};
  orientation.foreign_values = {{"genes_as_rows", "features_as_rows"},
                                {"obs_as_rows", "samples_as_rows"}};
  d.parameters = {format, compression, orientation};
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
  if (out.format.format == "arrow" && out.format.compression == "gzip")
    return fail(Error(Code::kUserData, "Arrow files are compressed inside, and not by gzip",
                      "compression zstd or none")
                    .at("/parameters/compression"));
  return out;
}

// Whether the dataset is to be turned round. Errors: it is no matrix, or may lie either way.
Result<bool> is_turned(const PlanRequest& request) {
  const auto wanted = request.job.spec.parameters.value("orientation", std::string());
  if (wanted.empty()) return false;
  const TableSource& source = request.inputs.at(0).source;
  POLYSOME_ASSIGN(const MatrixShape shape, matrix_shape(source));
  std::string rows = "its";
  if (shape.orientation.empty()) {
    TaskContext context;
    context.scratch = request.job_folder;
    POLYSOME_ASSIGN(const RowCount counted, count_rows(*request.session, source, context));
    rows = counted.rows ? (counted.exact ? "" : "about ") + with_thousands(*counted.rows) : "its";
  }
  POLYSOME_ASSIGN(const std::string lies, known_orientation(source, shape, rows));
  return lies != wanted;
}

Result<OperationPlan> plan(const PlanRequest& request) {
  POLYSOME_ASSIGN(const bool turned, is_turned(request));
  if (turned) {
    POLYSOME_ASSIGN(const Delivery to, delivery(request.job));
    return plan_transpose(request, to);
  }
  TableScan scan;
  scan.view = kView;
  scan.select = fmt::format("SELECT * FROM {}", sql_identifier(kView));
  scan.columns = all_columns(request.inputs.at(0).source);
  POLYSOME_ASSIGN(scan.delivery, delivery(request.job));
  scan.summary = {{"format", scan.delivery->format.format}};
  if (scan.delivery->format.format != "parquet")
    scan.summary["compression"] = scan.delivery->format.compression;
  return plan_table_scan(request, scan);
}

}  // namespace

Operation convert_operation() { return {description(), plan, transpose_bodies()}; }

}  // namespace polysome
