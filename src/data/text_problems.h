// What goes wrong while text is read: values that are not of their column's type (counted as
// missing where the job asks for that, else collected with file, line, column and value, at most
// 20), rows of the wrong number of fields, quotes that are never closed. One scan's; its thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/row_cutter.h"
#include "data/text_pieces.h"

namespace polysome {

class TextProblems {
 public:
  explicit TextProblems(TextScan* scan) : scan_(scan) {}

  // Of the row that begins at `row_begin` of piece `piece`.
  void bad_value(std::size_t piece, std::size_t row_begin, const ScanColumn& column,
                 std::string_view text);
  // A row of another number of fields than it should have: counted where the job repairs such rows,
  // else an error (false).
  bool repaired(std::size_t piece, std::size_t row_begin, std::size_t fields);
  void unreadable_row(std::size_t piece, std::size_t row_begin, RowCutter::Next why);
  void row_error(std::size_t piece, std::size_t row_begin, const std::string& what,
                 std::string hint);
  void cancelled() { fatal_ = Error(Code::kCancelled, "cancelled"); }

  // No use in going on.
  bool enough() const { return fatal_.has_value() || errors_.size() >= kMostErrors; }
  // The error that the scan ends with, if any.
  std::optional<Error> error() const;

 private:
  static constexpr std::size_t kMostErrors = 20;
  std::uint64_t line_of(std::size_t piece, std::size_t at);

  TextScan* scan_;
  std::vector<ErrorItem> errors_;
  std::optional<Error> fatal_;
  // Line numbers are counted on from the last one asked for.
  std::size_t line_piece_ = SIZE_MAX;
  std::size_t counted_to_ = 0;
  std::uint64_t line_ = 1;
};

}  // namespace polysome
