#include "columnar/parquet_reader.h"

#include <fmt/format.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include <algorithm>

#include "columnar/parquet_column.h"
#include "columnar/status.h"

namespace polysome::columnar {
namespace {

using Column = ParquetReader::Column;

std::string whole_name(int bits, bool is_signed) {
  switch (bits) {
    case 8: return is_signed ? "TINYINT" : "UTINYINT";
    case 16: return is_signed ? "SMALLINT" : "USMALLINT";
    case 32: return is_signed ? "INTEGER" : "UINTEGER";
    default: return is_signed ? "BIGINT" : "";
  }
}

// The name of the type as DuckDB reads it, where there is one way only.
std::string type_of(const parquet::ColumnDescriptor& c) {
  const auto& logical = c.logical_type();
  const bool plain = logical == nullptr || logical->is_none();
  switch (c.physical_type()) {
    case parquet::Type::DOUBLE: return plain ? "DOUBLE" : "";
    case parquet::Type::FLOAT: return plain ? "FLOAT" : "";
    case parquet::Type::BOOLEAN: return plain ? "BOOLEAN" : "";
    case parquet::Type::INT32:
    case parquet::Type::INT64:
      if (plain) return c.physical_type() == parquet::Type::INT32 ? "INTEGER" : "BIGINT";
      if (logical->is_int()) {
        const auto& whole = static_cast<const parquet::IntLogicalType&>(*logical);
        return whole_name(whole.bit_width(), whole.is_signed());
      }
      return logical->is_date() ? "DATE" : "";
    case parquet::Type::BYTE_ARRAY: return !plain && logical->is_string() ? "VARCHAR" : "";
    default: return "";
  }
}

Column column_of(const parquet::ColumnDescriptor& c) {
  Column out;
  out.name = c.path()->ToDotVector().front();
  const bool flat = c.path()->ToDotVector().size() == 1 && c.max_repetition_level() == 0 &&
                    c.max_definition_level() <= 1;
  if (!flat) return out;
  out.type = type_of(c);
  out.real = out.type == "DOUBLE" || out.type == "FLOAT";
  // Unsigned numbers of 32 bits would have to be read another way.
  out.whole = out.type.ends_with("INT") && !out.type.starts_with("U");
  out.whole = out.whole || out.type == "INTEGER";
  out.text = out.type == "VARCHAR";
  return out;
}

class Reader final : public ParquetReader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  Status open() {
    return guarded(path_, [&]() -> Status {
      parquet::ReaderProperties properties(arrow::system_memory_pool());
      properties.set_thrift_string_size_limit(1 << 30);
      properties.set_thrift_container_size_limit(1 << 28);
      reader_ = parquet::ParquetFileReader::OpenFile(path_, true, properties);
      const auto metadata = reader_->metadata();
      for (int g = 0; g < metadata->num_row_groups(); ++g)
        group_rows_.push_back(static_cast<std::uint64_t>(metadata->RowGroup(g)->num_rows()));
      const auto* schema = metadata->schema();
      // Nested columns have several leaves under one name; one entry stands for all.
      const auto* root = schema->group_node();
      for (int leaf = 0; leaf < schema->num_columns(); ++leaf) {
        const auto* top = schema->GetColumnRoot(leaf);
        if (!leaves_.empty() && last_ == top) continue;
        last_ = top;
        columns_.push_back(column_of(*schema->Column(leaf)));
        leaves_.push_back(leaf);
      }
      if (static_cast<int>(columns_.size()) != root->field_count())
        return fail(Code::kUserData, path_ + ": a column without values");
      return {};
    });
  }

  const std::vector<Column>& columns() const override { return columns_; }
  const std::vector<std::uint64_t>& group_rows() const override { return group_rows_; }

  Result<std::span<const double>> read_reals(std::size_t column, std::uint64_t first,
                                             std::uint64_t n) override {
    reals_.resize(n);
    const auto n_read = guarded(path_, [&]() -> Result<std::size_t> {
      return columns_.at(column).type == "DOUBLE"
                 ? read<parquet::DoubleReader>(column, first, n, reals_.data())
                 : read<parquet::FloatReader>(column, first, n, reals_.data());
    });
    if (!n_read) return std::unexpected(n_read.error());
    return std::span<const double>(reals_.data(), *n_read);
  }

  Result<std::span<const std::int64_t>> read_wholes(std::size_t column, std::uint64_t first,
                                                    std::uint64_t n) override {
    wholes_.resize(n);
    const auto n_read = guarded(path_, [&]() -> Result<std::size_t> {
      return columns_.at(column).type == "BIGINT"
                 ? read<parquet::Int64Reader>(column, first, n, wholes_.data())
                 : read<parquet::Int32Reader>(column, first, n, wholes_.data());
    });
    if (!n_read) return std::unexpected(n_read.error());
    return std::span<const std::int64_t>(wholes_.data(), *n_read);
  }

  Result<std::span<const std::string_view>> read_texts(std::size_t column, std::uint64_t first,
                                                       std::uint64_t n) override {
    letters_.clear();
    ends_.clear();
    const auto n_read = guarded(path_, [&]() -> Result<std::size_t> {
      return read_with<parquet::ByteArrayReader>(
          column, first, n, [&](const parquet::ByteArray* values, std::size_t count) {
            // They are the page's, which the next batch may replace.
            for (std::size_t i = 0; i < count; ++i) {
              letters_ += static_cast<std::string_view>(values[i]);
              ends_.push_back(letters_.size());
            }
          });
    });
    if (!n_read) return std::unexpected(n_read.error());
    texts_.clear();
    std::size_t begin = 0;
    for (const auto end : ends_) {
      texts_.push_back(std::string_view(letters_).substr(begin, end - begin));
      begin = end;
    }
    return std::span<const std::string_view>(texts_);
  }

