// Cuts delimited text into rows and fields (RFC 4180; a quote opens only at the start of a field;
// "" is a quote inside; text after a closing quote belongs to the field, as Python's csv reads it).
// Also tells whether a position lies inside a quoted field, which makes partition borders exact.
// Pure, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polysome {

struct TextShape {
  char delimiter = ',';
  char quote = '"';     // '\0': none
  char comment = '\0';  // lines that begin with it are skipped; '\0': none
};

struct Field {
  const char* begin = nullptr;  // with quotes, when quoted
  const char* end = nullptr;
  bool quoted = false;
};

class RowScanner {
 public:
  // Rows of `text` from `at` on, which is the start of a row.
  RowScanner(std::string_view text, std::size_t at, TextShape shape)
      : begin_(text.data()),
        end_(text.data() + text.size()),
        next_(text.data() + at),
        shape_(shape) {}

  // Where the next row begins: blank and comment lines are skipped; text.size() at the end.
  std::size_t next_row();
  // Cuts the row that begins at next_row() into fields(). False: its last quoted field is not
  // closed before the end of the text.
  bool read_row();
  const std::vector<Field>& fields() const { return fields_; }

 private:
  bool read_plain_fields(const char** field);

  const char* begin_;
  const char* end_;
  const char* next_;
  TextShape shape_;
  std::vector<Field> fields_;
};

// A field's text without its quotes; `buffer` is used when something must be rewritten.
std::string_view field_text(const Field& field, char quote, std::string* buffer);

// Whether `to` lies inside a quoted field, if `from` did (or did not). `from` and `to` must not
// stand beside a quote character (see `border_at_or_after`).
bool inside_at(std::string_view text, std::size_t from, bool from_inside, std::size_t to,
               TextShape shape);

// Both at once, at little more than the cost of one: the two states soon meet.
struct EndStates {
  bool inside_if_outside = false;
  bool inside_if_inside = false;
};
EndStates end_states(std::string_view text, std::size_t from, std::size_t to, TextShape shape);

// The first position from `at` on that has no quote character on either side and does not lie in
// what may be a comment line, so that a row scanner that begins there can be in two states only.
// text.size() when there is none.
std::size_t border_at_or_after(std::string_view text, std::size_t at, TextShape shape);

// The first row that begins at or after `at`, if `at` lies inside (or outside) a quoted field.
std::size_t row_start_at_or_after(std::string_view text, std::size_t at, bool inside,
                                  TextShape shape);

// 1-based number of the line that holds `at`.
std::uint64_t line_number(std::string_view text, std::size_t at);

}  // namespace polysome
