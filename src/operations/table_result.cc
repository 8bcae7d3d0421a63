#include "operations/table_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/files.h"
#include "kernels/arrow_library.h"
#include "model/database_url.h"
#include "operations/database_delivery.h"
#include "operations/operation.h"

namespace polysome {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kListedColumns = 200;
constexpr std::size_t kPreviewColumns = 50;
constexpr RowLimits kPreview{20, 16'000, false};
// A result of more files than this is rewritten as one: the list has to fit into a frame.
constexpr std::size_t kMostFiles = 1024;

std::uint64_t size_of(const std::string& path) {
  std::error_code ec;
  const auto bytes = std::filesystem::file_size(path, ec);
  return ec ? 0 : static_cast<std::uint64_t>(bytes);
}

std::uint64_t rows_of(const std::vector<StageFile>& files) {
  std::uint64_t rows = 0;
  for (const auto& f : files) rows += f.rows;
  return rows;
}

void drop_empty(std::vector<StageFile>* files) {
  std::vector<StageFile> kept;
  for (const auto& f : *files)
    if (f.rows > 0) kept.push_back(f);
  if (kept.empty()) kept.push_back(files->front());
  *files = std::move(kept);
}

Status compact(TaskEnv& env, TableResult* r) {
  const std::string path = env.path_of("table.parquet");
  const std::uint64_t all = rows_of(r->files);
  if (r->join) {
    POLYSOME_TRY(r->join(r->files, path));
    r->join = nullptr;
    env.note_file("table.parquet", all);
    r->files = {{path, 0, size_of(path), all}};
    return {};
  }
  POLYSOME_ASSIGN(
      const auto columns,
      columns_of(env.session(), "SELECT * FROM " + read_parquet_sql({r->files.front()})));
  env.row_group = row_group_of(columns);
  POLYSOME_ASSIGN(const auto rows, env.write_parquet("SELECT * FROM " + read_parquet_sql(r->files),
                                                     "table.parquet"));
  r->files = {{path, 0, size_of(path), rows}};
  return {};
}

// A file of ours where the caller wants it: the same file where ours goes with the job, else a
// copy.
Status place_file(const TaskEnv& env, const std::string& from, const std::string& to) {
  std::error_code ec;
  if (env.job.keep_table) return copy_file_durably(from, to);
  fs::create_hard_link(from, to, ec);
  return ec ? copy_file_durably(from, to) : sync_file(to);
}

Status write_wide_arrow(const std::vector<StageFile>& files, const std::string& compression,
                        const std::string& path) {
  POLYSOME_ASSIGN(const ArrowLibrary* library, arrow_library());
  std::vector<std::string> parquet;
  for (const auto& f : files) parquet.push_back(f.path);
  POLYSOME_TRY(library->write_parquet_as_arrow(parquet, path, compression));
  return sync_file(path);
}

Status write_one(TaskEnv& env, const TableResult& r, const std::vector<ResultColumn>& columns,
                 const std::string& path) {
  const auto& format = r.delivery->format;
  if (!r.text_parts.empty()) return join_parts(columns, r.text_parts, path, format);
  if (format.format == "parquet" && r.join) return r.join(r.files, path);
  if (format.format == "parquet" && r.files.size() == 1)
    return place_file(env, r.files[0].path, path);
  if (format.format == "arrow" && r.wide)
    return write_wide_arrow(r.files, format.compression, path);
  POLYSOME_TRY(
      write_table(env.session(), "SELECT * FROM " + read_parquet_sql(r.files), path, format));
  return {};
}

Status write_parts(TaskEnv& env, const TableResult& r, const std::vector<ResultColumn>& columns,
                   const std::string& folder, Json* listed) {
  const auto& format = r.delivery->format;
  const std::size_t n = r.text_rows.empty() ? r.files.size() : r.text_parts.size();
  for (std::size_t i = 0; i < n; ++i) {
    POLYSOME_TRY(env.check_cancelled());
    const std::string name = fmt::format("part-{:05}{}", i, format.extension());
    const std::string path = fmt::format("{}/{}", folder, name);
    if (format.format == "parquet") {
      POLYSOME_TRY(place_file(env, r.files[i].path, path));
    } else if (!r.text_parts.empty()) {
      POLYSOME_TRY(join_parts(columns, {r.text_parts[i]}, path, format));
    } else if (format.format == "arrow" && r.wide) {
      POLYSOME_TRY(write_wide_arrow({r.files[i]}, format.compression, path));
    } else {
      POLYSOME_TRY(write_table(env.session(), "SELECT * FROM " + read_parquet_sql({r.files[i]}),
                               path, format));
    }
    listed->push_back({{"path", r.delivery->path + "/" + name},
                       {"format", format.format},
                       {"bytes", size_of(path)},
                       {"rows", r.text_rows.empty() ? r.files[i].rows : r.text_rows[i]}});
  }
  return {};
}

Result<Json> deliver_table(TaskEnv& env, const TableResult& r,
                           const std::vector<ResultColumn>& columns) {
  Json listed = Json::array();
  if (!r.delivery) return listed;
  if (!r.delivery->database.empty()) {
    POLYSOME_TRY(deliver_to_database(env, *r.delivery, columns,
                                     "SELECT * FROM " + read_parquet_sql(r.files)));
    POLYSOME_ASSIGN(const DatabaseUrl url, parse_database_url(r.delivery->database));
    listed.push_back({{"database", url.text()}, {"table", url.table}, {"rows", rows_of(r.files)}});
    return listed;
  }
  std::string path = r.delivery->path;
  if (path.empty()) {
    const std::string role = "result" + r.delivery->format.extension();
    path = env.path_of(role);
    POLYSOME_TRY(write_one(env, r, columns, path));
    env.note_file(role, rows_of(r.files));
  } else {
    POLYSOME_TRY(deliver(env, *r.delivery, [&](const std::string& temporary) {
      return r.delivery->parts ? write_parts(env, r, columns, temporary, &listed)
                               : write_one(env, r, columns, temporary);
    }));
  }
  if (listed.empty())
    listed.push_back({{"path", path},
                      {"format", r.delivery->format.format},
                      {"bytes", size_of(path)},
                      {"rows", rows_of(r.files)}});
  return listed;
}

Result<Json> table_json(TaskEnv& env, const TableResult& r,
                        const std::vector<ResultColumn>& columns) {
  Json files = Json::array();
  for (const auto& f : r.files)
    files.push_back(
        {{"path", f.path}, {"format", "parquet"}, {"bytes", f.bytes}, {"n_rows", f.rows}});
  Json preview = Json::array();
  const std::vector<ResultColumn> shown(
      columns.begin(),
      columns.begin() + static_cast<std::ptrdiff_t>(std::min(columns.size(), kPreviewColumns)));
  bool stopped = false;
  if (r.known)
    preview = r.known->preview;
  else
    POLYSOME_TRY(append_rows(env.session(), shown, read_parquet_sql(r.files), kPreview, 0, &preview,
                             &stopped));
  return Json{{"name", r.table},
              {"n_rows", rows_of(r.files)},
              {"n_columns", columns.size()},
              {"columns", columns_json(columns, kListedColumns)},
              {"files", std::move(files)},
              {"preview", std::move(preview)}};
}

}  // namespace

Status finish_table(TaskEnv& env, TableResult r) {
  if (r.files.size() > kMostFiles && !(r.delivery && r.delivery->parts))
    POLYSOME_TRY(compact(env, &r));
  const std::string all = read_parquet_sql({r.files.front()});
  std::vector<ResultColumn> columns;
  if (r.known) {
    columns = r.known->columns;
  } else {
    POLYSOME_ASSIGN(columns, columns_of(env.session(), "SELECT * FROM " + all));
  }
  Json result = Json::object();
  if (r.value) {
    for (const auto& c : columns)
      if (c.name == r.value_column) {
        POLYSOME_ASSIGN(result["value"], single_value(env.session(), {c}, all));
      }
  }
  POLYSOME_ASSIGN(Json listed, deliver_table(env, r, columns));
  drop_empty(&r.files);
  POLYSOME_ASSIGN(Json table, table_json(env, r, columns));

  result["table"] = r.table;
  result["summary"] = std::move(r.summary);
  result["rows"] = rows_of(r.files);
  result["columns"] = columns.size();
  result["output"] = std::move(listed);
  result["tables"] = Json::array({std::move(table)});
  const Operation* operation = find_operation(env.job.spec.operation);
  Json definitions = {{"operation", fmt::format("{}/{}", env.job.spec.operation,
                                                operation ? operation->description.version : 1)}};
  definitions.update(r.definitions);
  result["definitions"] = std::move(definitions);
  Json warnings = env.plan().warnings;
  for (auto& w : r.warnings) warnings.push_back(std::move(w));
  result["warnings"] = std::move(warnings);
  env.output.result.rows = rows_of(r.files);
  env.output.result.payload = std::move(result);
  env.output.durable = env.job.keep_table;
  return {};
}

void ScanTotals::add(const Json& payload) {
  if (!payload.is_object()) return;
  bad_values += payload.value("bad_values", std::uint64_t{0});
  short_rows += payload.value("short_rows", std::uint64_t{0});
  long_rows += payload.value("long_rows", std::uint64_t{0});
}

ScanTotals scan_totals(const std::vector<Manifest>& manifests) {
  ScanTotals totals;
  for (const auto& m : manifests) {
    totals.rows += m.result.rows;
    totals.add(m.result.payload);
  }
  return totals;
}

Status check_bad_values(const TaskEnv& env, const ScanTotals& totals, Json* warnings) {
  const auto repaired = [&](const char* code, std::uint64_t n, const char* what) {
    if (n > 0)
      warnings->push_back({{"code", code},
                           {"count", n},
                           {"message", fmt::format("{} row{} {}", n, n == 1 ? "" : "s", what)}});
  };
  repaired("short_rows", totals.short_rows,
           "had fewer fields than the header has; the rest was taken as missing");
  repaired("long_rows", totals.long_rows,
           "had more fields than the header has; those behind the last column were left out");
  if (totals.bad_values == 0) return {};
  const auto& most = env.job.spec.max_bad_values;
  if (most && totals.bad_values > static_cast<std::uint64_t>(*most))
    return fail(Code::kUserData,
                fmt::format("{} values are not what their columns hold; max_bad_values allows {}",
                            totals.bad_values, *most),
                "look at the data, declare the columns' types, or raise max_bad_values");
  warnings->push_back(
      {{"code", "bad_values"},
       {"count", totals.bad_values},
       {"message", fmt::format("{} values that are not what their columns hold were "
                               "counted as missing",
                               totals.bad_values)}});
  return {};
}

std::string parquet_safe(const std::vector<ResultColumn>& columns, const std::string& select) {
  std::string list;
  bool cast = false;
  for (const auto& c : columns) {
    const std::string name = sql_identifier(c.name);
    if (!list.empty()) list += ", ";
    if (c.sql_type == "HUGEINT" || c.sql_type == "UHUGEINT") {
      list += fmt::format("CAST({0} AS DECIMAL(38,0)) AS {0}", name);
      cast = true;
    } else {
      list += name;
    }
  }
  return cast ? fmt::format("SELECT {} FROM ({})", list, select) : select;
}

}  // namespace polysome