  std::span<const std::uint32_t> rows_there() const override { return rows_there_; }

  Result<std::unique_ptr<ParquetColumn>> open_column(std::size_t column, std::size_t group,
                                                     bool codes) override {
    return guarded(path_, [&]() -> Result<std::unique_ptr<ParquetColumn>> {
      const int leaf = leaves_.at(column);
      return make_parquet_column(
          fmt::format("{}, column \"{}\"", path_, columns_[column].name),
          *reader_->metadata()->schema()->Column(leaf),
          reader_->RowGroup(static_cast<int>(group))->GetColumnPageReader(leaf), codes);
    });
  }
  std::uint64_t unpacked_bytes(std::size_t column, std::size_t group) const override {
    const auto chunk =
        reader_->metadata()->RowGroup(static_cast<int>(group))->ColumnChunk(leaves_.at(column));
    return static_cast<std::uint64_t>(std::max<std::int64_t>(chunk->total_uncompressed_size(), 0));
  }

 private:
  // The values of a column as batch after batch is at hand, in a buffer of ours.
  template <class Typed, class Take>
  Result<std::size_t> read_with(std::size_t column, std::uint64_t first, std::uint64_t n,
                                const Take& take) {
    using Stored = typename Typed::T;
    const auto buffer = std::make_unique_for_overwrite<Stored[]>(n);
    return read_into<Typed>(
        column, first, n, [&](std::size_t) { return buffer.get(); },
        [&](std::size_t, std::size_t count) { take(buffer.get(), count); });
  }

  // Values straight to their place, or by way of a buffer where they have to be widened.
  template <class Typed, class Value>
  Result<std::size_t> read(std::size_t column, std::uint64_t first, std::uint64_t n, Value* out) {
    if constexpr (std::is_same_v<typename Typed::T, Value>) {
      return read_into<Typed>(
          column, first, n, [&](std::size_t there) { return out + there; },
          [](std::size_t, std::size_t) {});
    } else {
      std::size_t there = 0;
      return read_with<Typed>(column, first, n,
                              [&](const typename Typed::T* values, std::size_t count) {
                                std::copy_n(values, count, out + there);
                                there += count;
                              });
    }
  }

  // `place(there)`: where the values behind the first `there` go; `read(there, count)`: so many
  // have come.
  template <class Typed, class Place, class Read>
  Result<std::size_t> read_into(std::size_t column, std::uint64_t first, std::uint64_t n,
                                const Place& place, const Read& read) {
    std::size_t there = 0, passed = 0;  // values, rows
    rows_there_.clear();
    levels_.resize(n);
    std::uint64_t begin = 0;  // row of the group
    for (std::size_t g = 0; g < group_rows_.size(); begin += group_rows_[g++]) {
      const std::uint64_t end = begin + group_rows_[g];
      if (end <= first || begin >= first + n) continue;
      if (!group_ || group_at_ != g) group_ = reader_->RowGroup(static_cast<int>(g));
      group_at_ = g;
      const auto base = group_->Column(leaves_[column]);
      auto* typed = static_cast<Typed*>(base.get());
      const std::uint64_t from = std::max(first, begin);
      std::uint64_t left = std::min(first + n, end) - from;
      if (from > begin) typed->Skip(static_cast<std::int64_t>(from - begin));
      while (left > 0) {
        std::int64_t values = 0;
        const std::int64_t got = typed->ReadBatch(static_cast<std::int64_t>(left), levels_.data(),
                                                  nullptr, place(there), &values);
        if (got <= 0)
          return fail(Code::kUserData, fmt::format("{}: column \"{}\" has fewer rows than the file",
                                                   path_, columns_[column].name));
        note_rows(there, passed, static_cast<std::size_t>(values), static_cast<std::size_t>(got));
        read(there, static_cast<std::size_t>(values));
        there += static_cast<std::size_t>(values);
        passed += static_cast<std::size_t>(got);
        left -= static_cast<std::uint64_t>(got);
      }
    }
    return there;
  }

  // Which rows the values of a batch belong to, from the first that is missing on.
  void note_rows(std::size_t there, std::size_t passed, std::size_t values, std::size_t rows) {
    if (values == rows && there == passed) return;
    if (rows_there_.empty())
      for (std::size_t i = 0; i < there; ++i) rows_there_.push_back(static_cast<std::uint32_t>(i));
    for (std::size_t i = 0; i < rows; ++i)
      if (values == rows || levels_[i] > 0)
        rows_there_.push_back(static_cast<std::uint32_t>(passed + i));
  }

  std::string path_;
  std::unique_ptr<parquet::ParquetFileReader> reader_;
  std::shared_ptr<parquet::RowGroupReader> group_;  // the one read from last
  std::size_t group_at_ = 0;
  std::vector<Column> columns_;
  std::vector<int> leaves_;  // first leaf of each
  const parquet::schema::Node* last_ = nullptr;
  std::vector<std::uint64_t> group_rows_;
  std::vector<double> reals_;
  std::vector<std::int64_t> wholes_;
  std::vector<std::int16_t> levels_;
  std::vector<std::uint32_t> rows_there_;
  std::string letters_;  // of texts_, one after the other
  std::vector<std::size_t> ends_;
  std::vector<std::string_view> texts_;
};

}  // namespace

Result<std::unique_ptr<ParquetReader>> make_parquet_reader(const std::string& path) {
  auto out = std::make_unique<Reader>(path);
  POLYSOME_TRY(out->open());
  return out;
}

}  // namespace polysome::columnar
