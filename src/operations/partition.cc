// partition: cuts a dataset as its jobs would, and counts the rows of every partition. What it
// finds is kept by the service, for as long as the files stay as they are.
#include <fmt/format.h>

#include "operations/operation.h"
#include "operations/table_result.h"

namespace polysome {
namespace {

constexpr const char* kView = "ps_counted";
constexpr const char* kCounts = "rows.parquet";
constexpr const char* kCountStage = "count";

OperationDescription description() {
  OperationDescription d;
  d.name = "partition";
  d.type = "table";
  d.text = "Count the rows of a dataset, partition by partition.";
  d.tables = {"partitions"};
  d.example = {{"operation", "partition"}, {"dataset_id", "my_dataset"}};
  return d;
}

Status count_body(TaskEnv& env) {
  POLYSOME_TRY(env.open_partition(kView, 1));
  const auto rows = env.session().integer(fmt::format("SELECT count(*) FROM {}", kView));
  if (!rows) {
    if (env.dispute(rows.error())) return {};
    return std::unexpected(rows.error());
  }
  env.finish_scan();
  const auto& input = env.plan().inputs.at(0);
  POLYSOME_ASSIGN(const auto ranges, input.partition(env.spec.job_folder, env.spec.task.index));
  std::uint64_t length = 0, files = 0;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    length += ranges[i].length;
    files += i == 0 || ranges[i].file != ranges[i - 1].file ? 1 : 0;
  }
  const std::string path =
      ranges.empty() ? std::string() : input.source.files.at(ranges[0].file).path;
  POLYSOME_TRY(env.write_parquet(
      fmt::format("SELECT {}::BIGINT AS \"index\", {}::VARCHAR AS source, {}::BIGINT AS n_files, "
                  "{}::BIGINT AS \"offset\", {}::BIGINT AS length, {}::BIGINT AS \"rows\"",
                  env.spec.task.index, sql_text(path), files, ranges.empty() ? 0 : ranges[0].offset,
                  length, *rows),
      kCounts));
  env.output.result.rows = static_cast<std::uint64_t>(*rows);
  return {};
}

Status result_body(TaskEnv& env) {
  POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("tasks"));
  POLYSOME_ASSIGN(const auto manifests,
                  stage_manifests(env.spec.job_folder, kCountStage, 0, tasks));
  const auto files = files_of(env.spec.job_folder, kCountStage, manifests, 0, kCounts);
  if (files.empty()) return fail(Code::kIo, "output lost: the count left no files");
  POLYSOME_ASSIGN(
      const std::uint64_t n,
      env.write_parquet(fmt::format("SELECT * FROM {} ORDER BY \"index\"", read_parquet_sql(files)),
                        "table.parquet"));
  const ScanTotals totals = scan_totals(manifests);
  Json rows = Json::array();
  for (const auto& m : manifests) rows.push_back(m.result.rows);
  TableResult result;
  result.table = "partitions";
  result.files = {{env.path_of("table.parquet"), 0, env.output.files.back().bytes, n}};
  result.summary = {{"n_rows", totals.rows},
                    {"n_partitions", n},
                    {"n_files", env.body.value("n_files", std::uint64_t{0})},
                    {"total_size_bytes", env.body.value("bytes", std::uint64_t{0})},
                    {"fingerprint", env.body.value("fingerprint", "")}};
  // Longer lists do not fit into a job's record; they are in the table.
  if (rows.size() <= 1000) result.summary["partition_rows"] = std::move(rows);
  POLYSOME_ASSIGN(result.delivery, delivery_of(env.job, {}));
  return finish_table(env, std::move(result));
}

Result<OperationPlan> plan(const PlanRequest& request) {
  POLYSOME_TRY(delivery_of(request.job, {}));
  const auto& input = request.inputs.at(0);
  OperationPlan out;
  Stage map;
  map.name = kCountStage;
  map.kind = StageKind::kMap;
  map.tasks = input.tasks();
  map.bytes = input.source.total_bytes();
  map.borders = input.has_borders();
  map.body = {{"run", "partition.count"}};
  Stage last;
  last.name = "result";
  last.kind = StageKind::kSingle;
  last.after = {kCountStage};
  last.final = true;
  last.body = {{"run", "partition.result"},
               {"tasks", map.tasks},
               {"n_files", input.source.files.size()},
               {"bytes", input.source.total_bytes()},
               {"fingerprint", input.source.fingerprint()}};
  out.stages = {std::move(map), std::move(last)};
  return out;
}

}  // namespace

Operation partition_operation() {
  return {
      description(), plan, {{"partition.count", count_body}, {"partition.result", result_body}}};
}

}  // namespace polysome
