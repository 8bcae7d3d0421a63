// Unpacking what can't be cut: compressed text into plain-text parts, a JSON array into Parquet.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>

#include "base/files.h"
#include "data/database_source.h"
#include "data/decompress.h"
#include "data/file_look.h"
#include "data/file_map.h"
#include "data/row_scanner.h"
#include "data/table_source.h"
#include "data/text_pieces.h"
#include "data/text_source.h"
#include "kernels/text_marks.h"

namespace polysome {
namespace {

constexpr std::uint64_t kMostRatio = 1000;
// A small file may be more redundant than that without being a bomb.
constexpr std::uint64_t kFreeBytes = 100'000'000;

struct CloseFile {
  void operator()(std::FILE* f) const { std::fclose(f); }
};

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

// Writes a stream into parts, each ending behind a row. Keeps the state of the quotes across
// blocks.
class PartWriter {
 public:
  // `file`: its number in the dataset, kept in the names of the parts with the first line of each.
  PartWriter(TextShape shape, std::uint64_t part_bytes, std::string prefix, std::uint32_t file)
      : shape_(shape), part_bytes_(part_bytes), prefix_(std::move(prefix)), file_index_(file) {}

  // Bytes before the first row: header and comments. They are counted as lines only.
  void skip(std::string_view bytes) {
    line_ += static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
    part_line_ = line_;
  }

  Status write(std::string_view block) {
    // Without a quote in sight every line feed ends a row: no need to look at each letter.
    const bool outside = state_ != State::kQuoted && state_ != State::kComment;
    if (outside && shape_.comment == '\0' && !block.empty() &&
        (shape_.quote == '\0' || block.find(shape_.quote) == std::string_view::npos))
      return write_without_quotes(block);
    std::size_t begin = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
      const char c = block[i];
      const bool row_end = step(c);
      line_ += c == '\n' ? 1 : 0;
      if (row_end && size_ + (i + 1 - begin) >= part_bytes_) {
        POLYSOME_TRY(put(block.substr(begin, i + 1 - begin)));
        POLYSOME_TRY(close());
        begin = i + 1;
        part_line_ = line_;
      }
    }
    return put(block.substr(begin));
  }

  Status close() {
    if (file_ == nullptr) return {};
    const int status = std::fclose(file_.release());
    if (status != 0) return fail(errno_error("cannot write", parts_.back().path, errno));
    parts_.back().bytes = size_;
    size_ = 0;
    return {};
  }

  std::vector<UnpackedPart> take() { return std::move(parts_); }

 private:
  enum class State { kFieldStart, kPlain, kQuoted, kQuoteInQuoted, kComment };

  Status write_without_quotes(std::string_view block) {
    std::string_view rest = block;
    while (!rest.empty()) {
      const std::uint64_t missing = part_bytes_ > size_ ? part_bytes_ - size_ : 1;
      const std::size_t newline = missing > rest.size()
                                      ? std::string_view::npos
                                      : rest.find('\n', static_cast<std::size_t>(missing) - 1);
      const std::string_view here =
          rest.substr(0, newline == std::string_view::npos ? newline : newline + 1);
      POLYSOME_TRY(put(here));
      line_ += count_newlines(here);
      rest.remove_prefix(here.size());
      if (newline == std::string_view::npos) break;
      POLYSOME_TRY(close());
      part_line_ = line_;
    }
    row_start_ = block.back() == '\n';
    state_ = row_start_ || block.back() == shape_.delimiter ? State::kFieldStart : State::kPlain;
    return {};
  }

  // True behind a line feed that ends a row.
  bool step(char c) {
    switch (state_) {
      case State::kQuoted:
        if (c == shape_.quote) state_ = State::kQuoteInQuoted;
        return false;
      case State::kComment:
        if (c == '\n') row_start_ = true, state_ = State::kFieldStart;
        return c == '\n';
      case State::kQuoteInQuoted:
        if (c == shape_.quote) {
          state_ = State::kQuoted;
          return false;
        }
        break;
      case State::kFieldStart:
        if (row_start_ && shape_.comment != '\0' && c == shape_.comment) {
          state_ = State::kComment;
          return false;
        }
        if (c == shape_.quote && shape_.quote != '\0') {
          state_ = State::kQuoted;
          row_start_ = false;
          return false;
        }
        break;
      case State::kPlain: break;
    }
    row_start_ = c == '\n';
    state_ = c == '\n' || c == shape_.delimiter ? State::kFieldStart : State::kPlain;
    return c == '\n';
  }

  Status put(std::string_view bytes) {
    if (bytes.empty()) return {};
    if (file_ == nullptr) {
      parts_.push_back({part_name(prefix_, parts_.size(), file_index_, part_line_), 0, 0});
      file_.reset(std::fopen(parts_.back().path.c_str(), "wbe"));
      if (file_ == nullptr) return fail(errno_error("cannot create", parts_.back().path, errno));
    }
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
      return fail(errno_error("cannot write", parts_.back().path, errno));
    size_ += bytes.size();
    return {};
  }

  TextShape shape_;
  std::uint64_t part_bytes_;
  std::string prefix_;
  std::uint32_t file_index_;
  std::uint64_t line_ = 1;       // of the byte that comes
  std::uint64_t part_line_ = 1;  // first line of the open part
  State state_ = State::kFieldStart;
  bool row_start_ = true;
  std::uint64_t size_ = 0;
  std::unique_ptr<std::FILE, CloseFile> file_;
  std::vector<UnpackedPart> parts_;
};

Result<std::vector<UnpackedPart>> unpack_text(const TableSource& source, const SourceFile& file,
                                              std::uint32_t file_index,
                                              std::uint64_t partition_size,
                                              const std::string& prefix,
                                              const ScanOptions& options) {
  const TextShape shape =
      source.format == "ndjson" ? TextShape{'\n', '\0', '\0'} : shape_of(source.dialect);
  PartWriter writer(shape, partition_size, prefix, file_index);
  std::uint64_t skip = file.data_offset;  // mark, comments and header
  std::uint64_t written = 0;
  POLYSOME_TRY(decompress(
      file.path, file.compression,
      [&](std::string_view block) -> Result<bool> {
        if (options.cancelled != nullptr && options.cancelled->load(std::memory_order_relaxed))
          return fail(Code::kCancelled, "cancelled");
        written += block.size();
        if (written > kFreeBytes && written / kMostRatio > file.bytes)
          return fail(
              Code::kUserData,
              fmt::format(
                  "{} unpacks to more than {} times its size: refused as a decompression bomb",
                  file_label(file.path), kMostRatio),
              "unpack it by hand if it is what it should be");
        const std::size_t drop =
            static_cast<std::size_t>(std::min<std::uint64_t>(skip, block.size()));
        skip -= drop;
        if (drop > 0) writer.skip(block.substr(0, drop));
        POLYSOME_TRY(writer.write(block.substr(drop)));
        return true;
      },
      options.progress));
  POLYSOME_TRY(writer.close());
  auto parts = writer.take();
  if (parts.empty()) {
    // A header only: a table without rows is one empty part.
    parts.push_back({part_name(prefix, 0, file_index, 1), 0, 0});
    POLYSOME_TRY(write_file(parts.back().path, "", false));
  }
  return parts;
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
  if (source.format != "json")
    return unpack_text(source, file, file_index, partition_size, output_prefix, options);
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
      file.first_line = origin.line;
    }
    out.files.push_back(std::move(file));
  }
  return out;
}

}  // namespace polysome
