// Parquet files of very many columns (tens of thousands of doubles or whole numbers), column by
// column: chunks are encoded where their values are at hand and only joined at the end, so that
// nothing holds more than a chunk and the list of them. Flat columns that may be missing; PLAIN
// values, zstd or, where digits are noise, Snappy (kernels/snappy_words.h), smallest and largest
// value of each chunk. Format: apache/parquet-format 2.9,
// Thrift's compact protocol. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct ZSTD_CCtx_s;

namespace polysome {

// Thrift's compact protocol, as far as Parquet's structures need it. Fields are written in order.
class ThriftWriter {
 public:
  explicit ThriftWriter(std::string* out) : out_(out) {}

  void number(int field, std::int64_t value, bool wide = false);
  void text(int field, std::string_view value);
  // Ends with close().
  void open(int field);
  void open_element();
  void close();
  // Its elements follow: element() or open_element() and close().
  enum class Of : std::uint8_t { kNumber = 5, kText = 8, kStruct = 12 };
  void list(int field, Of of, std::size_t size);
  void element(std::string_view value);
  void element(std::int64_t value);
  void end();

 private:
  void head(int field, int type);
  void varint(std::uint64_t v);
  void signed_varint(std::int64_t v);

  std::string* out_;
  int last_ = 0;  // field
  std::vector<int> outer_;
};

// What the footer has to know of a chunk: all but where it lies.
struct ColumnChunk {
  std::uint64_t bytes = 0;      // in the file, page header included
  std::uint64_t raw_bytes = 0;  // before compression
  std::uint64_t values = 0;
  std::uint64_t missing = 0;
  double least = 0, most = 0;  // of numbers, where `bounded`
  std::uint32_t bounded = 0;   // 0 or 1
  std::uint32_t codec = 0;     // as the format numbers them
};

class ChunkEncoder {
 public:
  ChunkEncoder();
  ~ChunkEncoder();
  ChunkEncoder(const ChunkEncoder&) = delete;
  ChunkEncoder& operator=(const ChunkEncoder&) = delete;

  // Appends one page of values to *out; NaN is missing. `whole`: as 64-bit integers, which the
  // values are.
  Result<ColumnChunk> numbers(std::span<const double> values, bool whole, std::string* out);
  // Whole numbers that no double may hold; their bounds are not told.
  Result<ColumnChunk> wholes(std::span<const std::optional<std::int64_t>> values, std::string* out);
  Result<ColumnChunk> texts(std::span<const std::optional<std::string>> values, std::string* out);

 private:
  template <typename T>
  ColumnChunk begin_optional(std::span<const std::optional<T>> values);
  // Appends body_, whose words of numbers begin at `head` (npos: there are none).
  Result<ColumnChunk> page(ColumnChunk chunk, std::size_t head, std::string* out);

  ZSTD_CCtx_s* context_;
  int noisy_ = 0;  // chunks of numbers to come that hardly get smaller
  std::string body_, packed_;
};

// The end of the file, made row group by row group: of very wide files it is too much to be held
// beside what it tells of.
class ParquetFooter {
 public:
  enum class Type : std::uint8_t { kDouble, kInt64, kText };
  struct Column {
    std::string name;
    Type type = Type::kText;
  };
  struct Placed {
    const ColumnChunk* chunk = nullptr;
    std::uint64_t offset = 0;  // in the file
  };

  // `rows` of the file in `groups` row groups.
  ParquetFooter(std::vector<Column> columns, std::uint64_t rows, std::size_t groups);
  ParquetFooter(const ParquetFooter&) = delete;
  ParquetFooter& operator=(const ParquetFooter&) = delete;
  // `placed`: of each column by its number.
  void add_group(std::uint64_t rows, const std::function<Placed(std::size_t)>& placed);
  // The same of chunks that lie one behind another; *at becomes their end.
  void add_group(std::uint64_t rows, std::span<const ColumnChunk> chunks, std::uint64_t* at);
  // After the last group.
  void end();
  // What was made since the last call.
  std::string take();

 private:
  std::vector<Column> columns_;
  ThriftWriter thrift_;
  std::string out_;
  std::uint64_t taken_ = 0;
};

inline constexpr std::string_view kParquetMagic = "PAR1";

}  // namespace polysome
