#include "data/parquet_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/nearest.h"
#include "data/file_map.h"
#include "data/text_pieces.h"
#include "data/text_source.h"

namespace polysome {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kTypes{{
    {"BIGINT", "int64"},
    {"INTEGER", "int64"},
    {"SMALLINT", "int64"},
    {"TINYINT", "int64"},
    {"UINTEGER", "int64"},
    {"USMALLINT", "int64"},
    {"UTINYINT", "int64"},
    {"DOUBLE", "double"},
    {"FLOAT", "double"},
    {"BOOLEAN", "bool"},
    {"DATE", "date"},
    {"VARCHAR", "string"},
}};

struct Described {
  std::string name;
  std::string type;
};

Result<std::vector<Described>> describe(Session& session, const std::string& select) {
  POLYSOME_ASSIGN(QueryResult rows, session.query("DESCRIBE " + select));
  std::vector<Described> out;
  const auto text = [](duckdb_vector vector, idx_t i) {
    auto* s = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector)) + i;
    return std::string(duckdb_string_t_data(s), duckdb_string_t_length(*s));
  };
  while (duckdb_data_chunk chunk = rows.fetch())
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); ++i)
      out.push_back({text(duckdb_data_chunk_get_vector(chunk, 0), i),
                     text(duckdb_data_chunk_get_vector(chunk, 1), i)});
  return out;
}

// How a column is read: 64 bits wide, NaN as missing, nested values as JSON text.
std::string read_as(const SourceColumn& column) {
  const std::string c = sql_identifier(column.name);
  if (column.type == "double")
    return fmt::format("nullif(CAST({} AS DOUBLE), 'NaN'::DOUBLE) AS {}", c, c);
  if (column.type == "int64") return fmt::format("CAST({} AS BIGINT) AS {}", c, c);
  if (column.from == "nested") return fmt::format("CAST(to_json({}) AS VARCHAR) AS {}", c, c);
  return c;
}

std::string select_list(const TableSource& source) {
  std::string out;
  for (const auto& c : source.columns) out += (out.empty() ? "" : ", ") + read_as(c);
  return out;
}

bool nested(const std::string& type) {
  return type.ends_with("]") || type.starts_with("STRUCT") || type.starts_with("MAP") ||
         type.starts_with("UNION") || type == "BLOB" || type == "JSON";
}

void add_columns(const std::vector<Described>& described, TableSource* source) {
  for (const auto& d : described) {
    const bool deep = nested(d.type);
    source->columns.push_back({d.name, deep ? "string" : our_type(d.type),
                               deep && d.type != "JSON" ? "nested" : "format"});
  }
}

}  // namespace

std::string our_type(const std::string& duckdb_type) {
  for (const auto& [theirs, ours] : kTypes)
    if (theirs == duckdb_type) return std::string(ours);
  if (duckdb_type.starts_with("TIMESTAMP") && duckdb_type.find("TIME ZONE") == std::string::npos)
    return "timestamp";
  return duckdb_type;
}

Status inspect_parquet(Session& session, TableSource* source) {
  std::vector<Described> first;
  for (auto& file : source->files) {
    const std::string path = sql_text(file.path);
    auto described = describe(session, fmt::format("SELECT * FROM read_parquet({})", path));
    if (!described) {
      if (described.error().code == Code::kOutOfMemory ||
          described.error().code == Code::kCancelled)
        return fail(described.error());
      return fail(Code::kUserData,
                  fmt::format("{} can't be read as Parquet: {}", file_label(file.path),
                              described.error().message),
                  "is it complete, and is it Parquet?");
    }
    if (first.empty()) {
      first = *described;
    } else {
      const auto key = [](const std::vector<Described>& d) {
        std::map<std::string, std::string> out;
        for (const auto& c : d) out[c.name] = our_type(c.type);
        return out;
      };
      const auto a = key(first), b = key(*described);
      for (const auto& [name, type] : a) {
        const auto it = b.find(name);
        if (it == b.end())
          return fail(Code::kUserData,
                      fmt::format("{} lacks column \"{}\" that {} has", file_label(file.path), name,
                                  file_label(source->files.front().path)),
                      "files of one dataset have the same columns");
        if (it->second != type)
          return fail(Code::kUserData,
                      fmt::format("column \"{}\" is {} in {} and {} in {}", name, type,
                                  file_label(source->files.front().path), it->second,
                                  file_label(file.path)),
                      "files of one dataset have the same types");
      }
      if (b.size() != a.size())
        return fail(Code::kUserData,
                    fmt::format("{} has {} columns, {} has {}", file_label(file.path), b.size(),
                                file_label(source->files.front().path), a.size()),
                    "files of one dataset have the same columns");
    }
    POLYSOME_ASSIGN(
        const std::int64_t rows,
        session.integer(fmt::format("SELECT num_rows FROM parquet_file_metadata({})", path)));
    file.rows = static_cast<std::uint64_t>(rows);
    POLYSOME_ASSIGN(
        QueryResult groups,
        session.query(fmt::format("SELECT row_group_id, any_value(row_group_num_rows)::BIGINT FROM "
                                  "parquet_metadata({}) GROUP BY 1 ORDER BY 1",
                                  path)));
    while (duckdb_data_chunk chunk = groups.fetch()) {
      const auto* n = static_cast<std::int64_t*>(
          duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1)));
      for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); ++i)
        file.groups.push_back(static_cast<std::uint64_t>(n[i]));
    }
  }
  add_columns(first, source);
  return {};
}

