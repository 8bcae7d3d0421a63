// Applies the tests of a scan (row_tests.h) to its rows. A value that cannot be read is told as
// TextProblems tells it, once: by the gate, or by whoever reads that column of the rows let
// through. One scan's; its thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/row_cutter.h"
#include "data/text_pieces.h"
#include "data/text_problems.h"

namespace polysome {

class RowGate {
 public:
  // `read_anyway`: columns of the scan that its reader parses in every row let through.
  RowGate(const TextScan& scan, TextProblems* problems, std::vector<std::uint32_t> read_anyway);

  // Adds the fields of the piece that the tests need.
  void need(const ScanPiece& piece, std::vector<std::uint32_t>* fields) const;
  // `wanted`: the cutter's wanted fields, ascending.
  void open_piece(std::size_t piece, const std::vector<std::uint32_t>& wanted);
  bool lets(const RowCutter& cutter, const RowCutter::Row& row, std::size_t row_begin);

 private:
  struct Column {
    std::uint32_t index = 0;
    const ScanColumn* column = nullptr;
    bool quick = false;
    bool read_anyway = false;
    bool bad = false;  // in this row, and the text:
    std::string text;
    std::uint32_t at = 0;    // field of the piece's rows
    std::size_t wanted = 0;  // place among the cutter's wanted fields
  };
  bool holds(const RowTest& test);
  bool holds_column(const RowTest& test);
  std::optional<std::string_view> text_of(Column& c);
  bool note_bad(Column& c, std::string_view text);

  const TextScan& scan_;
  TextProblems* problems_;
  std::vector<Column> columns_;
  std::vector<std::uint32_t> place_;  // of each scan column among columns_
  std::size_t piece_ = 0;
  const char* floor_ = nullptr;
  const RowCutter* cutter_ = nullptr;
  const RowCutter::Row* row_ = nullptr;
  bool any_bad_ = false;
  std::string buffer_;
};

}  // namespace polysome
