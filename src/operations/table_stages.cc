#include "operations/table_stages.h"

#include <fmt/format.h>

#include "operations/flat_table.h"
#include "operations/table_result.h"

namespace polysome {
namespace {

constexpr const char* kScanStage = "scan";
constexpr std::uint64_t kPreviewRows = 20;

// Text is written by the scan's tasks side by side and only joined at the end. With a limit most of
// it would be thrown away.
bool writes_text(const Json& details) {
  const auto delivery = Delivery::from_json(details.value("delivery", Json()));
  return delivery && delivery->format.is_text() && details["limit"].is_null();
}

// The text goes to where the caller wants it, and nobody asks for a table afterwards.
bool writes_text_only(const TaskEnv& env) {
  const Json& details = env.plan().details;
  return writes_text(details) && !env.job.keep_table &&
         !Delivery::from_json(details["delivery"])->path.empty();
}

// Columns of a table that needs no SQL, or none.
std::vector<std::uint32_t> flat_columns(const Json& details) {
  return details.value("flat", std::vector<std::uint32_t>());
}

Status flat_body(TaskEnv& env, const std::vector<std::uint32_t>& columns) {
  const Json& details = env.plan().details;
  std::optional<FileFormat> text;
  if (writes_text(details)) text = Delivery::from_json(details["delivery"])->format;
  const auto rows =
      write_flat_part(env, columns, {kTablePart, text ? &*text : nullptr, writes_text_only(env)});
  if (!rows) {
    if (env.dispute(rows.error())) return {};
    return std::unexpected(rows.error());
  }
  env.finish_scan();
  env.output.result.rows = *rows;
  env.output.durable = env.job.keep_table;
  return {};
}

// Text of which no table is kept: straight from the query. The first rows are left as a table all
// the same, for the preview. Answers the rows.
Result<std::uint64_t> write_text_only(TaskEnv& env, const std::string& select) {
  const auto delivery = Delivery::from_json(env.plan().details["delivery"]);
  POLYSOME_ASSIGN(
      const std::uint64_t first,
      env.write_parquet(fmt::format("SELECT * FROM ({}) LIMIT {}", select, kPreviewRows),
                        kTablePart));
  const std::string role = "part" + delivery->format.extension();
  // Fewer rows are all there are: they need not be looked for again.
  const std::string all =
      first < kPreviewRows
          ? "SELECT * FROM " + read_parquet_sql(std::vector{env.path_of(kTablePart)})
          : select;
  POLYSOME_ASSIGN(const std::uint64_t rows,
                  write_part(env.session(), all, env.path_of(role), delivery->format));
  env.output.files.back().rows = rows;
  env.note_file(role, rows);
  return rows;
}

Status scan_body(TaskEnv& env) {
  const Json& details = env.plan().details;
  if (const auto columns = flat_columns(details); !columns.empty()) return flat_body(env, columns);
  const auto view = details.at("view").get<std::string>();
  POLYSOME_TRY(env.open_partition(view, 1, details.at("input").get<std::size_t>()));
  std::string select = details.at("select").get<std::string>();
  if (!details["limit"].is_null())
    select += fmt::format(" LIMIT {}", details["limit"].get<std::uint64_t>());
  POLYSOME_ASSIGN(const auto columns, columns_of(env.session(), select));
  select = parquet_safe(columns, select);
  env.row_group = row_group_of(columns);
  const bool text_only = writes_text_only(env);
  const auto rows =
      text_only ? write_text_only(env, select) : env.write_parquet(select, kTablePart);
  if (!rows) {
    if (env.dispute(rows.error())) return {};
    return std::unexpected(rows.error());
  }
  env.finish_scan();
  if (!text_only) return leave_part(env, *rows);
  env.output.result.rows = *rows;
  return {};
}

// Keeps the first `limit` rows of the parts; the part at the limit is rewritten shorter.
Status cut_at(TaskEnv& env, std::uint64_t limit, std::vector<StageFile>* files) {
  std::vector<StageFile> kept;
  std::uint64_t left = limit;
  for (const auto& f : *files) {
    if (!kept.empty() && left == 0) break;
    if (f.rows <= left) {
      kept.push_back(f);
      left -= f.rows;
      continue;
    }
    POLYSOME_TRY(env.write_parquet(
        fmt::format("SELECT * FROM {} LIMIT {}", read_parquet_sql(std::vector{f}), left),
        kTablePart));
    kept.push_back({env.path_of(kTablePart), 0, env.output.files.back().bytes, left});
    left = 0;
  }
  *files = std::move(kept);
  return {};
}

Status result_body(TaskEnv& env) {
  const Json& details = env.plan().details;
  POLYSOME_ASSIGN(const std::string parts, env.body_text("parts"));
  POLYSOME_ASSIGN(const std::uint32_t tasks, env.body_number("tasks"));
  POLYSOME_ASSIGN(const auto manifests, stage_manifests(env.spec.job_folder, parts, 0, tasks));
  TableResult result;
  result.delivery = Delivery::from_json(details["delivery"]);
  result.summary = details["summary"];
  result.files = files_of(env.spec.job_folder, parts, manifests, 0, kTablePart);
  if (result.files.empty()) return fail(Code::kIo, "output lost: there are no parts");
  if (writes_text(details))
    for (const auto& f : files_of(env.spec.job_folder, parts, manifests, 0,
                                  "part" + result.delivery->format.extension()))
      result.text_parts.push_back(f.path);
  if (const auto columns = flat_columns(details); !columns.empty())
    POLYSOME_TRY(describe_flat_parts(
        env, columns, files_of(env.spec.job_folder, parts, manifests, 0, kFlatIndex), &result));
  ScanTotals totals;
  for (const auto& scan : env.body.at("scans")) {
    POLYSOME_ASSIGN(const auto read,
                    stage_manifests(env.spec.job_folder, scan.at(0).get<std::string>(), 0,
                                    scan.at(1).get<std::uint32_t>()));
    totals.bad_values += scan_totals(read).bad_values;
  }
  POLYSOME_TRY(check_bad_values(env, totals, &result.warnings));
  if (!details["limit"].is_null())
    POLYSOME_TRY(cut_at(env, details["limit"].get<std::uint64_t>(), &result.files));
  return finish_table(env, std::move(result));
}

}  // namespace

OperationPlan plan_table_scan(const PlanRequest& request, const TableScan& scan) {
  OperationPlan out;
  out.details = {{"input", scan.input},
                 {"view", scan.view},
                 {"select", scan.select},
                 {"limit", scan.limit ? Json(*scan.limit) : Json()},
                 {"delivery", scan.delivery ? scan.delivery->to_json() : Json()},
                 {"summary", scan.summary}};
  if (!scan.row_tests.is_null()) out.details["row_tests"] = scan.row_tests;
  const auto& input = request.inputs.at(scan.input);
  const bool flat = scan.input == 0 && !scan.limit && is_flat(input.source, scan.columns);
  Stage map;
  map.name = kScanStage;
  map.kind = StageKind::kMap;
  map.tasks = input.tasks();
  map.bytes = input.source.total_bytes();
  map.borders = input.has_borders();
  map.can_split = true;  // smaller row groups
  map.body = {{"run", "table.scan"}};
  if (flat) {
    out.details["flat"] = scan.columns;
    map.grant = flat_grant(input.source, scan.columns, map.bytes / map.tasks);
  }
  const StageTasks tasks{kScanStage, map.tasks};
  Stage last = result_stage(tasks, {tasks});
  if (flat)
    last.grant = flat_result_grant(input.source, scan.columns,
                                   {map.tasks, map.bytes, std::max(request.job.memory, map.grant)});
  out.stages = {std::move(map), std::move(last)};
  return out;
}

Stage result_stage(const StageTasks& parts, const std::vector<StageTasks>& scans) {
  Stage last;
  last.name = "result";
  last.kind = StageKind::kSingle;
  last.after = {parts.stage};
  last.final = true;
  Json read = Json::array();
  for (const auto& s : scans) read.push_back({s.stage, s.tasks});
  last.body = {{"run", "table.result"},
               {"parts", parts.stage},
               {"tasks", parts.tasks},
               {"scans", std::move(read)}};
  return last;
}

Status leave_part(TaskEnv& env, std::uint64_t rows) {
  const Json& details = env.plan().details;
  if (writes_text(details)) {
    const auto delivery = Delivery::from_json(details["delivery"]);
    const std::string role = "part" + delivery->format.extension();
    POLYSOME_TRY(write_part(
        env.session(), "SELECT * FROM " + read_parquet_sql(std::vector{env.path_of(kTablePart)}),
        env.path_of(role), delivery->format));
    env.note_file(role, rows);
  }
  env.output.result.rows = rows;
  env.output.durable = env.job.keep_table;
  return {};
}

std::vector<StageBody> table_stage_bodies() {
  return {{"table.scan", scan_body}, {"table.result", result_body}};
}

std::string identifier_list(const TableSource& source, const std::vector<std::uint32_t>& columns) {
  std::string out;
  for (const auto c : columns) {
    if (!out.empty()) out += ", ";
    out += sql_identifier(source.columns[c].name);
  }
  return out;
}

}  // namespace polysome
