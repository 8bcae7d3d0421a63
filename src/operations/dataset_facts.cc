#include "operations/dataset_facts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "base/files.h"
#include "data/database_source.h"
#include "data/file_map.h"
#include "data/row_scanner.h"
#include "data/text_source.h"

namespace polysome {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kCountedBytes = 32'000'000;  // counted row by row up to here
constexpr std::uint64_t kUnpackedBytes = 4'000'000;  // compressed
constexpr std::uint64_t kSampledBytes = 1'000'000;
constexpr std::size_t kCountedFiles = 200;  // opening them costs time too
constexpr const char* kView = "ps_counted";

// The same rows with one of their columns: binding a view takes DuckDB time that grows with the
// square of its columns. Rows are still checked for their number of fields.
TableSource with_one_column(const TableSource& source) {
  TableSource out = source;
  std::size_t place = 0;  // of a column of the files themselves, where there is one
  while (place + 1 < source.columns.size() && source.columns[place].from == "folder") ++place;
  out.columns = {source.columns.at(place)};
  for (auto& file : out.files) {
    if (!file.fields.empty())
      file.fields = {file.fields[place]};
    else if (is_delimited(source.format))
      file.fields = {static_cast<std::uint32_t>(place)};
  }
  return out;
}

Result<std::uint64_t> count_in(Session& session, const TableSource& source,
                               std::vector<Partition> partitions, const TaskContext& context,
                               bool start_inside_quotes = false) {
  ScanOptions options;
  options.cancelled = context.cancelled;
  options.start_inside_quotes = start_inside_quotes;
  POLYSOME_TRY(open_view(session, kView, with_one_column(source), std::move(partitions), options));
  const auto rows = session.integer(fmt::format("SELECT count(*) FROM {}", kView));
  (void)session.run(fmt::format("DROP VIEW IF EXISTS {}", kView));
  if (!rows) return std::unexpected(rows.error());
  return static_cast<std::uint64_t>(*rows);
}

Result<RowCount> count_unpacked(Session& session, const TableSource& source,
                                const TaskContext& context) {
  const std::string folder = fmt::format("{}/count.{}", context.scratch, ::getpid());
  POLYSOME_TRY(remove_all(folder));
  POLYSOME_TRY(make_folders(folder));
  ScanOptions options;
  options.cancelled = context.cancelled;
  std::vector<UnpackedPart> parts;
  Result<RowCount> out = RowCount{};
  for (std::uint32_t i = 0; i < source.files.size() && out; ++i) {
    auto unpacked =
        unpack(session, source, i, kCountedBytes, fmt::format("{}/{}.", folder, i), options);
    if (!unpacked) {
      out = std::unexpected(unpacked.error());
      break;
    }
    for (auto& p : *unpacked) parts.push_back(std::move(p));
  }
  if (out) {
    const TableSource plain = unpacked_source(source, parts);
    auto partitions = cut(plain, kCountedBytes);
    auto rows = partitions ? count_in(session, plain, std::move(*partitions), context)
                           : Result<std::uint64_t>(std::unexpected(partitions.error()));
    if (rows)
      out = RowCount{*rows, true};
    else
      out = std::unexpected(rows.error());
  }
  (void)remove_all(folder);
  return out;
}

// Some bytes of a text file from about `offset` on, as a partition of their own.
Result<std::vector<Partition>> sample_of(const TableSource& source, std::uint32_t file,
                                         std::uint64_t offset) {
  const SourceFile& f = source.files[file];
  const std::uint64_t begin = std::min(f.data_offset, f.bytes);
  if (f.bytes - begin <= kSampledBytes)
    return std::vector<Partition>{{file, begin, f.bytes - begin, f.bytes - begin, 0}};
  POLYSOME_ASSIGN(const auto mapped, FileMap::open(f.path));
  const auto text = mapped->text();
  const TextShape shape =
      source.format == "ndjson" ? TextShape{'\n', '\0', '\0'} : shape_of(source.dialect);
  const std::uint64_t from =
      offset <= begin ? begin : border_at_or_after(text, static_cast<std::size_t>(offset), shape);
  const std::uint64_t to = std::min<std::uint64_t>(
      text.size(), border_at_or_after(text, static_cast<std::size_t>(from + kSampledBytes), shape));
  if (from >= to) return std::vector<Partition>{};
  return std::vector<Partition>{{file, from, to - from, to - from, 0}};
}

// From the size of the rows at some places, spread evenly over all the bytes.
Result<RowCount> estimate(Session& session, const TableSource& source, const TaskContext& context) {
  constexpr std::uint64_t kPlaces = 5;
  std::uint64_t rows = 0, bytes = 0, before = 0, place = 0;
  const std::uint64_t total = source.total_bytes();
  for (std::uint32_t f = 0; f < source.files.size(); ++f) {
    const std::uint64_t end = before + source.files[f].bytes;
    for (; place < kPlaces && share(total, place, kPlaces) < end; ++place) {
      const std::uint64_t offset = share(total, place, kPlaces) - before;
      POLYSOME_ASSIGN(const auto piece, sample_of(source, f, offset));
      if (piece.empty()) continue;
      // Whether a piece begins within quotes is not known here: the other start is tried.
      auto n = count_in(session, source, piece, context);
      if (!n && n.error().code == Code::kUserData && offset > 0)
        n = count_in(session, source, piece, context, true);
      if (!n && offset > 0) continue;
      if (!n) return std::unexpected(n.error());
      rows += *n;
      // Headers of small files are part of what a row costs.
      const SourceFile& file = source.files[f];
      const bool whole =
          piece[0].offset + piece[0].length == file.bytes && offset <= file.data_offset;
      bytes += whole ? file.bytes : piece[0].bytes;
    }
    before = end;
  }
  if (bytes == 0) return RowCount{};
  const double density = static_cast<double>(rows) / static_cast<double>(bytes);
  return RowCount{static_cast<std::uint64_t>(density * static_cast<double>(total)), false};
}

}  // namespace

