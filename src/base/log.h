// The program's log: one line an entry on stderr, as text or JSON. Any thread. Never holds data
// values or credentials.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace polysome::log {

enum class Format { kText, kJson };
enum class Level { kDebug, kInfo, kWarning, kError };

void configure(Format format, Level least);
void write(Level level, std::string_view text);

template <class... Args>
void info(fmt::format_string<Args...> f, Args&&... args) {
  write(Level::kInfo, fmt::format(f, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> f, Args&&... args) {
  write(Level::kWarning, fmt::format(f, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> f, Args&&... args) {
  write(Level::kError, fmt::format(f, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> f, Args&&... args) {
  write(Level::kDebug, fmt::format(f, std::forward<Args>(args)...));
}

}  // namespace polysome::log
