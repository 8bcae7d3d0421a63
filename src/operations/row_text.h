// Rows as text for programs: CSV (RFC 4180, missing is empty) or NDJSON (an object a line, missing
// is null). Values are those of pages in JSON (cells.h): doubles are the shortest text that reads
// back as the same number, as our JSON writer has them; NaN and infinities are texts, in JSON in
// quotes, as are whole numbers beyond 2^53. Cells are appended to one buffer, whose owner empties
// it between rows. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polysome {

class RowText {
 public:
  enum class Format : std::uint8_t { kCsv, kNdjson };

  RowText(Format format, const std::vector<std::string>& names);
  // Of CSV; nothing for NDJSON.
  void header();
  // The cells of a row, in the order of the columns, then end_row().
  void missing();
  void boolean(bool value);
  void whole(std::int64_t value);
  // Of more than 64 bits, as digits.
  void whole(std::string_view digits);
  void real(double value);
  void text(std::string_view value);
  void end_row();

  std::string& buffer() { return buffer_; }

 private:
  void begin_cell();
  void quoted(std::string_view value);

  Format format_;
  std::vector<std::string> names_;
  std::vector<std::string> keys_;  // of NDJSON: what stands before each value
  std::size_t column_ = 0;
  std::string buffer_;
};

}  // namespace polysome
