#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace polysome::cli {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kEllipsis = "…";

struct Glyph {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

Glyph next_glyph(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  const std::size_t n = first >= 0xF0 && first < 0xF5   ? 4
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xC2 && first < 0xE0 ? 2
                                                        : 0;
  if (n == 0 || s.size() < n) return {first, 1, false};
  char32_t code = first & (0xFFU >> (n + 1));
  for (std::size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {first, 1, false};
    code = (code << 6) | (byte(i) & 0x3FU);
  }
  const bool overlong = (n == 3 && code < 0x800) || (n == 4 && code < 0x10000);
  if (overlong || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return {first, 1, false};
  return {code, n, true};
}

bool in(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

bool is_combining(char32_t c) {
  return in(c, 0x300, 0x36F) || in(c, 0x1AB0, 0x1AFF) || in(c, 0x1DC0, 0x1DFF) ||
         in(c, 0x200B, 0x200F) || in(c, 0x202A, 0x202E) || in(c, 0x2060, 0x206F) ||
         in(c, 0x20D0, 0x20FF) || in(c, 0xFE00, 0xFE0F) || in(c, 0xFE20, 0xFE2F) || c == 0xFEFF;
}

bool is_wide(char32_t c) {
  return in(c, 0x1100, 0x115F) || in(c, 0x2E80, 0x303E) || in(c, 0x3041, 0xA4CF) ||
         in(c, 0xAC00, 0xD7A3) || in(c, 0xF900, 0xFAFF) || in(c, 0xFE30, 0xFE6F) ||
         in(c, 0xFF00, 0xFF60) || in(c, 0xFFE0, 0xFFE6) || in(c, 0x1F300, 0x1F64F) ||
         in(c, 0x1F900, 0x1F9FF) || in(c, 0x20000, 0x3FFFD);
}

// Control characters, and those that would change the direction of what follows.
bool is_control(char32_t c) {
  return c < 0x20 || in(c, 0x7F, 0x9F) || in(c, 0x202A, 0x202E) || in(c, 0x2066, 0x2069);
}

int width_of(const Glyph& g) {
  if (!g.valid) return 1;
  if (is_combining(g.code)) return 0;
  return is_wide(g.code) ? 2 : 1;
}

int asked_width() {
  if (const char* columns = std::getenv("COLUMNS")) {
    const int n = std::atoi(columns);
    if (n >= 20 && n <= 10'000) return n;
  }
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    winsize size{};
    if (::isatty(fd) == 1 && ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
      return size.ws_col;
  }
  return 80;
}

int asked_height() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) == 1 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
      size.ws_row >= 5)
    return size.ws_row;
  return 24;
}

}  // namespace

Terminal Terminal::look() {
  Terminal t;
  t.out = ::isatty(STDOUT_FILENO) == 1;
  t.err = ::isatty(STDERR_FILENO) == 1;
  t.width = asked_width();
  t.height = asked_height();
  const char* no_colour = std::getenv("NO_COLOR");
  const char* kind = std::getenv("TERM");
  const bool may = (no_colour == nullptr || *no_colour == '\0') &&
                   !(kind != nullptr && std::string_view(kind) == "dumb");
  t.colour_out = t.out && may;
  t.colour_err = t.err && may;
  return t;
}

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Glyph g = next_glyph(text);
    width += width_of(g);
    text.remove_prefix(g.bytes);
  }
  return width;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Glyph g = next_glyph(text);
    if (g.valid && (g.code == '\n' || g.code == '\t' || g.code == '\r'))
      out += ' ';
    else if (!g.valid || is_control(g.code))
      out += kReplacement;
    else
      out += text.substr(0, g.bytes);
    text.remove_prefix(g.bytes);
  }
  return out;
}

std::string cut(std::string_view text, int width) {
  if (display_width(text) <= width) return std::string(text);
  if (width <= 0) return {};
  std::string out;
  int used = 0;
  while (!text.empty()) {
    const Glyph g = next_glyph(text);
    const int w = width_of(g);
    if (used + w > width - 1) break;
    out += text.substr(0, g.bytes);
    used += w;
    text.remove_prefix(g.bytes);
  }
  return out.append(kEllipsis);
}

std::vector<std::string> wrap(std::string_view text, int width) {
  std::vector<std::string> out(1);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const std::string word(text.substr(at, end - at));
    const int used = display_width(out.back());
    if (used > 0 && used + 1 + display_width(word) > width) out.emplace_back();
    if (!out.back().empty() && !word.empty()) out.back() += ' ';
    out.back() += word;
    if (end < text.size() && text[end] == '\n') out.emplace_back();
    at = end + 1;
  }
  return out;
}

std::vector<std::string> fit(std::string_view line, int width) {
  if (width <= 0 || display_width(line) <= width) return {std::string(line)};
  const std::size_t begin = std::min(line.find_first_not_of(' '), line.size());
  std::size_t column = begin;
  int hang = static_cast<int>(begin) + 2;
  const std::size_t gap = line.find("  ", begin);
  if (gap != std::string_view::npos) {
    const std::size_t after = line.find_first_not_of(' ', gap);
    if (after != std::string_view::npos && display_width(line.substr(0, after)) * 3 < width * 2) {
      column = after;
      hang = display_width(line.substr(0, after));
    }
  }
  std::vector<std::string> out;
  for (const auto& part : wrap(line.substr(column), std::max(10, width - hang)))
    out.push_back((out.empty() ? std::string(line.substr(0, column))
                               : std::string(static_cast<std::size_t>(hang), ' ')) +
                  part);
  return out;
}

std::string pad_right(std::string_view text, int width) {
  const int missing = std::max(0, width - display_width(text));
  return std::string(text) + std::string(static_cast<std::size_t>(missing), ' ');
}

std::string pad_left(std::string_view text, int width) {
  const int missing = std::max(0, width - display_width(text));
  return std::string(static_cast<std::size_t>(missing), ' ') + std::string(text);
}

std::string paint(bool on, Paint how, std::string_view text) {
  if (!on || text.empty()) return std::string(text);
  static constexpr std::array<std::string_view, 6> kCodes{"1", "2", "31", "32", "33", "34"};
  std::string out = "\x1b[";
  out += kCodes[static_cast<std::size_t>(how)];
  out += 'm';
  out += text;
  out += "\x1b[0m";
  return out;
}

}  // namespace polysome::cli
