#include "data/values.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

namespace polysome {
namespace {

constexpr std::array<std::pair<ValueType, std::string_view>, 6> kTypes{{
    {ValueType::kInt64, "int64"},
    {ValueType::kDouble, "double"},
    {ValueType::kBool, "bool"},
    {ValueType::kDate, "date"},
    {ValueType::kTimestamp, "timestamp"},
    {ValueType::kString, "string"},
}};
constexpr std::array<std::string_view, 10> kMissing{".",   "-",    "na",   "n/a",     "#n/a",
                                                    "nan", "null", "none", "#div/0!", "#value!"};

bool same_ignoring_case(std::string_view a, std::string_view lower) {
  if (a.size() != lower.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(a[i])) != lower[i]) return false;
  return true;
}

// `n` digits at `at`; -1 when they are not.
int digits(std::string_view text, std::size_t at, std::size_t n) {
  if (at + n > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + n; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

}  // namespace

std::string_view name(ValueType type) {
  for (const auto& [k, v] : kTypes)
    if (k == type) return v;
  return "string";
}

std::optional<ValueType> value_type_from_name(std::string_view name) {
  for (const auto& [k, v] : kTypes)
    if (v == name) return k;
  return std::nullopt;
}

bool is_missing_number(std::string_view text) {
  if (text.empty()) return true;
  if (text.size() > 8) return false;
  return std::ranges::any_of(kMissing, [&](auto m) { return same_ignoring_case(text, m); });
}

MissingTexts::MissingTexts(const Json& null_values, const std::string& column) {
  const Json* list = nullptr;
  if (null_values.is_array()) list = &null_values;
  if (null_values.is_object()) {
    if (const auto it = null_values.find(column); it != null_values.end())
      list = &*it;
    else if (const auto any = null_values.find("*"); any != null_values.end())
      list = &*any;
  }
  if (list == nullptr || !list->is_array()) return;
  declared_ = true;
  for (const auto& v : *list)
    if (v.is_string()) texts_.insert(v.get<std::string>());
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

namespace {

// Takes the separators out of `text` into `plain`; false: they do not stand where thousands end.
bool without_thousands(std::string_view text, NumberStyle style, std::string* plain) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  plain->assign(text.substr(0, i));
  std::size_t digits = 0;  // since the last separator
  bool any = false;
  for (; i < text.size() && (is_digit(text[i]) || text[i] == style.thousands); ++i) {
    if (text[i] == style.thousands) {
      if (digits == 0 || digits > 3 || (any && digits != 3)) return false;
      any = true;
      digits = 0;
    } else {
      plain->push_back(text[i]);
      ++digits;
    }
  }
  if (any && digits != 3) return false;
  plain->append(text.substr(i));
  return text.find(style.thousands, i) == std::string_view::npos;
}

}  // namespace

std::optional<std::int64_t> parse_int64(std::string_view text, NumberStyle style) {
  std::string plain;
  if (style.thousands != '\0' && text.find(style.thousands) != std::string_view::npos) {
    if (!without_thousands(text, style, &plain)) return std::nullopt;
    text = plain;
  }
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<double> parse_double(std::string_view text, NumberStyle style) {
  std::string plain, rewritten;
  if (style.thousands != '\0' && text.find(style.thousands) != std::string_view::npos) {
    if (!without_thousands(text, style, &plain)) return std::nullopt;
    text = plain;
  }
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  if (style.decimal != '.') {
    if (text.find('.') != std::string_view::npos) return std::nullopt;
    rewritten = text;
    std::ranges::replace(rewritten, style.decimal, '.');
    text = rewritten;
  }
  double value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (ec == std::errc::result_out_of_range) {
    // Too large is an infinity, too small a zero, as every reader of numbers has it; from_chars
    // leaves the value untouched, the exponent's sign tells which.
    const auto e = text.find_first_of("eE");
    const bool tiny = e != std::string_view::npos && e + 1 < text.size() && text[e + 1] == '-';
    const bool negative = text.front() == '-';
    if (!tiny) return negative ? -HUGE_VAL : HUGE_VAL;
    return negative ? -0.0 : 0.0;
  }
  if (ec != std::errc() || std::isnan(value)) return std::nullopt;
  return value;
}

std::optional<bool> parse_bool(std::string_view text) {
  if (same_ignoring_case(text, "true")) return true;
  if (same_ignoring_case(text, "false")) return false;
  return std::nullopt;
}

std::optional<std::int32_t> parse_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const int y = digits(text, 0, 4), m = digits(text, 5, 2), d = digits(text, 8, 2);
  if (y < 0 || m < 1 || d < 1) return std::nullopt;
  const std::chrono::year_month_day day{std::chrono::year(y),
                                        std::chrono::month(static_cast<unsigned>(m)),
                                        std::chrono::day(static_cast<unsigned>(d))};
  if (!day.ok()) return std::nullopt;
  return static_cast<std::int32_t>(std::chrono::sys_days(day).time_since_epoch().count());
}

namespace {

// Of a time behind UTC's: +02:00, +0200, +02.
std::optional<int> offset_minutes(std::string_view text) {
  if (text.size() < 3 || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const int hours = digits(text, 1, 2);
  std::string_view rest = text.substr(3);
  if (rest.starts_with(':')) rest.remove_prefix(1);
  const int minutes = rest.empty() && text.size() == 3 ? 0 : digits(rest, 0, 2);
  if (hours < 0 || hours > 15 || minutes < 0 || minutes > 59 || rest.size() > 2)
    return std::nullopt;
  return (text[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
}

}  // namespace

std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  if (text.size() < 16 || (text[10] != ' ' && text[10] != 'T') || text[13] != ':')
    return std::nullopt;
  const auto day = parse_date(text.substr(0, 10));
  const int hour = digits(text, 11, 2), minute = digits(text, 14, 2);
  if (!day || hour < 0 || hour > 23 || minute < 0 || minute > 59) return std::nullopt;
  std::int64_t micros =
      (static_cast<std::int64_t>(*day) * 86400 + hour * 3600 + minute * 60) * 1'000'000;
  std::string_view rest = text.substr(16);
  if (!rest.empty() && rest.front() == ':') {
    const int second = digits(rest, 1, 2);
    if (second < 0 || second > 59) return std::nullopt;
    micros += static_cast<std::int64_t>(second) * 1'000'000;
    rest.remove_prefix(3);
    if (!rest.empty() && rest.front() == '.') {
      rest.remove_prefix(1);
      std::int64_t scale = 100'000;
      bool any = false;
      while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
        micros += (rest.front() - '0') * scale;
        scale /= 10;
        rest.remove_prefix(1);
        any = true;
      }
      if (!any) return std::nullopt;
    }
  }
  if (rest.empty() || rest == "Z") return micros;
  const auto offset = offset_minutes(rest);
  if (!offset) return std::nullopt;
  return micros - std::int64_t{*offset} * 60'000'000;
}

bool valid_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (p != end) {
    if (*p < 0x80) {
      ++p;
      continue;
    }
    const int n = (*p & 0xe0) == 0xc0 ? 1 : (*p & 0xf0) == 0xe0 ? 2 : (*p & 0xf8) == 0xf0 ? 3 : 0;
    if (n == 0 || end - p <= n) return false;
    std::uint32_t code = *p & (0x3f >> n);
    for (int i = 1; i <= n; ++i) {
      if ((p[i] & 0xc0) != 0x80) return false;
      code = code << 6 | (p[i] & 0x3f);
    }
    constexpr std::array<std::uint32_t, 4> kLeast{0, 0x80, 0x800, 0x10000};
    if (code < kLeast[static_cast<std::size_t>(n)] || code > 0x10ffff ||
        (code >= 0xd800 && code < 0xe000))
      return false;
    p += n + 1;
  }
  return true;
}

bool valid_text(std::string_view text) {
  // Most texts are ASCII: eight letters at a time.
  constexpr std::uint64_t kOnes = 0x0101010101010101, kTops = 0x8080808080808080;
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t w = 0;
    std::memcpy(&w, text.data() + i, sizeof w);
    if (((w | (w - kOnes)) & kTops) != 0) break;
  }
  for (; i < text.size(); ++i)
    if (static_cast<signed char>(text[i]) <= 0)
      return valid_utf8(text) && text.find('\0') == std::string_view::npos;
  return true;
}

}  // namespace polysome
