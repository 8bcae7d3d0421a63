#include "operations/flat_lines.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "operations/text_rows.h"

namespace polysome {
namespace {

constexpr std::size_t kFlushBytes = 1'000'000;

ParquetFooter::Type parquet_type(const std::string& type) {
  if (type == "int64") return ParquetFooter::Type::kInt64;
  return type == "double" ? ParquetFooter::Type::kDouble : ParquetFooter::Type::kText;
}

}  // namespace

FlatColumns::FlatColumns(const TableSource& source, const std::vector<std::uint32_t>& columns) {
  for (const auto c : columns) {
    FlatColumn column{source.columns[c].name, parquet_type(source.columns[c].type)};
    auto& list = column.is_label() ? labels : values;
    column.place = list.size();
    list.push_back(c);
    all.push_back(std::move(column));
  }
}

std::optional<std::int64_t> Tile::beyond_at(std::size_t row, std::size_t value) const {
  // They were met in this order.
  const auto place = [](const MatrixReader::Beyond& b) { return std::pair(b.row, b.value); };
  const auto at = std::ranges::lower_bound(beyond, std::pair(row, value), {}, place);
  if (at == beyond.end() || place(*at) != std::pair(row, value)) return std::nullopt;
  return at->number;
}

FlatLines::FlatLines(const FlatColumns& columns, const FileFormat& format)
    : columns_(columns),
      delimiter_(format.format == "csv"   ? ','
                 : format.format == "tsv" ? '\t'
                                          : '\0') {
  if (delimiter_ != '\0') return;
  for (std::size_t i = 0; i < columns.all.size(); ++i) {
    keys_.emplace_back(i == 0 ? "{" : ",");
    append_json_text(&keys_.back(), columns.all[i].name);
    keys_.back() += ':';
  }
}

Status FlatLines::write(const Tile& tile, ByteSink* sink) {
  for (std::size_t r = 0; r < tile.rows; ++r) {
    for (std::size_t i = 0; i < columns_.all.size(); ++i) {
      if (delimiter_ == '\0')
        out_ += keys_[i];
      else if (i > 0)
        out_ += delimiter_;
      append_cell(tile, r, columns_.all[i]);
    }
    out_ += delimiter_ == '\0' ? "}\n" : "\n";
    if (out_.size() < kFlushBytes && r + 1 < tile.rows) continue;
    POLYSOME_TRY(sink->write(out_));
    out_.clear();
  }
  return {};
}

void FlatLines::append_cell(const Tile& tile, std::size_t row, const FlatColumn& c) {
  const bool json = delimiter_ == '\0';
  if (c.is_label()) {
    const auto& text = tile.labels[row * columns_.labels.size() + c.place];
    if (!text)
      out_ += json ? "null" : "";
    else if (json)
      append_json_text(&out_, *text);
    else
      append_csv_text(&out_, *text, delimiter_);
    return;
  }
  const double value = tile.values[row * columns_.values.size() + c.place];
  if (std::isnan(value)) {
    out_ += json ? "null" : "";
  } else if (c.type == ParquetFooter::Type::kInt64) {
    const auto beyond = std::abs(value) < 0x1p53 ? std::nullopt : tile.beyond_at(row, c.place);
    append_whole(beyond ? *beyond : static_cast<std::int64_t>(value));
  } else if (json) {
    append_json_double(&out_, value);
  } else {
    append_double(&out_, value);
  }
}

void FlatLines::append_whole(std::int64_t value) {
  std::array<char, 24> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): written to
  out_.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

}  // namespace polysome
