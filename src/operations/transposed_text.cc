#include "operations/transposed_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "operations/byte_sink.h"

namespace polysome {
namespace {

constexpr std::size_t kFlushBytes = 1'000'000;

// As DuckDB writes it: the shortest text that reads back the same, with a point or an exponent.
void append_number(double value, bool whole, bool json, std::string* out) {
  std::array<char, 32> text;
  if (std::isinf(value)) {
    if (json)
      *out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    else
      *out += value > 0 ? "inf" : "-inf";
    return;
  }
  if (whole) {
    const auto end =
        std::to_chars(text.data(), text.data() + text.size(), static_cast<std::int64_t>(value)).ptr;
    out->append(text.data(), end);
    return;
  }
  const auto end = fmt::format_to(text.data(), "{}", value);
  out->append(text.data(), end);
  if (std::none_of(text.data(), end, [](char c) { return c == '.' || c == 'e'; })) *out += ".0";
}

std::string quoted(const std::string& text, char delimiter) {
  if (!text.empty() && text.find_first_of(std::string("\"\r\n") + delimiter) == std::string::npos)
    return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

bool is_plain_text(const std::string& format) {
  return format == "csv" || format == "tsv" || format == "ndjson" || format == "json";
}

Json number_json(double value, bool whole) {
  if (std::isnan(value)) return {};
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (whole) return static_cast<std::int64_t>(value);
  return value;
}

Result<std::uint64_t> write_transposed(TaskEnv& env, const TransposedText& text,
                                       const TileReader& reader, const TilePlan& plan,
                                       std::size_t first, std::size_t end,
                                       const std::string& path) {
  const std::string& format = text.format.format;
  const bool json = format == "json" || format == "ndjson";
  const char delimiter = format == "tsv" ? '\t' : ',';
  POLYSOME_ASSIGN(auto sink,
                  ByteSink::create(path, format == "json" ? "none" : text.format.compression));
  if (reader.rows() + 1 != text.names.size())
    return fail(Code::kIo, "output lost: the tiles hold another number of rows than their index");
  std::vector<std::string> before;  // what stands before each value
  if (json)
    for (std::size_t i = 0; i < text.names.size(); ++i)
      before.push_back((i == 0 ? "{" : ",") + dump(Json(text.names[i])) + ":");
  std::vector<double> values;
  std::string out;
  std::uint64_t rows = 0;
  for (std::size_t b = first; b < end; ++b) {
    POLYSOME_TRY(env.check_cancelled());
    const std::size_t column = b * plan.block;
    const std::size_t n = std::min(plan.block, plan.columns - column);
    values.resize(reader.rows() * n);
    POLYSOME_TRY(reader.read(column, n, values.data()));
    for (std::size_t i = 0; i < n; ++i, ++rows) {
      const std::string& label = text.labels[column + i];
      out += json ? before[0] + dump(Json(label)) : quoted(label, delimiter);
      for (std::size_t r = 0; r < reader.rows(); ++r) {
        const double v = values[r * n + i];
        if (json)
          out += before[r + 1];
        else
          out += delimiter;
        if (!std::isnan(v))
          append_number(v, text.whole, json, &out);
        else if (json)
          out += "null";
        if (out.size() >= kFlushBytes) {
          POLYSOME_TRY(sink->write(out));
          out.clear();
        }
      }
      out += json ? "}\n" : "\n";
    }
    if (env.context.progress)
      env.context.progress((b + 1 - first) * plan.block * reader.rows() * sizeof(double));
  }
  POLYSOME_TRY(sink->write(out));
  POLYSOME_TRY(sink->finish());
  return rows;
}

Result<JoinedFile> transposed_parquet(const TilePlan& plan, const std::vector<std::string>& names,
                                      const std::vector<std::string>& labels,
                                      const std::vector<std::string>& chunks,
                                      const std::vector<TileIndex>& indexes) {
  JoinedFile out;
  out.head = kParquetMagic;
  std::vector<ParquetFooter::Column> columns = {{names[0], ParquetFooter::Type::kText}};
  const auto type = plan.whole ? ParquetFooter::Type::kInt64 : ParquetFooter::Type::kDouble;
  for (std::size_t i = 1; i < names.size(); ++i) columns.push_back({names[i], type});

  const std::size_t groups = plan.groups();
  ChunkEncoder encoder;
  std::vector<std::pair<ColumnChunk, std::uint64_t>> label_chunks;
  for (std::size_t g = 0; g < groups; ++g) {
    const std::uint64_t at = out.head.size();
    const std::size_t first = g * plan.group;
    const std::size_t n = std::min(plan.group, labels.size() - first);
    const auto begin = labels.begin() + static_cast<std::ptrdiff_t>(first);
    const std::vector<std::optional<std::string>> some(begin,
                                                       begin + static_cast<std::ptrdiff_t>(n));
    POLYSOME_ASSIGN(const ColumnChunk chunk, encoder.texts(some, &out.head));
    label_chunks.emplace_back(chunk, at);
  }
  std::vector<std::uint64_t> parts;  // where each task's chunks begin
  std::uint64_t begin = out.head.size();
  for (std::size_t p = 0; p < indexes.size(); ++p) {
    std::uint64_t size = 0;
    for (const auto& chunk : indexes[p].chunks) size += chunk.bytes;
    out.parts.push_back({chunks[p], 0, size});
    parts.push_back(begin);
    begin += size;
  }
  ParquetFooter footer(std::move(columns), labels.size(), groups);
  for (std::size_t g = 0; g < groups; ++g) {
    std::vector<ParquetFooter::Placed> placed = {{&label_chunks[g].first, label_chunks[g].second}};
    for (std::size_t p = 0; p < indexes.size(); ++p) {
      std::uint64_t at = parts[p];
      for (std::size_t i = 0; i < indexes[p].chunks.size(); ++i) {
        if (i % groups == g) placed.push_back({&indexes[p].chunks[i], at});
        at += indexes[p].chunks[i].bytes;
      }
    }
    footer.add_group(std::min(plan.group, labels.size() - g * plan.group),
                     [&](std::size_t i) { return placed[i]; });
  }
  footer.end();
  out.tail = footer.take();
  return out;
}

}  // namespace polysome