std::vector<std::string> dataset_folders(const DatasetRef& ref) {
  std::vector<std::string> out;
  std::error_code ec;
  if (!ref.source.empty() && !is_url(ref.source)) {
    const auto pattern = ref.source.find_first_of("*?[");
    // Of a glob the part before its first pattern.
    const fs::path fixed(ref.source.substr(0, pattern));
    out.push_back(fixed.parent_path().string());
    if (pattern == std::string::npos && fs::is_directory(fixed, ec)) out.push_back(fixed.string());
    const fs::path real = fs::weakly_canonical(fixed, ec);
    if (!ec) out.push_back(real.parent_path().string());
  }
  for (const auto& f : ref.files) out.push_back(fs::path(f).parent_path().string());
  std::erase(out, std::string());
  return out;
}

Result<RowCount> count_rows(Session& session, const TableSource& source,
                            const TaskContext& context) {
  std::uint64_t known = 0, known_bytes = 0;
  bool all_known = true;
  for (const auto& f : source.files) {
    all_known = all_known && f.rows.has_value();
    known += f.rows.value_or(0);
    known_bytes += f.rows ? f.bytes : 0;
  }
  if (all_known) return RowCount{known, true};
  if (is_database(source.format)) {
    const auto n = source.dialect.find("estimated_rows");
    return n == source.dialect.end() ? RowCount{} : RowCount{n->get<std::uint64_t>(), false};
  }
  if (source.format == "parquet" || source.format == "arrow") {
    // Only some footers were looked at.
    const double density =
        static_cast<double>(known) / static_cast<double>(std::max<std::uint64_t>(known_bytes, 1));
    return RowCount{static_cast<std::uint64_t>(density * static_cast<double>(source.total_bytes())),
                    false};
  }
  if (!source.splittable())
    return source.total_bytes() <= kUnpackedBytes ? count_unpacked(session, source, context)
                                                  : Result<RowCount>(RowCount{});
  if (source.total_bytes() > kCountedBytes || source.files.size() > kCountedFiles)
    return estimate(session, source, context);
  POLYSOME_ASSIGN(auto partitions, cut(source, kCountedBytes));
  POLYSOME_ASSIGN(const auto rows, count_in(session, source, std::move(partitions), context));
  return RowCount{rows, true};
}

}  // namespace polysome
