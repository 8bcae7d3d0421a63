#include "operations/table_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "kernels/arrow_scan.h"
#include "operations/byte_sink.h"
#include "operations/text_rows.h"

namespace polysome {
namespace {

bool is_json(const FileFormat& f) { return f.format == "json" || f.format == "ndjson"; }

constexpr std::uint32_t kRowGroup = 122'880;
constexpr std::uint64_t kRowGroupBytes = 128'000'000;
constexpr std::uint64_t kNumberBytes = 8;
constexpr std::uint64_t kOtherBytes = 32;  // of a text, list or wide number: a guess
// Fewer rows would make the footer as large as the data.
constexpr std::uint64_t kFewestInGroup = 64;

Result<std::uint64_t> copy_parquet(Session& session, const std::string& select,
                                   const std::string& path) {
  POLYSOME_ASSIGN(const auto columns, columns_of(session, select));
  POLYSOME_ASSIGN(const std::int64_t rows,
                  session.integer(fmt::format("COPY ({}) TO {} (FORMAT parquet, ROW_GROUP_SIZE {})",
                                              select, sql_text(path), row_group_of(columns))));
  return static_cast<std::uint64_t>(rows);
}

char delimiter_of(const FileFormat& f) { return f.format == "csv" ? ',' : '\t'; }

// Parts have no header, and those of a JSON array are lines, not compressed yet.
Result<std::uint64_t> write_text(Session& session, const std::string& select,
                                 const std::string& path, const FileFormat& format, bool part) {
  const bool json = is_json(format), array = format.format == "json";
  POLYSOME_TRY(remove_all(path));
  POLYSOME_ASSIGN(auto sink, ByteSink::create(path, part && array ? "none" : format.compression));
  POLYSOME_ASSIGN(const auto columns, columns_of(session, select));
  if (!json && !part) POLYSOME_TRY(sink->write(header_line(columns, delimiter_of(format))));
  const TextLines lines{json ? '\0' : delimiter_of(format), array && !part};
  POLYSOME_ASSIGN(const auto rows, write_lines(session, columns, select, lines, sink.get()));
  POLYSOME_TRY(sink->finish());
  return rows;
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

std::uint32_t row_group_of(const std::vector<ResultColumn>& columns) {
  std::uint64_t row = 0;
  for (const auto& c : columns) {
    const bool short_one = c.sql_type == "BOOLEAN" || c.sql_type == "DATE" ||
                           c.sql_type == "DOUBLE" || c.sql_type == "FLOAT" ||
                           c.sql_type.ends_with("INT") || c.sql_type.ends_with("INTEGER") ||
                           c.sql_type.starts_with("TIME");
    row += short_one ? kNumberBytes : kOtherBytes;
  }
  const std::uint64_t fit = kRowGroupBytes / std::max<std::uint64_t>(row, 1);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fit, kFewestInGroup, kRowGroup));
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
  if (format.is_text()) return write_text(session, select, path, format, false);
  POLYSOME_ASSIGN(const auto rows, format.format == "arrow"
                                       ? write_arrow(session, select, path, format.compression)
                                       : copy_parquet(session, select, path));
  POLYSOME_TRY(sync_file(path));
  return rows;
}

Result<std::uint64_t> write_part(Session& session, const std::string& select,
                                 const std::string& path, const FileFormat& format) {
  return write_text(session, select, path, format, true);
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
    POLYSOME_TRY(sink->write(header_line(columns, delimiter_of(format))));
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
