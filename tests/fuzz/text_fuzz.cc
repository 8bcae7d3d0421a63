// Fuzz target for the text reader: any bytes, cut into rows and fields by the fast cutter and by an
// obvious parser that looks at one letter after another, must give the same, also of rows that are
// too short or too long; and the rows of the pieces that any border makes must be the rows of the
// whole. Run by scripts/test.sh.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "data/quote_machine.h"
#include "data/row_cutter.h"
#include "data/row_scanner.h"

namespace {

using polysome::RowCutter;
using polysome::TextShape;

struct Row {
  std::size_t begin = 0;
  std::vector<std::string> fields;  // as they stand, quotes included
  bool operator==(const Row&) const = default;
};
struct Table {
  std::vector<Row> rows;
  bool unclosed = false;  // the text ends within a quoted field
};

// One letter after another.
Table plainly(std::string_view text, std::size_t first, TextShape shape) {
  Table out;
  std::size_t i = first;
  while (i < text.size()) {
    if (text[i] == '\n') {
      ++i;
      continue;
    }
    if (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] == '\n')) {
      ++i;
      continue;
    }
    if (shape.comment != '\0' && text[i] == shape.comment) {
      while (i < text.size() && text[i] != '\n') ++i;
      continue;
    }
    Row row;
    row.begin = i;
    for (bool more = true; more;) {
      std::string field;
      if (i < text.size() && shape.quote != '\0' && text[i] == shape.quote) {
        field += text[i++];
        for (;;) {
          if (i == text.size()) {
            out.unclosed = true;
            return out;
          }
          const char c = text[i++];
          field += c;
          if (c != shape.quote) continue;
          if (i < text.size() && text[i] == shape.quote)
            field += text[i++];
          else
            break;
        }
      }
      while (i < text.size() && text[i] != shape.delimiter && text[i] != '\n') field += text[i++];
      more = i < text.size() && text[i] == shape.delimiter;
      if (!more && !field.empty() && field.back() == '\r') field.pop_back();
      if (i < text.size()) ++i;
      row.fields.push_back(std::move(field));
    }
    out.rows.push_back(std::move(row));
  }
  return out;
}

Table quickly(std::string_view text, std::size_t begin, std::size_t limit, TextShape shape,
              std::size_t fields, const std::vector<std::uint32_t>& wanted) {
  Table out;
  RowCutter cutter(text, begin, limit, shape, fields, wanted);
  RowCutter::Row row;
  for (;;) {
    const auto next = cutter.next(&row);
    if (next == RowCutter::Next::kEnd) return out;
    if (next != RowCutter::Next::kRow) {
      out.unclosed = true;
      return out;
    }
    Row cells{cutter.row_begin(), {std::to_string(row.fields)}};
    for (std::size_t i = 0; i < wanted.size() && wanted[i] < row.fields; ++i) {
      const auto f = cutter.field(row, i);
      cells.fields.emplace_back(f.begin, f.end);
    }
    out.rows.push_back(std::move(cells));
  }
}

// What `quickly` should make of these rows.
Row shown(const Row& row, const std::vector<std::uint32_t>& wanted) {
  Row out{row.begin, {std::to_string(row.fields.size())}};
  for (const auto w : wanted)
    if (w < row.fields.size()) out.fields.push_back(row.fields[w]);
  return out;
}

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "text reader: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const unsigned kind = data[0];
  TextShape shape;
  shape.delimiter = (kind & 1) != 0 ? '\t' : ',';
  shape.quote = (kind & 6) == 6 ? '\0' : '"';
  shape.comment = (kind & 8) != 0 ? '#' : '\0';
  const std::size_t repeat = (kind & 16) != 0 ? 40 : 1;  // rows longer than a window
  const std::size_t fields = 1 + data[1] % 70;           // 33 and more: wide tables
  std::vector<std::uint32_t> wanted;
  for (std::uint32_t f = data[2] % 3; f < fields; f += 1 + data[2] / 3) wanted.push_back(f);
  std::string text;
  for (std::size_t i = 0; i < repeat; ++i)
    text.append(reinterpret_cast<const char*>(data) + 4, size - 4);

  const std::size_t first = text.starts_with("\xef\xbb\xbf") ? 3 : 0;  // behind a byte order mark
  const Table expected = plainly(text, first, shape);
  const Table whole = quickly(text, first, text.size(), shape, fields, wanted);
  require(whole.unclosed == expected.unclosed,
          "the two disagree whether a quote is open at the end");
  require(whole.rows.size() == expected.rows.size(), "another number of rows");
  for (std::size_t r = 0; r < whole.rows.size(); ++r)
    require(whole.rows[r] == shown(expected.rows[r], wanted), "a row differs");

  // Two pieces: the first tells the state of the border, the second starts with it.
  const std::size_t at = data[3] * text.size() / 256;
  const std::size_t border = polysome::border_at_or_after(text, at, shape);
  if (border <= first || border >= text.size()) return 0;
  const auto states = polysome::end_states(text, first, border, shape);
  require(states.inside_if_outside == polysome::inside_at(text, first, false, border, shape),
          "the two ways to a border's state disagree");
  // The machine that follows a stream says the same, in blocks of any size.
  polysome::QuoteMachine outside(shape), inside(shape, true);
  const std::size_t block = 1 + data[3] % 7;
  for (std::size_t i = first; i < border; i += block) {
    const auto here = std::string_view(text).substr(i, std::min(block, border - i));
    outside.run(here);
    inside.run(here);
  }
  require(outside.inside() == states.inside_if_outside, "a stream's state differs, from outside");
  require(shape.quote == '\0' || inside.inside() == states.inside_if_inside,
          "a stream's state differs, from inside");
  Table apart = quickly(text, first, border, shape, fields, wanted);
  if (apart.unclosed) return 0;
  const std::size_t begin =
      polysome::row_start_at_or_after(text, border, states.inside_if_outside, shape);
  const Table second = quickly(text, begin, text.size(), shape, fields, wanted);
  for (const auto& row : second.rows) apart.rows.push_back(row);
  require(apart.rows == whole.rows, "rows are lost or doubled at a border");
  return 0;
}
