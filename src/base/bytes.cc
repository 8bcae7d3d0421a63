#include "base/bytes.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace polysome {
namespace {

struct Unit {
  std::string_view name;  // lower case
  double factor;
};
constexpr std::array kUnits{
    Unit{"", 1},
    Unit{"b", 1},
    Unit{"k", 1e3},
    Unit{"kb", 1e3},
    Unit{"m", 1e6},
    Unit{"mb", 1e6},
    Unit{"g", 1e9},
    Unit{"gb", 1e9},
    Unit{"t", 1e12},
    Unit{"tb", 1e12},
    Unit{"p", 1e15},
    Unit{"pb", 1e15},
    Unit{"ki", 1024.},
    Unit{"kib", 1024.},
    Unit{"mi", 1048576.},
    Unit{"mib", 1048576.},
    Unit{"gi", 1073741824.},
    Unit{"gib", 1073741824.},
    Unit{"ti", 1099511627776.},
    Unit{"tib", 1099511627776.},
};

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text) {
  const auto bad = [&] {
    return fail(Code::kInvalid, "\"" + std::string(text) + "\" is not a size",
                "write it as 2GB, 512MiB or a number of bytes");
  };
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  double value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || !(value >= 0) || !std::isfinite(value)) return bad();
  std::string unit;
  for (const char* p = end; p != text.data() + text.size(); ++p)
    if (!std::isspace(static_cast<unsigned char>(*p)))
      unit.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(*p))));
  for (const auto& u : kUnits) {
    if (u.name != unit) continue;
    const double bytes = std::round(value * u.factor);
    if (bytes > 9e18) return bad();
    return static_cast<std::uint64_t>(bytes);
  }
  return bad();
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array<std::string_view, 6> kNames{"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kNames.size()) {
    value /= 1000;
    ++unit;
  }
  const int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  char buf[48];
  std::snprintf(buf, sizeof buf, "%.*f", decimals, value);
  std::string out = buf;
  if (out.find('.') != std::string::npos) {
    while (out.back() == '0') out.pop_back();
    if (out.back() == '.') out.pop_back();
  }
  return out + std::string(kNames[unit]);
}

}  // namespace polysome
