#include "data/type_guess.h"

#include "kernels/number_text.h"

namespace polysome {
namespace {

// 007 is an identifier: as a number it would lose its zeros.
bool leading_zero(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return text.size() > 1 && text.front() == '0' && text[1] >= '0' && text[1] <= '9';
}

enum class Usual : std::uint8_t { kOther, kWhole, kDouble };

// The usual forms of numbers, told without working them out: a sign at most, digits, one point. All
// of them are numbers to the readers of values, and whole ones fit into 64 bits.
Usual usual_number(std::string_view text) {
  if (text.empty() || text.size() > number_text::kMostLetters) return Usual::kOther;
  const char* p = text.data();
  const char* const end = p + text.size();
  if (*p == '-') ++p;
  if (end - p > 1 && *p == '0' && p[1] >= '0' && p[1] <= '9')
    return Usual::kOther;  // an identifier
  std::size_t digits = 0, points = 0;
  for (; p != end; ++p) {
    const bool digit = static_cast<unsigned char>(*p - '0') < 10;
    if (!digit && *p != '.') return Usual::kOther;
    digits += digit ? 1 : 0;
    points += digit ? 0 : 1;
  }
  if (digits == 0 || points > 1) return Usual::kOther;
  return points == 0 ? Usual::kWhole : Usual::kDouble;
}

}  // namespace

void TypeGuess::see(std::string_view raw, NumberStyle style, const MissingTexts& missing) {
  if (settled()) return;
  if (style.usual() && !missing.declared()) {
    const Usual usual = usual_number(raw);
    if (usual != Usual::kOther) {
      any_ = true;
      text_missing_ = bool_ = date_ = timestamp_ = false;
      int64_ = int64_ && usual == Usual::kWhole;
      comma_decimals_ = comma_decimals_ && usual == Usual::kWhole;
      return;
    }
  }
  const auto text = trim(raw);
  if (missing.declared() ? missing.holds(text) || missing.holds(raw) : is_missing_number(text))
    return;
  text_missing_ = false;
  any_ = true;
  if (int64_) int64_ = parse_int64(text, style).has_value() && !leading_zero(text);
  if (double_ && !int64_) double_ = parse_double(text, style).has_value() && !leading_zero(text);
  if (!int64_ && !double_ && (comma_decimals_ || comma_thousands_)) {
    const auto is_number = [&](NumberStyle as) {
      return parse_double(text, as).has_value() && !leading_zero(text);
    };
    comma_met_ = comma_met_ || text.find(',') != std::string_view::npos;
    if (comma_decimals_) comma_decimals_ = is_number({',', '.'});
    if (comma_thousands_) comma_thousands_ = is_number({'.', ','});
  }
  if (bool_) bool_ = parse_bool(text).has_value();
  if (date_) date_ = parse_date(text).has_value();
  if (timestamp_) timestamp_ = parse_timestamp(text).has_value();
}

ValueType TypeGuess::type(bool whole) const {
  if (!any_) return whole && text_missing_ ? ValueType::kDouble : ValueType::kString;
  if (int64_) return ValueType::kInt64;
  if (double_) return ValueType::kDouble;
  if (bool_) return ValueType::kBool;
  if (date_) return ValueType::kDate;
  if (timestamp_) return ValueType::kTimestamp;
  return ValueType::kString;
}

}  // namespace polysome
