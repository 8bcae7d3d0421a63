#include "api/request_target.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace polysome::api {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Well-formed UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, at most U+10FFFF.
bool is_utf8(std::string_view s) {
  std::size_t i = 0;
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(s[at]); };
  while (i < s.size()) {
    const unsigned char first = byte(i);
    const std::size_t more = first < 0x80   ? 0
                             : first < 0xC2 ? 9
                             : first < 0xE0 ? 1
                             : first < 0xF0 ? 2
                             : first < 0xF5 ? 3
                                            : 9;
    if (more == 9 || i + more >= s.size()) return false;
    for (std::size_t k = 1; k <= more; ++k)
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    if ((first == 0xE0 && byte(i + 1) < 0xA0) || (first == 0xED && byte(i + 1) > 0x9F) ||
        (first == 0xF0 && byte(i + 1) < 0x90) || (first == 0xF4 && byte(i + 1) > 0x8F))
      return false;
    i += more + 1;
  }
  return true;
}

Result<std::string> decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) c = ' ';
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return fail(Code::kMalformed,
                    fmt::format("the address holds a broken escape: \"{}\"", text.substr(i, 3)),
                    "a % itself is written %25");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return fail(Code::kMalformed, "the address holds a NUL character");
    out.push_back(c);
  }
  if (!is_utf8(out))
    return fail(Code::kMalformed, "the address is not UTF-8",
                "escape other bytes as %XX of their UTF-8 form");
  return out;
}

}  // namespace

Status parse_target(HttpRequest* request) {
  std::string_view target = request->target;
  const auto mark = target.find('?');
  std::string_view path = target.substr(0, mark);
  std::string_view query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  if (!path.starts_with('/')) return fail(Code::kMalformed, "the path does not begin with /");
  path.remove_prefix(1);
  while (!path.empty()) {
    const auto slash = path.find('/');
    POLYSOME_ASSIGN(std::string segment, decode(path.substr(0, slash), false));
    request->segments.push_back(std::move(segment));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
    if (path.empty()) request->segments.emplace_back();  // a trailing slash names something else
  }
  while (!query.empty()) {
    const auto end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    if (!pair.empty()) {
      const auto equals = pair.find('=');
      POLYSOME_ASSIGN(std::string key, decode(pair.substr(0, equals), true));
      POLYSOME_ASSIGN(
          std::string value,
          decode(equals == std::string_view::npos ? "" : pair.substr(equals + 1), true));
      request->query.emplace_back(std::move(key), std::move(value));
    }
    if (end == std::string_view::npos) break;
    query.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace polysome::api
