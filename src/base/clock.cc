#include "base/clock.h"

#include <cstdio>
#include <ctime>

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

std::optional<WallTime> parse_time(std::string_view text) {
  const std::string s(text);
  std::tm tm{};
  double seconds = 0;
  int consumed = 0;
  if (std::sscanf(s.c_str(), "%4d-%2d-%2dT%2d:%2d:%lf%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                  &tm.tm_hour, &tm.tm_min, &seconds, &consumed) != 6)
    return std::nullopt;
  if (s.substr(static_cast<std::size_t>(consumed)) != "Z") return std::nullopt;
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  const std::time_t whole = timegm(&tm);
  return static_cast<WallTime>(whole) * 1000 + static_cast<WallTime>(seconds * 1000 + 0.5);
}

}  // namespace polysome
