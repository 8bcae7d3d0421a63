#include "base/clock.h"

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>

namespace polysome {

WallTime wall_now() {
  return std::chrono::duration_cast<Millis>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

MonoTime mono_now() {
  return std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string format_time(WallTime t) {
  std::int64_t seconds = t / 1000;
  std::int64_t millis = t % 1000;
  if (millis < 0) {
    millis += 1000;
    --seconds;
  }
  const std::time_t raw = seconds;
  std::tm tm{};
  gmtime_r(&raw, &tm);
  char buf[80];
  std::snprintf(buf, sizeof buf, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                static_cast<int>(millis));
  return buf;
}

// RFC 3339: 2026-01-31T12:34:56Z, with a fraction, with Z or an offset such as +01:00.
std::optional<WallTime> parse_time(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  if (text.size() <= kShape.size()) return std::nullopt;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t i = 0; i < kShape.size(); ++i)
    if (kShape[i] == '0' ? !is_digit(text[i]) : text[i] != kShape[i]) return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t digits) {
    int out = 0;
    for (std::size_t i = at; i < at + digits; ++i) out = out * 10 + (text[i] - '0');
    return out;
  };
  std::tm tm{};
  tm.tm_year = number(0, 4) - 1900;
  tm.tm_mon = number(5, 2) - 1;
  tm.tm_mday = number(8, 2);
  tm.tm_hour = number(11, 2);
  tm.tm_min = number(14, 2);
  tm.tm_sec = number(17, 2);
  const std::tm given = tm;
  const std::time_t seconds = timegm(&tm);
  // What timegm had to put right (month 13, 30 February) is no time.
  if (tm.tm_year != given.tm_year || tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday ||
      tm.tm_hour != given.tm_hour || tm.tm_min != given.tm_min || tm.tm_sec != given.tm_sec)
    return std::nullopt;
  std::size_t at = kShape.size();
  std::int64_t millis = 0;
  if (text[at] == '.') {
    const std::size_t begin = ++at;
    for (; at < text.size() && is_digit(text[at]); ++at)
      if (at - begin < 3) millis = millis * 10 + (text[at] - '0');
    if (at == begin) return std::nullopt;
    for (std::size_t i = at - begin; i < 3; ++i) millis *= 10;
  }
  const std::string_view zone = text.substr(at);
  std::int64_t offset = 0;
  if (zone != "Z") {
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':')
      return std::nullopt;
    for (const std::size_t i : {1, 2, 4, 5})
      if (!is_digit(zone[i])) return std::nullopt;
    const int hours = number(at + 1, 2), minutes = number(at + 4, 2);
    if (hours > 23 || minutes > 59) return std::nullopt;
    offset = (zone[0] == '+' ? 1 : -1) * (hours * 3600LL + minutes * 60LL);
  }
  return (static_cast<WallTime>(seconds) - offset) * 1000 + millis;
}

}  // namespace polysome