Status inspect_json(Session& session, TableSource* source) {
  std::vector<Described> first;
  for (const auto& file : source->files) {
    auto described =
        describe(session, fmt::format("SELECT * FROM read_json({}, maximum_object_size=67108864)",
                                      sql_text(file.path)));
    if (!described) {
      if (described.error().code == Code::kOutOfMemory ||
          described.error().code == Code::kCancelled)
        return fail(described.error());
      return fail(
          Code::kUserData, fmt::format("{}: {}", file_label(file.path), described.error().message),
          "a JSON dataset is one array of objects; one object a line has the format ndjson");
    }
    if (first.empty()) first = *described;
    std::set<std::string> a, b;
    for (const auto& c : first) a.insert(c.name);
    for (const auto& c : *described) b.insert(c.name);
    if (a != b)
      return fail(Code::kUserData,
                  fmt::format("{} and {} have different columns",
                              file_label(source->files.front().path), file_label(file.path)),
                  "files of one dataset have the same columns");
  }
  if (first.size() == 1 && first.front().name == "json")
    return fail(
        Code::kUserData,
        fmt::format("{} is not an array of objects", file_label(source->files.front().path)),
        "a JSON dataset is one array of objects, each a row");
  // DuckDB types numbers of both signs as 128 bits wide.
  for (auto& c : first)
    if (c.type == "HUGEINT") c.type = "BIGINT";
  add_columns(first, source);
  return {};
}

std::vector<Partition> cut_parquet(const TableSource& source, std::uint64_t partition_size) {
  std::vector<Partition> out;
  for (std::uint32_t f = 0; f < source.files.size(); ++f) {
    const SourceFile& file = source.files[f];
    const std::uint64_t rows = file.rows.value_or(0);
    const std::uint64_t wanted =
        std::max<std::uint64_t>(1, (file.bytes + partition_size - 1) / partition_size);
    const std::uint64_t parts =
        std::clamp<std::uint64_t>(wanted, 1, std::max<std::uint64_t>(1, rows));
    // Whole row groups when there are enough of them, else ranges of rows.
    std::vector<std::uint64_t> borders{0};
    if (parts <= file.groups.size()) {
      std::uint64_t row = 0;
      for (const auto n : file.groups) {
        row += n;
        if (row * parts >= rows * borders.size() && row < rows) borders.push_back(row);
      }
    } else {
      for (std::uint64_t i = 1; i < parts; ++i) borders.push_back(share(rows, i, parts));
    }
    borders.push_back(rows);
    for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
      const std::uint64_t n = borders[i + 1] - borders[i];
      if (n == 0 && borders.size() > 2) continue;
      const std::uint64_t bytes = rows == 0 ? file.bytes : share(file.bytes, n, rows);
      out.push_back({f, borders[i], n, bytes, n});
    }
  }
  return out;
}

Result<std::shared_ptr<ScanReport>> open_parquet_view(Session& session, const std::string& view,
                                                      const TableSource& source,
                                                      const std::vector<Partition>& partitions,
                                                      const ScanOptions& options) {
  (void)options;  // progress of Parquet is told at the end of the task: DuckDB reads it
  auto report = std::make_shared<ScanReport>();
  const std::string columns = select_list(source);
  std::string sql;
  for (const auto& p : partitions) {
    if (p.file >= source.files.size())
      return fail(Code::kInternal, "a partition of a file that is not there");
    const SourceFile& file = source.files[p.file];
    POLYSOME_ASSIGN(const FileStamp stamp, stamp_of(file.path));
    if (stamp.bytes != file.bytes || stamp.mtime_ns != file.mtime_ns)
      return fail(Code::kIo, fmt::format("{} was changed while the job ran", file.path),
                  "submit the job again");
    report->bytes += p.bytes;
    report->rows += p.length;
    if (!sql.empty()) sql += " UNION ALL ";
    const bool whole = p.offset == 0 && p.length == file.rows.value_or(0);
    if (whole)
      sql += fmt::format("SELECT {} FROM read_parquet({})", columns, sql_text(file.path));
    else
      sql += fmt::format(
          "SELECT {} FROM read_parquet({}, file_row_number=true) WHERE file_row_number >= {} AND "
          "file_row_number < {}",
          columns, sql_text(file.path), p.offset, p.offset + p.length);
  }
  if (sql.empty()) {
    sql = fmt::format("SELECT {} FROM read_parquet({}) LIMIT 0", columns,
                      sql_text(source.files.front().path));
  }
  POLYSOME_TRY(
      session.run(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS {}", sql_identifier(view), sql)));
  return report;
}

}  // namespace polysome
