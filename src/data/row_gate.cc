#include "data/row_gate.h"

#include <algorithm>

#include "data/row_tests.h"
#include "kernels/number_text.h"

namespace polysome {
namespace {

using Op = RowTest::Op;

template <class T, class V>
bool compare(Op op, const V& value, const std::vector<T>& constants) {
  switch (op) {
    case Op::kEqual: return value == constants[0];
    case Op::kUnequal: return value != constants[0];
    case Op::kLess: return value < constants[0];
    case Op::kLessOrEqual: return value <= constants[0];
    case Op::kGreater: return value > constants[0];
    case Op::kGreaterOrEqual: return value >= constants[0];
    case Op::kBetween: return value >= constants[0] && value <= constants[1];
    case Op::kIn: return std::ranges::find(constants, value) != constants.end();
    case Op::kNotIn: return std::ranges::find(constants, value) == constants.end();
    case Op::kPresent: return true;
    default: return false;
  }
}

}  // namespace

RowGate::RowGate(const TextScan& scan, TextProblems* problems,
                 std::vector<std::uint32_t> read_anyway)
    : scan_(scan), problems_(problems), place_(scan.columns.size()) {
  for (const auto index : scan.tests->columns()) {
    Column c;
    c.index = index;
    c.column = &scan.columns[index];
    c.quick = !c.column->missing.declared() &&
              (c.column->type == ValueType::kInt64 || scan.numbers.usual());
    c.read_anyway = std::ranges::find(read_anyway, index) != read_anyway.end();
    place_[index] = static_cast<std::uint32_t>(columns_.size());
    columns_.push_back(std::move(c));
  }
}

void RowGate::need(const ScanPiece& piece, std::vector<std::uint32_t>* fields) const {
  for (const auto& c : columns_) fields->push_back(piece.field_of(c.index));
}

void RowGate::open_piece(std::size_t piece, const std::vector<std::uint32_t>& wanted) {
  piece_ = piece;
  floor_ = scan_.pieces[piece].file->text().data();
  for (auto& c : columns_) {
    c.at = scan_.pieces[piece].field_of(c.index);
    c.wanted = static_cast<std::size_t>(std::ranges::lower_bound(wanted, c.at) - wanted.begin());
  }
}

bool RowGate::lets(const RowCutter& cutter, const RowCutter::Row& row, std::size_t row_begin) {
  cutter_ = &cutter;
  row_ = &row;
  const bool good = holds(*scan_.tests);
  if (!any_bad_) return good;
  any_bad_ = false;
  for (auto& c : columns_) {
    if (c.bad && !(good && c.read_anyway))
      problems_->bad_value(piece_, row_begin, *c.column, c.text);
    c.bad = false;
  }
  return good;
}

bool RowGate::holds(const RowTest& test) {
  const auto child = [this](const RowTest& t) { return holds(t); };
  if (test.op == Op::kAnd) return std::ranges::all_of(test.children, child);
  if (test.op == Op::kOr) return std::ranges::any_of(test.children, child);
  return holds_column(test);
}

bool RowGate::note_bad(Column& c, std::string_view text) {
  if (!c.bad) c.text = text;
  c.bad = any_bad_ = true;
  return false;
}

// The field's text; nothing when it is missing.
std::optional<std::string_view> RowGate::text_of(Column& c) {
  if (c.at >= row_->fields) return std::nullopt;
  const bool number = c.column->type != ValueType::kString;
  auto text = field_text(cutter_->field(*row_, c.wanted), scan_.shape.quote, &buffer_);
  if (number) text = trim(text);
  const bool missing = c.column->missing.declared() ? c.column->missing.holds(text)
                       : number                     ? is_missing_number(text)
                                                    : text.empty();
  if (missing) return std::nullopt;
  return text;
}

bool RowGate::holds_column(const RowTest& test) {
  Column& c = columns_[place_[test.column]];
  if (c.quick && c.at < row_->fields) {
    const Field field = cutter_->field(*row_, c.wanted);
    std::int64_t whole = 0;
    double number = 0;
    if (test.type == ValueType::kInt64 && quick_int64(field.begin, field.end, floor_, &whole))
      return compare(test.op, whole, test.wholes);
    if (test.type == ValueType::kDouble && quick_double(field.begin, field.end, floor_, &number))
      return compare(test.op, number, test.doubles);
  }
  const auto text = text_of(c);
  if (!text) return test.op == Op::kMissing;
  // What cannot be read counts as missing where it does not end the scan.
  const bool if_bad = test.op == Op::kMissing;
  if (test.type == ValueType::kInt64) {
    if (const auto v = parse_int64(*text, scan_.numbers)) return compare(test.op, *v, test.wholes);
    return note_bad(c, *text) || if_bad;
  }
  if (test.type == ValueType::kDouble) {
    if (const auto v = parse_double(*text, scan_.numbers))
      return compare(test.op, *v, test.doubles);
    return note_bad(c, *text) || if_bad;
  }
  if (!valid_text(*text)) return note_bad(c, "bytes that are not UTF-8 or are NUL") || if_bad;
  return compare(test.op, *text, test.texts);
}

}  // namespace polysome
