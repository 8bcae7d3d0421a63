// What a table that is read with no SQL (flat_table.h) is made of while it is: its columns, some of
// its rows, and those as text. The slot's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/flat_parquet.h"
#include "data/matrix_reader.h"
#include "operations/byte_sink.h"
#include "operations/table_files.h"

namespace polysome {

// A column of the table: where its values are.
struct FlatColumn {
  std::string name;
  ParquetFooter::Type type = ParquetFooter::Type::kText;
  std::size_t place = 0;  // among the labels or the values
  bool is_label() const { return type == ParquetFooter::Type::kText; }
};

struct FlatColumns {
  std::vector<FlatColumn> all;
  std::vector<std::uint32_t> labels, values;  // columns of the source

  FlatColumns(const TableSource& source, const std::vector<std::uint32_t>& columns);
  std::vector<ParquetFooter::Column> in_parquet() const {
    std::vector<ParquetFooter::Column> out;
    for (const auto& c : all) out.push_back({c.name, c.type});
    return out;
  }
};

// Rows that have been parsed, side by side: labels and values row after row.
struct Tile {
  std::size_t rows = 0;
  std::vector<MatrixReader::Label> labels;
  std::vector<double> values;
  std::vector<MatrixReader::Beyond> beyond;

  // The whole number, where it is one that `values` does not hold.
  std::optional<std::int64_t> beyond_at(std::size_t row, std::size_t value) const;
};

// Rows as lines of CSV, TSV or JSON: those that write_lines (text_rows.h) would make of them.
class FlatLines {
 public:
  FlatLines(const FlatColumns& columns, const FileFormat& format);

  Status write(const Tile& tile, ByteSink* sink);

 private:
  void append_cell(const Tile& tile, std::size_t row, const FlatColumn& c);
  void append_whole(std::int64_t value);

  const FlatColumns& columns_;
  char delimiter_;
  std::vector<std::string> keys_;  // JSON: what stands before each value
  std::string out_;
};

}  // namespace polysome
