// Cuts a stretch of delimited text into rows, by the same rules as RowScanner (row_scanner.h) and
// many times faster: separators are found 64 bytes at a time (kernels/text_marks.h), and in wide
// tables only those around the wanted fields are kept. Blank and comment lines are skipped. Reads
// beyond `limit` only to end the last row. Views the text; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/row_scanner.h"
#include "kernels/text_marks.h"

namespace polysome {

class RowCutter {
 public:
  struct Row {
    const char* base = nullptr;  // positions in `marks` count from here
    const char* begin = nullptr;
    const char* end = nullptr;  // its line feed, or the end of the text
    const std::uint32_t* marks = nullptr;
    std::uint32_t fields = 0;
  };
  enum class Next : std::uint8_t {
    kRow,
    kEnd,       // no row begins before `limit`
    kUnclosed,  // a quoted field of the row at row_begin() is not closed before the end of the text
    kTooLong,   // the row at row_begin() has 4 GB or more
  };

  // Rows whose first byte lies in [begin, limit); begin is the start of a row. `wanted`: fields, by
  // number, ascending; `fields`: how many a row should have.
  RowCutter(std::string_view text, std::size_t begin, std::size_t limit, TextShape shape,
            std::size_t fields, const std::vector<std::uint32_t>& wanted);

  // `row` is valid until the next call. A row may have another number of fields than it should:
  // those from row.fields on must not be asked for.
  Next next(Row* row);
  // Rows from the next one on that need no second look: each has the fields it should, there are no
  // quotes near, none is a comment. At most `most`; none: ask next(). Valid until the next call.
  struct Rows {
    const char* begin = nullptr;           // of the first
    const char* base = nullptr;            // positions in `marks` count from here
    const std::uint32_t* marks = nullptr;  // row r's are [r · fields, (r + 1) · fields)
    std::size_t n = 0;
  };
  Rows take_rows(std::size_t most);
  // Where the row that next() gave begins; or, after kEnd, the next one.
  std::size_t row_begin() const { return row_begin_; }
  // Every separator of a row is in its marks: field f lies between marks f − 1 and f.
  bool dense() const { return dense_; }
  // No quote character has been met in what was read.
  bool met_quotes() const { return met_quotes_; }
  std::size_t read_to() const { return scanned_; }

  // The i-th wanted field of a row, quotes included.
  Field field(const Row& row, std::size_t i) const {
    const Slot slot = slots_[i];
    Field out;
    out.begin = slot.begin < 0 ? row.begin : row.base + row.marks[slot.begin] + 1;
    out.end = row.base + row.marks[slot.end];
    // A carriage return before the row's line feed belongs to the line end.
    if (out.end == row.end && out.end != out.begin && out.end[-1] == '\r') --out.end;
    out.quoted = shape_.quote != '\0' && out.begin != out.end && *out.begin == shape_.quote;
    return out;
  }

 private:
  struct Slot {
    std::int32_t begin = -1;  // place in a row's marks of the separator before the field
    std::int32_t end = 0;     // and of the one behind it
  };

  bool have_row() const { return dense_ ? next_row_ < n_rows_ : next_row_ < walk_.rows.size(); }
  void take_row(Row* row);
  bool refill();  // false: the text is read to its end
  void drop_taken_rows();
  void scan(const char* at, std::size_t blocks, std::size_t position);
  void resolve_quotes(std::size_t position, std::size_t blocks);
  void note_line_begin(std::size_t position, std::size_t blocks);
  void end_text();
  bool is_comment(std::size_t at) const {
    return shape_.comment != '\0' && at < text_.size() && text_[at] == shape_.comment;
  }

  std::string_view text_;
  TextShape shape_;
  std::size_t limit_;
  std::size_t start_;
  bool dense_;
  std::size_t fields_;  // that a row should have
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> needs_;  // sparse: separators that are kept

  std::size_t base_;        // of positions
  std::size_t scanned_;     // what lies before is in the marks
  std::size_t row_begin_;   // of the row given last
  std::size_t next_begin_;  // of the row after it
  std::size_t next_row_ = 0;
  TextMasks masks_;
  // dense: positions of separators, and for each row the place of its line feed among them
  std::vector<std::uint32_t> flat_, row_ends_;
  std::size_t n_flat_ = 0, n_rows_ = 0;
  std::size_t first_mark_ = 0;  // of the next row
  SparseWalk walk_;             // sparse

  bool inside_ = false;      // a quoted field is open at scanned_
  bool in_comment_ = false;  // scanned_ lies in a comment line
  bool met_quotes_ = false;
  std::size_t skip_quote_ = SIZE_MAX;  // the second of two quotes
};

}  // namespace polysome
