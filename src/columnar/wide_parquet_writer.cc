#include "columnar/wide_parquet_writer.h"

#include <arrow/io/buffered.h>
#include <arrow/io/file.h>
#include <fmt/format.h>
#include <parquet/column_writer.h>
#include <parquet/file_writer.h>
#include <parquet/schema.h>

#include <cmath>

#include "columnar/status.h"

namespace polysome::columnar {
namespace {

constexpr std::int64_t kFileBuffer = 1 << 20;

parquet::schema::NodePtr node_of(const WideColumn& column) {
  using parquet::LogicalType;
  using parquet::schema::PrimitiveNode;
  const auto optional = parquet::Repetition::OPTIONAL;
  switch (column.type) {
    case WideType::kDouble:
      return PrimitiveNode::Make(column.name, optional, parquet::Type::DOUBLE);
    case WideType::kInt64: return PrimitiveNode::Make(column.name, optional, parquet::Type::INT64);
    case WideType::kText: break;
  }
  return PrimitiveNode::Make(column.name, optional, LogicalType::String(),
                             parquet::Type::BYTE_ARRAY);
}

class Writer final : public WideParquetWriter {
 public:
  Writer(std::string path, std::vector<WideColumn> columns)
      : path_(std::move(path)), columns_(std::move(columns)) {}

  Status open() {
    return guarded(path_, [&]() -> Status {
      POLYSOME_ARROW(auto file, arrow::io::FileOutputStream::Open(path_), path_);
      POLYSOME_ARROW(
          out_,
          arrow::io::BufferedOutputStream::Create(kFileBuffer, arrow::system_memory_pool(), file),
          path_);
      parquet::schema::NodeVector nodes;
      nodes.reserve(columns_.size());
      parquet::WriterProperties::Builder properties;
      properties.memory_pool(arrow::system_memory_pool());
      properties.compression(parquet::Compression::SNAPPY);
      properties.created_by("polysome " POLYSOME_VERSION);
      // Numbers of a study hardly repeat; labels do. Each setting by column is a table entry.
      properties.disable_dictionary();
      for (const auto& column : columns_) {
        nodes.push_back(node_of(column));
        if (column.type == WideType::kText) properties.enable_dictionary(column.name);
      }
      const auto root = std::static_pointer_cast<parquet::schema::GroupNode>(
          parquet::schema::GroupNode::Make("schema", parquet::Repetition::REQUIRED, nodes));
      writer_ = parquet::ParquetFileWriter::Open(out_, root, properties.build());
      return {};
    });
  }

  Status rows(std::uint64_t n) override {
    return guarded(path_, [&]() -> Status {
      POLYSOME_TRY(end_group());
      group_ = writer_->AppendRowGroup();
      rows_ = n;
      next_ = 0;
      return {};
    });
  }

  Status doubles(std::span<const double> values) override {
    return each_column<parquet::DoubleWriter>(values, WideType::kDouble, [](double x, double* out) {
      *out = x;
      return !std::isnan(x);
    });
  }

  Status wholes(std::span<const std::int64_t> values) override {
    return each_column<parquet::Int64Writer>(values, WideType::kInt64,
                                             [](std::int64_t x, std::int64_t* out) {
                                               *out = x;
                                               return x != kMissingWhole;
                                             });
  }

  Status texts(std::span<const std::optional<std::string_view>> values) override {
    return each_column<parquet::ByteArrayWriter>(
        values, WideType::kText,
        [](const std::optional<std::string_view>& x, parquet::ByteArray* out) {
          if (x)
            *out = {static_cast<std::uint32_t>(x->size()),
                    reinterpret_cast<const std::uint8_t*>(x->data())};
          return x.has_value();
        });
  }

  Status close() override {
    return guarded(path_, [&]() -> Status {
      POLYSOME_TRY(end_group());
      writer_->Close();
      return status_of(out_->Close(), path_);
    });
  }

 private:
  Status end_group() {
    if (group_ == nullptr) return {};
    if (next_ != columns_.size())
      return fail(Code::kInternal, fmt::format("{}: a row group got {} of {} columns", path_, next_,
                                               columns_.size()));
    group_->Close();
    group_ = nullptr;
    return {};
  }

  template <class ColumnWriter, class Value, class Take>
  Status each_column(std::span<const Value> values, WideType type, Take take) {
    using Written = typename ColumnWriter::T;
    return guarded(path_, [&]() -> Status {
      if (group_ == nullptr || rows_ == 0 || values.size() % rows_ != 0)
        return fail(Code::kInternal, path_ + ": values that are no columns of a row group");
      auto& room = std::get<std::vector<Written>>(room_);
      room.resize(rows_);
      levels_.resize(rows_);
      for (std::size_t at = 0; at < values.size(); at += rows_, ++next_) {
        if (next_ >= columns_.size() || columns_[next_].type != type)
          return fail(Code::kInternal,
                      fmt::format("{}: column {} is not of that type or not there", path_, next_));
        std::size_t there = 0;
        for (std::size_t r = 0; r < rows_; ++r) {
          levels_[r] = take(values[at + r], &room[there]) ? 1 : 0;
          there += static_cast<std::size_t>(levels_[r]);
        }
        auto* column = static_cast<ColumnWriter*>(group_->NextColumn());
        column->WriteBatch(static_cast<std::int64_t>(rows_), levels_.data(), nullptr, room.data());
        column->Close();
      }
      return {};
    });
  }

  std::string path_;
  std::vector<WideColumn> columns_;
  std::shared_ptr<arrow::io::OutputStream> out_;
  std::unique_ptr<parquet::ParquetFileWriter> writer_;
  parquet::RowGroupWriter* group_ = nullptr;
  std::uint64_t rows_ = 0;
  std::size_t next_ = 0;  // column
  std::vector<std::int16_t> levels_;
  std::tuple<std::vector<double>, std::vector<std::int64_t>, std::vector<parquet::ByteArray>> room_;
};

}  // namespace

Result<std::unique_ptr<WideParquetWriter>> make_wide_parquet_writer(
    const std::string& path, const std::vector<WideColumn>& columns) {
  auto out = std::make_unique<Writer>(path, columns);
  POLYSOME_TRY(out->open());
  return out;
}

}  // namespace polysome::columnar
