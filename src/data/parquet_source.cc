#include "data/parquet_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_set>

#include "base/unique_fd.h"
#include "data/column_schema.h"
#include "data/text_pieces.h"
#include "data/text_source.h"
#include "kernels/arrow_library.h"

namespace polysome {
namespace {

Error cannot_read(const std::string& label, const Error& error) {
  if (error.code == Code::kOutOfMemory || error.code == Code::kCancelled) return error;
  return {Code::kUserData, fmt::format("{} can't be read as Parquet: {}", label, error.message),
          "is it complete, and is it Parquet?"};
}

constexpr std::size_t kFilesAQuery = 500;

// One text per file that is equal for files of one schema.
Result<std::vector<std::string>> schema_marks(Session& session, const TableSource& source,
                                              const std::vector<std::size_t>& files) {
  std::map<std::string, std::string> by_path;
  for (std::size_t at = 0; at < files.size(); at += kFilesAQuery) {
    std::string list;
    for (std::size_t i = at; i < std::min(files.size(), at + kFilesAQuery); ++i)
      list += (list.empty() ? "" : ", ") + sql_text(source.files[files[i]].path);
    POLYSOME_ASSIGN(
        QueryResult rows,
        session.query(fmt::format(
            "SELECT file_name, md5(string_agg(concat_ws('|', name, type, type_length, "
            "num_children, converted_type, scale, precision, logical_type), chr(10))) FROM "
            "(SELECT * FROM parquet_schema([{}])) GROUP BY file_name",
            list)));
    const auto text = [](duckdb_vector vector, idx_t i) {
      auto* s = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector)) + i;
      return std::string(duckdb_string_t_data(s), duckdb_string_t_length(*s));
    };
    while (duckdb_data_chunk chunk = rows.fetch())
      for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); ++i)
        by_path[text(duckdb_data_chunk_get_vector(chunk, 0), i)] =
            text(duckdb_data_chunk_get_vector(chunk, 1), i);
  }
  std::vector<std::string> out;
  out.reserve(files.size());
  for (const auto f : files) out.push_back(by_path[source.files[f].path]);
  return out;
}

// Rows and row groups of each file, from the footers.
Status read_groups(Session& session, TableSource* source, const std::vector<std::size_t>& files) {
  std::map<std::string, SourceFile*> by_path;
  for (const auto f : files) by_path[source->files[f].path] = &source->files[f];
  for (std::size_t at = 0; at < files.size(); at += kFilesAQuery) {
    std::string list;
    for (std::size_t i = at; i < std::min(files.size(), at + kFilesAQuery); ++i)
      list += (list.empty() ? "" : ", ") + sql_text(source->files[files[i]].path);
    POLYSOME_ASSIGN(
        QueryResult groups,
        session.query(fmt::format("SELECT file_name, row_group_id, row_group_num_rows::BIGINT FROM "
                                  "parquet_metadata([{}]) WHERE column_id = 0 ORDER BY 1, 2",
                                  list)));
    while (duckdb_data_chunk chunk = groups.fetch()) {
      auto* names = static_cast<duckdb_string_t*>(
          duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0)));
      const auto* n = static_cast<std::int64_t*>(
          duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 2)));
      for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); ++i) {
        SourceFile* file =
            by_path[{duckdb_string_t_data(&names[i]), duckdb_string_t_length(names[i])}];
        if (file != nullptr) file->groups.push_back(static_cast<std::uint64_t>(n[i]));
      }
    }
  }
  for (const auto& [path, file] : by_path) {
    std::uint64_t rows = 0;
    for (const auto n : file->groups) rows += n;
    file->rows = rows;
  }
  return {};
}

// A footer of so many bytes tells of thousands of columns (some hundred bytes each).
constexpr std::uint32_t kLargeFooter = 500'000;

bool has_large_footer(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st{};
  if (!fd || ::fstat(fd.get(), &st) != 0 || st.st_size < 8) return false;
  std::uint32_t length = 0;
  return ::pread(fd.get(), &length, sizeof length, st.st_size - 8) == sizeof length &&
         length >= kLargeFooter;
}

// The columns and row groups of a very wide file by Parquet's own library: DuckDB takes seconds for
// tens of thousands of columns. Nothing where only DuckDB can tell a type, or would rename a column
// (it does not tell names apart by case).
std::optional<std::vector<Described>> describe_wide(SourceFile* file) {
  const auto library = arrow_library();
  if (!library) return std::nullopt;
  const auto reader = (*library)->open_parquet(file->path);
  if (!reader) return std::nullopt;  // what is wrong with it, DuckDB says
  std::vector<Described> out;
  std::unordered_set<std::string> names;
  for (const auto& c : (*reader)->columns()) {
    std::string lower = c.name;
    std::ranges::transform(lower, lower.begin(), [](unsigned char l) { return std::tolower(l); });
    if (c.type.empty() || !names.insert(std::move(lower)).second) return std::nullopt;
    out.push_back({c.name, c.type});
  }
  file->groups = (*reader)->group_rows();
  file->rows = std::accumulate(file->groups.begin(), file->groups.end(), std::uint64_t{0});
  return out;
}

}  // namespace

