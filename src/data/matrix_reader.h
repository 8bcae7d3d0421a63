// Delimited text straight into blocks of a matrix: labels and doubles, row by row, with no table in
// between. All value columns make row blocks, some of them column blocks or tiles; fields that are
// not wanted are not parsed. Values and what counts as missing are those of ps_scan, bit for bit;
// missing is NaN. One scan; the slot's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/row_cutter.h"
#include "data/row_gate.h"
#include "data/text_pieces.h"
#include "data/text_problems.h"

namespace polysome {

class MatrixReader {
 public:
  // `labels`: columns of the scan that are read as text, `values`: of type int64 or double.
  // Rows that the scan's tests let through.
  MatrixReader(std::shared_ptr<TextScan> scan, const std::vector<std::uint32_t>& labels,
               const std::vector<std::uint32_t>& values);

  using Label = std::optional<std::string>;
  // A whole number beyond 2^53, which no double may hold.
  struct Beyond {
    std::size_t row = 0, value = 0;  // of the rows of one read(), and place among the values
    std::int64_t number = 0;
  };
  // At most `most` further rows: values are written to `out`, row after row, labels appended to
  // *labels, those of a row together. Whole numbers that no double holds are written as the nearest
  // one and appended to *beyond; without it they are errors. Answers how many rows; fewer than
  // `most` at the end. Errors: those of the data; kCancelled.
  Result<std::size_t> read(std::size_t most, double* out, std::vector<Label>* labels,
                           std::vector<Beyond>* beyond = nullptr);

  std::size_t columns() const { return values_.size(); }

 private:
  struct Column {
    const ScanColumn* column = nullptr;
    std::size_t index = 0;
    std::uint32_t at = 0;    // field
    std::size_t wanted = 0;  // place among the cutter's wanted fields
    bool plain = false;      // no texts are declared to be missing
    bool quick = false;      // the usual forms of its numbers may be read the short way
  };
  // Neighbours that are read side by side, or one column.
  struct Run {
    std::size_t first = 0, size = 0;
    bool batched = false;
    std::size_t mark = 0;  // of the separator before the first
  };

  // None where a repaired row ends before it.
  Field field_of(const RowCutter::Row& row, const Column& c) const {
    return c.at < row.fields ? cutter_->field(row, c.wanted) : Field{};
  }
  bool open_next_piece();
  void find_runs();
  bool pause(std::size_t position);
  void read_row(const RowCutter::Row& row, double* out, std::vector<Label>* labels);
  void read_run(const RowCutter::Row& row, const Run& run, double* out);
  double read_value(std::size_t value, const Field& field);
  void read_label(const Column& c, const Field& field, std::vector<Label>* labels);

  std::shared_ptr<TextScan> scan_;
  TextProblems problems_;
  std::optional<RowGate> gate_;
  std::vector<Column> labels_, values_;
  std::vector<Run> runs_;
  std::optional<RowCutter> cutter_;
  std::size_t next_piece_ = 0;
  std::size_t piece_ = 0;
  const char* floor_ = nullptr;
  std::size_t row_begin_ = 0;
  std::size_t counted_ = 0;
  std::size_t row_ = 0;  // of those of this read()
  std::vector<Beyond>* beyond_ = nullptr;
  std::string buffer_;
};

}  // namespace polysome
