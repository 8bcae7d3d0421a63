// Parquet files of very many columns (tens of thousands of doubles or whole numbers), column by
// column: chunks are encoded where their values are at hand and only joined at the end, so that
// nothing holds more than a chunk and the list of them. Flat columns that may be missing; PLAIN
// values, zstd or, where digits are noise, Snappy (kernels/snappy_words.h), smallest and largest
// value of each chunk. Format: apache/parquet-format 2.9,
// Thrift's compact protocol. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct ZSTD_CCtx_s;

namespace polysome {

// What the footer has to know of a chunk: all but where it lies.
struct ColumnChunk {
  std::uint64_t bytes = 0;      // in the file, page header included
  std::uint64_t raw_bytes = 0;  // before compression
  std::uint64_t values = 0;
  std::uint64_t missing = 0;
  double least = 0, most = 0;  // of numbers, where `bounded`
  bool bounded = false;
  std::uint8_t codec = 0;  // as the format numbers them
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

// The end of the file. Chunks are added row group by row group, in the order of the columns.
class ParquetFooter {
 public:
  enum class Type : std::uint8_t { kDouble, kInt64, kText };

  void add_column(std::string name, Type type) { columns_.push_back({std::move(name), type}); }
  void begin_row_group(std::uint64_t rows) { groups_.push_back({rows, {}}); }
  // `offset`: of the chunk in the file.
  void add_chunk(const ColumnChunk& chunk, std::uint64_t offset) {
    groups_.back().chunks.push_back({chunk, offset});
  }
  // What stands behind the last chunk.
  std::string bytes() const;

 private:
  struct Column {
    std::string name;
    Type type;
  };
  struct Placed {
    ColumnChunk chunk;
    std::uint64_t offset;
  };
  struct Group {
    std::uint64_t rows;
    std::vector<Placed> chunks;
  };
  std::vector<Column> columns_;
  std::vector<Group> groups_;
};

inline constexpr std::string_view kParquetMagic = "PAR1";

}  // namespace polysome
