// Text to values: which texts are missing, and exact numbers, dates and times. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/json.h"

namespace polysome {

enum class ValueType : std::uint8_t { kInt64, kDouble, kBool, kDate, kTimestamp, kString };
// "int64", "double", "bool", "date", "timestamp", "string"
std::string_view name(ValueType type);
std::optional<ValueType> value_type_from_name(std::string_view name);

// Empty . - na n/a #n/a nan null none #div/0! #value!, whatever the case.
bool is_missing_number(std::string_view trimmed);

// The texts that mean "missing" in one column.
class MissingTexts {
 public:
  MissingTexts() = default;
  // null_values of a layout: absent, a list, or an object by column with "*" for the others.
  MissingTexts(const Json& null_values, const std::string& column);
  // `declared` lists replace the defaults of numbers (above) and texts (empty).
  bool declared() const { return declared_; }
  bool holds(std::string_view text) const { return texts_.contains(text); }

 private:
  bool declared_ = false;
  std::set<std::string, std::less<>> texts_;
};

std::string_view trim(std::string_view text);

// How numbers are written in a file. Thousands stand before the decimals only, in groups of three:
// 1,234,567.8 is a number, 1,23 is not.
struct NumberStyle {
  char decimal = '.';
  char thousands = '\0';  // none
  // Both readers below take what is written without separators, so does anyone quicker.
  bool usual() const { return decimal == '.'; }
};
std::optional<std::int64_t> parse_int64(std::string_view text, NumberStyle style = {});
// The nearest double, exactly rounded; inf and -inf are numbers, nan is not.
std::optional<double> parse_double(std::string_view text, NumberStyle style = {});
std::optional<bool> parse_bool(std::string_view text);               // true, false in any case
std::optional<std::int32_t> parse_date(std::string_view text);       // YYYY-MM-DD: days since 1970
std::optional<std::int64_t> parse_timestamp(std::string_view text);  // microseconds since 1970, UTC
bool valid_utf8(std::string_view text);
bool valid_text(std::string_view text);  // UTF-8 without NUL bytes

}  // namespace polysome
