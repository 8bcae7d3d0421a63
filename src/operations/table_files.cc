#include "operations/table_files.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/files.h"
#include "kernels/arrow_scan.h"
#include "operations/byte_sink.h"

namespace polysome {
namespace {

bool is_json(const FileFormat& f) { return f.format == "json" || f.format == "ndjson"; }

// DuckDB writes infinities into JSON bare, which no JSON reader takes.
Result<std::string> json_safe(Session& session, const std::string& select) {
  POLYSOME_ASSIGN(const auto columns, columns_of(session, select));
  std::string list;
  bool floats = false;
  for (const auto& c : columns) {
    const std::string name = sql_identifier(c.name);
    if (!list.empty()) list += ", ";
    if (c.sql_type != "DOUBLE" && c.sql_type != "FLOAT") {
      list += name;
      continue;
    }
    floats = true;
    list += fmt::format(
        "CASE WHEN isfinite({0}) THEN to_json({0}) WHEN isnan({0}) THEN to_json('NaN') "
        "WHEN {0} > 0 THEN to_json('Infinity') WHEN {0} < 0 THEN to_json('-Infinity') END AS {0}",
        name);
  }
  return floats ? fmt::format("SELECT {} FROM ({})", list, select) : select;
}

std::string copy_options(const FileFormat& f, bool part) {
  if (f.format == "parquet") return "FORMAT parquet";
  const bool plain = part && f.format == "json";
  const std::string compression = plain ? "none" : f.compression;
  if (is_json(f))
    return fmt::format("FORMAT json, ARRAY {}, COMPRESSION {}", f.format == "json" && !part,
                       compression);
  return fmt::format("FORMAT csv, DELIMITER '{}', HEADER {}, NULLSTR '', COMPRESSION {}",
                     f.format == "tsv" ? "\t" : ",", !part, compression);
}

Result<std::uint64_t> copy_to(Session& session, std::string select, const std::string& path,
                              const FileFormat& format, bool part) {
  if (is_json(format)) {
    POLYSOME_ASSIGN(select, json_safe(session, select));
  }
  POLYSOME_ASSIGN(const std::int64_t rows,
                  session.integer(fmt::format("COPY ({}) TO {} ({})", select, sql_text(path),
                                              copy_options(format, part))));
  return static_cast<std::uint64_t>(rows);
}

std::string header_line(const std::vector<ResultColumn>& columns, char delimiter) {
  std::string line;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) line += delimiter;
    const std::string& name = columns[i].name;
    if (name.find_first_of(std::string("\"\r\n") + delimiter) == std::string::npos) {
      line += name;
      continue;
    }
    line += '"';
    for (const char c : name) line += c == '"' ? std::string("\"\"") : std::string(1, c);
    line += '"';
  }
  return line + "\n";
}

// Lines of JSON objects become the elements of one array.
Status join_json_array(const std::vector<std::string>& parts, ByteSink* sink) {
  POLYSOME_TRY(sink->write("["));
  bool first = true;
  bool at_line_start = true;
  for (const auto& part : parts) {
    POLYSOME_TRY(read_blocks(part, [&](std::string_view block) -> Status {
      while (!block.empty()) {
        if (at_line_start) {
          POLYSOME_TRY(sink->write(first ? "\n" : ",\n"));
          first = false;
          at_line_start = false;
        }
        const auto end = block.find('\n');
        POLYSOME_TRY(sink->write(block.substr(0, end)));
        if (end == std::string_view::npos) break;
        at_line_start = true;
        block.remove_prefix(end + 1);
      }
      return {};
    }));
  }
  return sink->write("\n]\n");
}

}  // namespace

std::string FileFormat::extension() const {
  std::string out = "." + format;
  if (is_text() && compression == "gzip") out += ".gz";
  if (is_text() && compression == "zstd") out += ".zst";
  return out;
}

FileFormat format_of_name(const std::string& name) {
  std::filesystem::path path(name);
  FileFormat out{"", ""};
  if (path.extension() == ".gz" || path.extension() == ".zst") {
    out.compression = path.extension() == ".gz" ? "gzip" : "zstd";
    path = path.stem();
  }
  const std::string end = path.extension().string();
  if (end == ".csv") out.format = "csv";
  if (end == ".tsv" || end == ".txt") out.format = "tsv";
  if (end == ".parquet" || end == ".pq") out.format = "parquet";
  if (end == ".arrow" || end == ".feather" || end == ".ipc") out.format = "arrow";
  if (end == ".ndjson" || end == ".jsonl") out.format = "ndjson";
  if (end == ".json") out.format = "json";
  return out;
}

const char* content_type(const FileFormat& f) {
  if (f.format == "arrow") return "application/vnd.apache.arrow.file";
  if (f.compression == "gzip") return "application/gzip";
  if (f.compression == "zstd") return "application/zstd";
  if (f.format == "csv") return "text/csv; charset=utf-8";
  if (f.format == "tsv") return "text/tab-separated-values; charset=utf-8";
  if (f.format == "ndjson") return "application/x-ndjson";
  if (f.format == "json") return "application/json";
  return "application/vnd.apache.parquet";
}

Result<std::uint64_t> write_table(Session& session, const std::string& select,
                                  const std::string& path, const FileFormat& format) {
  POLYSOME_ASSIGN(const auto rows, format.format == "arrow"
                                       ? write_arrow(session, select, path, format.compression)
                                       : copy_to(session, select, path, format, false));
  POLYSOME_TRY(sync_file(path));
  return rows;
}

Result<std::uint64_t> write_part(Session& session, const std::string& select,
                                 const std::string& path, const FileFormat& format) {
  return copy_to(session, select, path, format, true);
}

Status join_parts(const std::vector<ResultColumn>& columns, const std::vector<std::string>& parts,
                  const std::string& path, const FileFormat& format) {
  POLYSOME_ASSIGN(auto sink, ByteSink::create(path, format.compression));
  if (format.format == "json") {
    POLYSOME_TRY(join_json_array(parts, sink.get()));
    return sink->finish();
  }
  // Compressed parts follow as they are: gzip members and zstd frames may be concatenated.
  if (format.format == "csv" || format.format == "tsv")
    POLYSOME_TRY(sink->write(header_line(columns, format.format == "csv" ? ',' : '\t')));
  POLYSOME_TRY(sink->end_stream());
  for (const auto& part : parts)
    POLYSOME_TRY(read_blocks(part, [&](std::string_view block) { return sink->write_raw(block); }));
  return sink->finish();
}

Status copy_file_durably(const std::string& from, const std::string& to) {
  POLYSOME_ASSIGN(auto sink, ByteSink::create(to, "none"));
  POLYSOME_TRY(read_blocks(from, [&](std::string_view block) { return sink->write_raw(block); }));
  return sink->finish();
}

}  // namespace polysome
