// Unpacking what can't be cut: compressed text into plain-text parts, a JSON array into Parquet.
#include <fmt/format.h>

#include <charconv>

#include "base/files.h"
#include "data/database_source.h"
#include "data/file_look.h"
#include "data/table_source.h"
#include "data/text_pieces.h"
#include "data/unpack_range.h"

namespace polysome {
namespace {

struct PartOrigin {
  std::uint32_t file = 0;
  std::uint64_t line = 1;
};
PartOrigin origin_of(const std::string& path) {
  PartOrigin out;
  const auto l = path.rfind(".l");
  const auto f = l == std::string::npos || l == 0 ? std::string::npos : path.rfind(".f", l - 1);
  if (f == std::string::npos) return out;
  std::from_chars(path.data() + f + 2, path.data() + l, out.file);
  std::from_chars(path.data() + l + 2, path.data() + path.size(), out.line);
  return out;
}

}  // namespace

// Parts go through manifests, which keep names only: so the name says which file a part is of and
// with which line it begins, "<prefix><n>.f<file>.l<line>".
std::string part_name(const std::string& prefix, std::size_t n, std::uint32_t file,
                      std::uint64_t line) {
  return fmt::format("{}{}.f{}.l{}", prefix, n, file, line);
}

Result<std::vector<UnpackedPart>> unpack(Session& session, const TableSource& source,
                                         std::uint32_t file_index, std::uint64_t partition_size,
                                         const std::string& output_prefix,
                                         const ScanOptions& options) {
  if (file_index >= source.files.size()) return fail(Code::kInternal, "no such file to unpack");
  if (is_database(source.format))
    return ingest_table(source, partition_size, output_prefix, options);
  const SourceFile& file = source.files[file_index];
  POLYSOME_TRY(check_unchanged(file));
  if (source.format != "json") {
    POLYSOME_ASSIGN(auto whole,
                    unpack_range(source, file_index, {}, partition_size, output_prefix, options));
    return std::move(whole.parts);
  }
  const std::string path = part_name(output_prefix, 0, file_index, 1) + ".parquet";
  // Parquet would hold DuckDB's 128-bit integers as doubles.
  std::string integers;
  for (std::size_t i = 0; i < source.columns.size(); ++i)
    if (const auto& c = source.columns[i]; c.type == "int64" && c.from != "folder" &&
                                           (file.fields.empty() || file.fields[i] != kAbsent))
      integers += fmt::format("{}CAST({} AS BIGINT) AS {}", integers.empty() ? "" : ", ",
                              sql_identifier(c.name), sql_identifier(c.name));
  if (!integers.empty()) integers = fmt::format(" REPLACE ({})", integers);
  POLYSOME_ASSIGN(const std::int64_t rows,
                  session.integer(fmt::format(
                      "COPY (SELECT *{} FROM read_json({}, maximum_object_size=67108864, "
                      "hive_partitioning=false)) TO {} (FORMAT parquet)",
                      integers, sql_text(file.path), sql_text(path))));
  POLYSOME_ASSIGN(const FileStamp written, stamp_of(path));
  return std::vector<UnpackedPart>{{path, written.bytes, static_cast<std::uint64_t>(rows)}};
}

TableSource unpacked_source(const TableSource& source, const std::vector<UnpackedPart>& parts) {
  TableSource out = is_database(source.format) ? ingested_source(source) : source;
  out.files.clear();
  if (source.format == "json") out.format = "parquet";
  out.dialect["header"] = false;
  for (const auto& part : parts) {
    const std::string& path = part.path;
    SourceFile file;
    file.path = path;
    if (out.format == "parquet") file.rows = part.rows;
    if (const auto stamp = stamp_of(path)) {
      file.bytes = stamp->bytes;
      file.mtime_ns = stamp->mtime_ns;
    }
    const PartOrigin origin = origin_of(path);
    if (origin.file < source.files.size()) {
      file.fields = source.files[origin.file].fields;
      file.row_fields = source.files[origin.file].row_fields;
      file.folder_values = source.files[origin.file].folder_values;
      file.shown_as = shown_name(source.files[origin.file]);
      file.first_line = origin.line + part.lines_before;
    }
    out.files.push_back(std::move(file));
  }
  return out;
}

}  // namespace polysome
