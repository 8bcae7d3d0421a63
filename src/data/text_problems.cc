#include "data/text_problems.h"

#include <fmt/format.h>

#include "kernels/text_marks.h"

namespace polysome {
namespace {

constexpr std::size_t kShownValue = 80;

std::string shown(std::string_view text) {
  std::string out(text.substr(0, kShownValue));
  if (text.size() > kShownValue) out += "…";
  return out;
}

std::string_view kind_name(ValueType type) {
  switch (type) {
    case ValueType::kInt64: return "a whole number";
    case ValueType::kDouble: return "a number";
    case ValueType::kBool: return "true or false";
    case ValueType::kDate: return "a date (YYYY-MM-DD)";
    case ValueType::kTimestamp: return "a time (YYYY-MM-DD HH:MM:SS)";
    case ValueType::kString: return "text in UTF-8";
  }
  return "a value";
}

}  // namespace

std::uint64_t TextProblems::line_of(std::size_t piece, std::size_t at) {
  const auto text = scan_->pieces[piece].file->text();
  if (line_piece_ != piece || at < counted_to_) {
    line_piece_ = piece;
    counted_to_ = 0;
    line_ = scan_->pieces[piece].first_line;
  }
  line_ += count_newlines(text.substr(counted_to_, at - counted_to_));
  counted_to_ = at;
  return line_;
}

void TextProblems::bad_value(std::size_t piece, std::size_t row_begin, const ScanColumn& column,
                             std::string_view text) {
  if (scan_->bad_is_missing) {
    ++scan_->report->bad_values;
    return;
  }
  if (errors_.size() >= kMostErrors) return;
  ErrorItem item;
  item.file = scan_->pieces[piece].label;
  item.line = line_of(piece, row_begin);
  item.column = column.name;
  item.value = shown(text);
  item.message = fmt::format("not {}", kind_name(column.type));
  errors_.push_back(std::move(item));
}

void TextProblems::row_error(std::size_t piece, std::size_t row_begin, const std::string& what,
                             std::string hint) {
  ErrorItem item;
  item.file = scan_->pieces[piece].label;
  item.line = line_of(piece, row_begin);
  item.message = what;
  fatal_ = Error(Code::kUserData,
                 fmt::format("{}, line {}: {}", item.file, with_thousands(*item.line), what),
                 std::move(hint));
  fatal_->errors.push_back(std::move(item));
}

bool TextProblems::repaired(std::size_t piece, std::size_t row_begin, std::size_t fields) {
  if (scan_->repair) {
    ++(fields < scan_->expected_fields ? scan_->report->short_rows : scan_->report->long_rows);
    return true;
  }
  row_error(
      piece, row_begin,
      fmt::format("{} field{} where the header has {}", with_thousands(fields),
                  fields == 1 ? "" : "s", with_thousands(scan_->expected_fields)),
      "repair the file; or take such rows as they are, short ones filled with missing values: "
      "layout.ragged \"repair\"; or declare layout.delimiter or layout.comment if it was read "
      "wrongly");
  return false;
}

void TextProblems::unreadable_row(std::size_t piece, std::size_t row_begin, RowCutter::Next why) {
  if (why == RowCutter::Next::kTooLong)
    row_error(piece, row_begin, "a row of 4 GB or more begins here",
              "declare layout.delimiter if the file was read wrongly");
  else
    row_error(piece, row_begin, "a quoted field begins here and is never closed",
              "close the quote, or double the quotes inside the field");
}

std::optional<Error> TextProblems::error() const {
  if (fatal_ || errors_.empty()) return fatal_;
  const ErrorItem& first = errors_.front();
  const std::string more = errors_.size() == 1 ? std::string()
                           : errors_.size() < kMostErrors
                               ? fmt::format(" (and {} more)", errors_.size() - 1)
                               : fmt::format(" (and at least {} more)", errors_.size() - 1);
  Error out(
      Code::kUserData,
      fmt::format("{}, line {}, column \"{}\": \"{}\" is {}{}", first.file,
                  with_thousands(*first.line), first.column, first.value, first.message, more),
      "repair the values, declare the column's type (layout.types), or count such values as "
      "missing: on_bad_value \"null\"");
  out.errors = errors_;
  return out;
}

}  // namespace polysome