Status inspect_parquet(Session& session, TableSource* source, const Json& layout,
                       const InspectOptions& options) {
  const auto seen = spread_over(source->files.size(), options.most_files);
  SchemaUnion all(layout);
  std::map<std::string, std::vector<Described>> schemas;  // by their marks
  std::vector<const std::vector<Described>*> of_file(source->files.size(), nullptr);
  std::vector<std::string> marks(seen.size());
  if (seen.size() > 1) {
    // A broken file fails the query for all: then each is looked at, which names it.
    if (auto found = schema_marks(session, *source, seen))
      marks = std::move(*found);
    else if (found.error().code == Code::kOutOfMemory || found.error().code == Code::kCancelled)
      return fail(found.error());
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const SourceFile& file = source->files[seen[i]];
    const std::string mark = marks[i].empty() ? file.path : marks[i];
    auto it = schemas.find(mark);
    if (it == schemas.end()) {
      std::optional<std::vector<Described>> wide;
      if (has_large_footer(file.path)) wide = describe_wide(&source->files[seen[i]]);
      auto described =
          wide ? Result<std::vector<Described>>(std::move(*wide))
               : describe(session,
                          fmt::format("SELECT * FROM read_parquet({}, hive_partitioning=false)",
                                      sql_text(file.path)));
      if (!described) return fail(cannot_read(shown_name(file), described.error()));
      POLYSOME_TRY(all.add(*described, shown_name(file)));
      it = schemas.emplace(mark, std::move(*described)).first;
    }
    of_file[seen[i]] = &it->second;
  }
  std::vector<std::size_t> unknown;
  for (const auto f : seen)
    if (!source->files[f].rows) unknown.push_back(f);
  if (!unknown.empty()) POLYSOME_TRY(read_groups(session, source, unknown));
  return all.finish(source, of_file);
}

Status inspect_json(Session& session, TableSource* source, const Json& layout) {
  SchemaUnion all(layout);
  std::vector<std::vector<Described>> described;
  for (const auto& file : source->files) {
    auto columns =
        describe(session, fmt::format("SELECT * FROM read_json({}, maximum_object_size=67108864, "
                                      "hive_partitioning=false)",
                                      sql_text(file.path)));
    if (!columns) {
      if (columns.error().code == Code::kOutOfMemory || columns.error().code == Code::kCancelled)
        return fail(columns.error());
      return fail(
          Code::kUserData, fmt::format("{}: {}", file_label(file.path), columns.error().message),
          "a JSON dataset is one array of objects; one object a line has the format ndjson");
    }
    if (columns->size() == 1 && columns->front().name == "json")
      return fail(Code::kUserData,
                  fmt::format("{} is not an array of objects", file_label(file.path)),
                  "a JSON dataset is one array of objects, each a row");
    // DuckDB types numbers of both signs as 128 bits wide.
    for (auto& c : *columns)
      if (c.type == "HUGEINT") c.type = "BIGINT";
    POLYSOME_TRY(all.add(*columns, shown_name(file)));
    described.push_back(std::move(*columns));
  }
  std::vector<const std::vector<Described>*> of_file;
  for (const auto& d : described) of_file.push_back(&d);
  return all.finish(source, of_file);
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
  std::string whole_files;  // neighbours that are read whole: one scan
  // DuckDB reads several files by the types of the first: where they differ, each is read by
  // itself.
  const bool together = std::ranges::none_of(source.columns, [](const SourceColumn& c) {
    return c.from == "widened" || c.from == "declared";
  });
  const auto add = [&](const std::string& select) {
    sql += (sql.empty() ? "" : " UNION ALL ") + select;
  };
  const auto end_whole = [&] {
    if (!whole_files.empty())
      add(fmt::format("SELECT {} FROM read_parquet([{}], hive_partitioning=false)", columns,
                      whole_files));
    whole_files.clear();
  };
  for (const auto& p : partitions) {
    if (p.file >= source.files.size())
      return fail(Code::kInternal, "a partition of a file that is not there");
    const SourceFile& file = source.files[p.file];
    report->bytes += p.bytes;
    report->rows += p.length;
    if (p.offset == 0 && p.length == file.rows.value_or(0)) {
      if (!together) end_whole();
      whole_files += (whole_files.empty() ? "" : ", ") + sql_text(file.path);
      continue;
    }
    end_whole();
    add(
        fmt::format("SELECT {} FROM read_parquet({}, file_row_number=true, "
                    "hive_partitioning=false) WHERE file_row_number >= {} AND file_row_number < {}",
                    columns, sql_text(file.path), p.offset, p.offset + p.length));
  }
  end_whole();
  if (sql.empty()) {
    sql = fmt::format("SELECT {} FROM read_parquet({}, hive_partitioning=false) LIMIT 0", columns,
                      sql_text(source.files.front().path));
  }
  POLYSOME_TRY(
      session.run(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS {}", sql_identifier(view), sql)));
  return report;
}

}  // namespace polysome
