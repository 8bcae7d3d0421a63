#include "data/type_guess.h"

#include <array>
#include <cstring>

#include "kernels/number_text.h"

namespace polysome {
namespace {

// 007 is an identifier: as a number it would lose its zeros.
bool leading_zero(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return text.size() > 1 && text.front() == '0' && text[1] >= '0' && text[1] <= '9';
}

enum class Usual : std::uint8_t { kOther, kWhole, kDouble };

// The usual forms of numbers, told quickly.
Usual usual_number(std::string_view text) {
  constexpr std::size_t kMost = number_text::kMostLetters;
  if (text.empty() || text.size() > kMost || leading_zero(text)) return Usual::kOther;
  std::array<char, 2 * kMost> room{};
  char* const begin = room.data() + kMost;
  std::memcpy(begin, text.data(), text.size());
  std::int64_t whole = 0;
  if (quick_int64(begin, begin + text.size(), room.data(), &whole)) return Usual::kWhole;
  double number = 0;
  return quick_double(begin, begin + text.size(), room.data(), &number) ? Usual::kDouble
                                                                        : Usual::kOther;
}

}  // namespace

void TypeGuess::see(std::string_view raw, NumberStyle style, const MissingTexts& missing) {
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
