#include "operations/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/bytes.h"
#include "base/files.h"
#include "base/nearest.h"
#include "data/database_source.h"
#include "data/dataset_layout.h"
#include "data/missing_report.h"
#include "data/partitioner.h"
#include "data/text_pieces.h"
#include "model/plan.h"
#include "operations/answer_files.h"
#include "operations/cells.h"
#include "operations/dataset_facts.h"
#include "operations/operation.h"
#include "operations/result_selection.h"
#include "operations/result_text.h"
#include "operations/table_files.h"
#include "operations/task_env.h"
#include "plan/planner.h"

namespace polysome {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kPageRows = 100;
constexpr std::size_t kPageBytes = 8'000'000;
constexpr std::size_t kMostInFrame = 400'000;  // of cells; names and punctuation come on top
constexpr std::uint64_t kListedPartitions = 100;
constexpr std::size_t kListedColumns = 1000;
constexpr std::size_t kListedColumnBytes = 500'000;  // an answer fits in one frame
constexpr std::size_t kListedFiles = 100;
constexpr std::size_t kListedSources = 5;
constexpr std::size_t kMostHeaders = 500;  // of many files, so that the answer comes in a second

Result<std::vector<ResultColumn>> all_columns(Session& session, const std::string& path) {
  return columns_of(session, "SELECT * FROM " + read_parquet_sql(std::vector{path}));
}

// The columns asked for, in the order asked for; all without a list.
Result<std::vector<ResultColumn>> chosen_columns(const std::vector<ResultColumn>& all,
                                                 const Json& request) {
  const Json asked = request.value("columns", Json());
  if (!asked.is_array() || asked.empty()) return all;
  std::vector<std::string> names;
  for (const auto& c : all) names.push_back(c.name);
  std::vector<ResultColumn> out;
  for (const auto& item : asked) {
    const auto name = item.get<std::string>();
    const auto at = std::ranges::find(names, name);
    if (at == names.end())
      return fail(
          Code::kInvalid,
          fmt::format("column \"{}\" is not in the result{}", name, did_you_mean(name, names)),
          columns_hint(names));
    out.push_back(all[static_cast<std::size_t>(at - names.begin())]);
  }
  return out;
}

// A page of the rows that `where` leaves, in the order of `sort`.
Result<std::uint64_t> append_selected(Session& session, const std::vector<ResultColumn>& columns,
                                      const ResultSelection& wanted, std::uint64_t offset,
                                      const RowLimits& limits, std::size_t* used, Json* rows) {
  POLYSOME_ASSIGN(const std::int64_t count, session.integer("SELECT count(*) FROM " + wanted.from));
  bool stopped = false;
  POLYSOME_ASSIGN(
      *used, append_rows(session, columns,
                         fmt::format("(SELECT * FROM {}{} LIMIT {} OFFSET {}) AS page", wanted.from,
                                     wanted.order, limits.max_rows, offset),
                         limits, *used, rows, &stopped));
  return static_cast<std::uint64_t>(count);
}

Result<Json> result_page(const Json& request, const TaskContext& context, const KeptSession& kept) {
  POLYSOME_ASSIGN(const auto paths, paths_of(request));
  POLYSOME_ASSIGN(const AnswerSession opened, session_for(paths, context, kept));
  Session* const session = opened.use;
  POLYSOME_ASSIGN(const auto all, all_columns(*session, paths[0]));
  POLYSOME_ASSIGN(const auto columns, chosen_columns(all, request));
  POLYSOME_ASSIGN(const auto wanted, select_rows(*session, paths, all, request));
  const auto offset = request.value("offset", std::uint64_t{0});
  const auto limit = request.value("limit", kPageRows);
  const auto max_bytes = request.value("max_bytes", kPageBytes);

  Json rows = Json::array();
  std::uint64_t before = 0;  // rows of the files passed
  std::size_t used = 0;
  bool stopped = false;
  if (!wanted.whole) {
    POLYSOME_ASSIGN(before, append_selected(*session, columns, wanted, offset,
                                            {limit, max_bytes, true}, &used, &rows));
  }
  for (const auto& path : paths) {
    if (!wanted.whole) break;
    POLYSOME_ASSIGN(const std::int64_t count,
                    session->integer(fmt::format("SELECT num_rows FROM parquet_file_metadata({})",
                                                 sql_text(path))));
    const auto in_file = static_cast<std::uint64_t>(count);
    const std::uint64_t next = offset + rows.size();
    if (!stopped && rows.size() < limit && next < before + in_file) {
      // A filter on the row number skips row groups; an OFFSET would read them.
      POLYSOME_ASSIGN(used,
                      append_rows(*session, columns,
                                  fmt::format("read_parquet({}, file_row_number = true) WHERE "
                                              "file_row_number >= {} ORDER BY file_row_number",
                                              sql_text(path), next - before),
                                  {limit - rows.size(), max_bytes, true}, used, &rows, &stopped));
    }
    before += in_file;
  }
  const std::uint64_t end = offset + rows.size();
  const Json page = {{"columns", columns_json(columns, columns.size())},
                     {"n_rows", before},
                     {"next_offset", end < before && !rows.empty() ? Json(end) : Json()},
                     {"rows", std::move(rows)}};
  // What does not fit a frame goes by way of a file, where the caller names one.
  const auto target = request.value("path", std::string());
  if (target.empty() || used < kMostInFrame) return page;
  POLYSOME_TRY(write_file(target, dump(page), false));
  return Json{{"path", target}};
}

Result<Json> result_file(const Json& request, const TaskContext& context) {
  const auto format = request.value("format", std::string("csv"));
  const std::vector<std::string> known = {"csv", "tsv", "ndjson", "json", "parquet", "arrow"};
  if (std::ranges::find(known, format) == known.end())
    return fail(Code::kNotAcceptable, fmt::format("results are not given as {}", format),
                "formats: csv, tsv, ndjson, json, parquet, arrow");
  POLYSOME_ASSIGN(const auto paths, paths_of(request));
  const auto target = request.value("path", std::string());
  if (target.empty()) return fail(Code::kInvalid, "the request names no path to write to");
  auto folders = parents_of(paths);
  folders.push_back(fs::path(target).parent_path().string());
  POLYSOME_ASSIGN(auto session, open_session(context, std::move(folders)));
  POLYSOME_ASSIGN(const auto all, all_columns(*session, paths[0]));
  POLYSOME_ASSIGN(const auto columns, chosen_columns(all, request));
  POLYSOME_ASSIGN(const auto wanted, select_rows(*session, paths, all, request));
  std::string list;
  for (const auto& c : columns) list += (list.empty() ? "" : ", ") + sql_identifier(c.name);
  std::string select = fmt::format("SELECT {} FROM {}{}", list, wanted.from, wanted.order);
  if (const auto it = request.find("limit"); it != request.end() && !it->is_null())
    select += fmt::format(" LIMIT {}", it->get<std::uint64_t>());
  const FileFormat as{format, "none"};
  POLYSOME_ASSIGN(const auto rows, write_table(*session, select, target, as));
  std::error_code ec;
  return Json{{"bytes", static_cast<std::uint64_t>(fs::file_size(target, ec))},
              {"rows", rows},
              {"content_type", content_type(as)}};
}

struct Inspected {
  std::unique_ptr<Session> session;
  TableSource source;
};

Result<Inspected> inspect_request(const Json& request, const TaskContext& context) {
  if (!request.contains("dataset")) return fail(Code::kInvalid, "the request names no dataset");
  POLYSOME_ASSIGN(const DatasetRef ref, DatasetRef::from_json(request["dataset"]));
  auto roots = request.value("read_roots", std::vector<std::string>{});
  auto folders = roots;
  for (const auto& f : dataset_folders(ref)) folders.push_back(f);
  Inspected out;
  POLYSOME_ASSIGN(out.session, open_session(context, std::move(folders)));
  InspectOptions options;
  options.most_files = kMostHeaders;
  options.most_opened = kMostOpened;
  options.most_listed = kMostListed;
  options.connections = context.connections;
  POLYSOME_ASSIGN(out.source, inspect(*out.session, ref, roots,
                                      request.value("on_bad_value", std::string("fail")), options));
  return out;
}

// At least one, however long its name is.
Json source_columns_json(const TableSource& source, std::size_t offset, std::size_t most) {
  Json out = Json::array();
  std::size_t bytes = 0;
  for (std::size_t i = offset; i < source.columns.size() && out.size() < most; ++i) {
    const auto& c = source.columns[i];
    bytes += c.name.size() + c.type.size() + c.from.size() + 40;
    if (bytes > kListedColumnBytes && !out.empty()) break;
    out.push_back({{"name", c.name}, {"type", c.type}, {"from", c.from}});
  }
  return out;
}

Json common_json(const TableSource& source, const RowCount& rows) {
  Json out = {{"dataset_id", source.id},
              {"format", source.format},
              {"columns", source_columns_json(source, 0, kListedColumns)},
              {"n_columns", source.columns.size()},
              {"total_size_bytes", source.total_bytes()},
              {"total_size", format_bytes(source.total_bytes())},
              {"n_files", source.files.size()},
              {"n_rows", rows.rows ? Json(*rows.rows) : Json()},
              {"n_rows_exact", rows.exact},
              {"fingerprint", source.fingerprint()}};
  if (const auto warnings = source.dialect.find("warnings"); warnings != source.dialect.end())
    out["warnings"] = *warnings;
  if (source.more_files) {
    out["more_files"] = true;
    if (!out.contains("warnings")) out["warnings"] = Json::array();
    out["warnings"].push_back(
        {{"code", "more_files"},
         {"count", source.files.size()},
         {"message", fmt::format("there are more than {} files: columns, types and sizes are told "
                                 "from the first {}; jobs read all of them",
                                 with_thousands(kMostListed), with_thousands(kMostListed))}});
  }
  return out;
}

// Of more files than are looked at the rows are not guessed.
Result<RowCount> rows_of(const Inspected& in, const TaskContext& context) {
  if (in.source.more_files) return RowCount{};
  return count_rows(*in.session, in.source, context);
}

Result<Json> inspect_answer(const Json& request, const TaskContext& context) {
  // Content that was just sent is to outlive the machine when the answer says that it is there.
  for (const auto& path : request.value("sync", std::vector<std::string>{}))
    POLYSOME_TRY(sync_file(path));
  POLYSOME_ASSIGN(const Inspected in, inspect_request(request, context));
  POLYSOME_ASSIGN(const RowCount rows, rows_of(in, context));
  Json out = common_json(in.source, rows);
  if (request.contains("column_offset")) {
    const auto offset = request["column_offset"].get<std::size_t>();
    out["columns"] =
        source_columns_json(in.source, offset, request.value("columns", kListedColumns));
    const std::size_t next = offset + out["columns"].size();
    out["next_column"] = next < in.source.columns.size() ? Json(next) : Json();
  }
  Json files = Json::array();
  for (const auto& f : std::as_const(in.source.files)) {
    if (files.size() == kListedFiles) break;
    files.push_back({{"path", f.path},
                     {"bytes", f.bytes},
                     {"compression", f.compression.empty() ? Json() : Json(f.compression)},
                     {"rows", f.rows ? Json(*f.rows) : Json()}});
  }
  out["files"] = std::move(files);
  out["layout"] = layout_json(
      in.source, request.value("dataset", Json::object()).value("layout", Json::object()));
  out["splittable"] = in.source.splittable();
  if (request.value("missing", false)) {
    POLYSOME_ASSIGN(Json missing, missing_report(in.source));
    if (!missing.is_null()) out["missing_values"] = std::move(missing);
  }
  return out;
}

Json partition_json(const TableSource& source, const PartitionTable& table, std::uint32_t index) {
  const auto ranges = table.of(index);
  std::uint64_t length = 0, rows = 0;
  std::uint64_t files = 0;
  Json sources = Json::array();
  const Partition* before = nullptr;
  for (const auto& r : ranges) {
    length += r.length;
    rows += r.rows;
    if (before == nullptr || before->file != r.file) {
      ++files;
      if (sources.size() < kListedSources) sources.push_back(source.files[r.file].path);
    }
    before = &r;
  }
  Json out = {{"index", index},
              {"source", sources[0]},
              {"offset", ranges.front().offset},
              {"length", length},
              {"rows", rows > 0 ? Json(rows) : Json()}};
  if (files > 1) {
    out["n_files"] = files;
    out["sources"] = std::move(sources);
  }
  return out;
}

// How the partitions came about, in a word.
const char* strategy_of(const TableSource& source, const PartitionTable& table) {
  // What it is cut into is known only when it is unpacked; until then a partition is a file.
  if (is_database(source.format)) return "ingest_first";
  if (!source.splittable()) return "unpack_first";
  if (table.size() < source.files.size()) return "files_together";
  if (source.format == "arrow") return "record_batches";
  return source.format == "parquet" ? "row_groups" : "byte_ranges";
}

Result<Json> partition_answer(const Json& request, const TaskContext& context) {
  POLYSOME_ASSIGN(const Inspected in, inspect_request(request, context));
  POLYSOME_ASSIGN(const RowCount rows, rows_of(in, context));
  Json out = common_json(in.source, rows);
  // They are known when a job has looked at all the files; the service submits it.
  if (in.source.more_files) {
    for (const char* key :
         {"n_partitions", "partition_size_bytes", "partition_size", "next_offset"})
      out[key] = Json();
    out["strategy"] = in.source.splittable() ? "files_together" : "unpack_first";
    out["partitions"] = Json::array();
    return out;
  }
  CutRules rules;
  rules.partition_size =
      std::max<std::uint64_t>(request.value("partition_size", std::uint64_t{100'000'000}), 1);
  rules.size_given = request.value("size_given", false);
  rules.slots = request.value("slots", 1U);
  rules.most_partitions = kMaxPartitions;
  POLYSOME_ASSIGN(const PartitionTable table, make_partitions(in.source, rules));
  out["n_partitions"] = table.size();
  out["partition_size_bytes"] = table.partition_size;
  out["partition_size"] = format_bytes(table.partition_size);
  out["strategy"] = strategy_of(in.source, table);
  const auto offset = request.value("offset", std::uint64_t{0});
  const auto limit = request.value("limit", kListedPartitions);
  Json page = Json::array();
  for (std::uint64_t i = offset; i < table.size() && i - offset < limit; ++i) {
    page.push_back(partition_json(in.source, table, static_cast<std::uint32_t>(i)));
    if (table.size() == 1 && rows.exact && rows.rows) page.back()["rows"] = *rows.rows;
  }
  out["next_offset"] = offset + page.size() < table.size() ? Json(offset + page.size()) : Json();
  out["partitions"] = std::move(page);
  return out;
}

// What a job's planner would plan, in a folder of its own that the caller removes.
Result<Json> plan_answer(const Json& request, const TaskContext& context) {
  if (!request.contains("job")) return fail(Code::kInvalid, "the request names no job");
  POLYSOME_ASSIGN(const JobDescription job, JobDescription::from_json(request["job"]));
  const Operation* operation = find_operation(job.spec.operation);
  if (operation == nullptr)
    return fail(Code::kInvalid, fmt::format("there is no operation \"{}\"", job.spec.operation));
  TaskSpec spec;
  spec.stage_name = "plan";
  spec.job_folder = request.value("path", std::string());
  std::unique_ptr<Session> session;
  if (!job.spec.datasets.empty()) {
    auto folders = job.read_roots;
    folders.push_back(spec.job_folder);
    for (const auto& ref : job.spec.datasets)
      for (const auto& f : dataset_folders(ref)) folders.push_back(f);
    POLYSOME_ASSIGN(session, open_session(context, std::move(folders)));
  }
  POLYSOME_ASSIGN(const PlannerOutput planned, run_planner(spec, job, Json(), session.get(),
                                                           operation->plan, context.connections));
  POLYSOME_ASSIGN(const std::string text,
                  read_file(fs::path(spec.job_folder) / planned.fragment_file));
  POLYSOME_ASSIGN(const Json fragment, parse_trusted_json(text));
  POLYSOME_ASSIGN(const Fragment plan, Fragment::from_json(fragment, planned.fragment_file));
  POLYSOME_ASSIGN(
      const PlanDocument document,
      read_plan_document(spec.job_folder, plan.stages.front().body.value("plan", std::string())));
  Json stages = Json::array();
  bool complete = true;
  for (const auto& stage : plan.stages) {
    complete = complete && stage.kind != StageKind::kPlanner;
    stages.push_back({{"name", stage.name},
                      {"kind", name(stage.kind)},
                      {"tasks", stage.tasks},
                      {"bytes", stage.bytes},
                      {"after", stage.after}});
  }
  std::uint64_t bytes = 0;
  for (const auto& input : document.inputs) bytes += input.source.total_bytes();
  return Json{{"stages", std::move(stages)},
              {"warnings", document.warnings},
              {"input_bytes", bytes},
              {"complete", complete}};
}

}  // namespace

Result<Json> answer_request(const Json& request, TaskContext& context, const KeptSession& kept) {
  const auto kind = request.value("kind", std::string());
  Result<Json> answer = fail(Code::kInvalid, fmt::format("no question is called \"{}\"", kind));
  try {
    if (kind == "result_page") answer = result_page(request, context, kept);
    if (kind == "result_file") answer = result_file(request, context);
    if (kind == "result_text") answer = result_text(request, context, kept);
    if (kind == "inspect") answer = inspect_answer(request, context);
    if (kind == "partition") answer = partition_answer(request, context);
    if (kind == "plan") answer = plan_answer(request, context);
  } catch (const Json::exception& e) {
    answer = fail(Code::kInvalid, std::string("unreadable request: ") + e.what());
  }
  if (context.set_interrupt) context.set_interrupt({});
  return answer;
}

}  // namespace polysome
