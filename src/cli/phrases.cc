#include "cli/phrases.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "cli/terminal.h"

namespace polysome::cli {
namespace {

struct Unit {
  std::string_view name;
  double ms;
};
constexpr std::array kUnits{
    Unit{"ms", 1},     Unit{"s", 1e3},     Unit{"sec", 1e3},    Unit{"m", 60e3},
    Unit{"min", 60e3}, Unit{"h", 3'600e3}, Unit{"d", 86'400e3}, Unit{"w", 604'800e3},
};

const Json* member(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(std::string(key));
  return it == object.end() ? nullptr : &*it;
}

}  // namespace

Result<std::int64_t> parse_duration(std::string_view text) {
  const auto bad = [&] {
    return fail(Code::kInvalid, fmt::format("\"{}\" is not a duration", text),
                "write it as 30s, 100ms, 5m, 1h30m or 1d");
  };
  std::string_view rest = text;
  double total = 0;
  bool any = false;
  while (!rest.empty()) {
    if (rest.front() == ' ') {
      rest.remove_prefix(1);
      continue;
    }
    double value = 0;
    const auto [end, ec] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (ec != std::errc() || !std::isfinite(value) || value < 0) return bad();
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    std::size_t letters = 0;
    while (letters < rest.size() && rest[letters] >= 'a' && rest[letters] <= 'z') ++letters;
    const std::string_view unit = rest.substr(0, letters);
    rest.remove_prefix(letters);
    if (unit.empty()) {
      // A bare number is seconds, alone.
      if (any || !rest.empty()) return bad();
      total = value * 1e3;
    } else {
      const Unit* found = nullptr;
      for (const auto& u : kUnits)
        if (u.name == unit) found = &u;
      if (found == nullptr) return bad();
      total += value * found->ms;
    }
    any = true;
  }
  if (!any || total > 1e15) return bad();
  return static_cast<std::int64_t>(std::llround(total));
}

std::string format_duration(double seconds) {
  if (!(seconds >= 0)) seconds = 0;
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const auto s = static_cast<std::uint64_t>(std::llround(seconds));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  if (s < 86'400) return fmt::format("{} h {:02} min", s / 3600, s % 3600 / 60);
  return fmt::format("{} d {} h", s / 86'400, s % 86'400 / 3600);
}

std::string format_remaining(double seconds) {
  if (seconds < 1) return "about 1 s";
  if (seconds < 10) return fmt::format("about {:.0f} s", std::ceil(seconds));
  if (seconds < 55) return fmt::format("about {:.0f} s", std::ceil(seconds / 5) * 5);
  if (seconds < 3300) return fmt::format("about {:.0f} min", std::ceil(seconds / 60));
  if (seconds < 82'800) {
    const auto quarters = static_cast<std::uint64_t>(std::ceil(seconds / 900));
    return quarters % 4 == 0 ? fmt::format("about {} h", quarters / 4)
                             : fmt::format("about {} h {} min", quarters / 4, quarters % 4 * 15);
  }
  return fmt::format("about {:.0f} d", std::ceil(seconds / 86'400));
}

std::string format_age(WallTime then, WallTime now) {
  const std::int64_t s = (now - then) / 1000;
  if (s < 2) return "just now";
  if (s < 90) return fmt::format("{} s ago", s);
  if (s < 90 * 60) return fmt::format("{} min ago", s / 60);
  if (s < 36 * 3600) return fmt::format("{} h ago", s / 3600);
  return fmt::format("{} d ago", s / 86'400);
}

std::string format_count(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

std::string counted(std::uint64_t n, std::string_view noun) {
  return fmt::format("{} {}{}", format_count(n), noun, n == 1 ? "" : "s");
}

std::string format_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  if (value == std::trunc(value) && std::abs(value) < 1e15)
    return fmt::format("{:.0f}", value == 0 ? 0.0 : value);
  const double size = std::abs(value);
  if (size >= 1e5 && size < 1e15) return fmt::format("{:.1f}", value);
  return fmt::format("{:.6g}", value);
}

std::string cell_text(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return {};
    case Json::value_t::string: return printable(value.get_ref<const std::string&>());
    case Json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    case Json::value_t::number_float: return format_number(value.get<double>());
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned: return dump(value);
    default: return printable(dump(value));
  }
}

std::string text_of(const Json& object, std::string_view key, std::string_view otherwise) {
  const Json* m = member(object, key);
  if (m == nullptr || m->is_null()) return std::string(otherwise);
  return m->is_string() ? m->get<std::string>() : dump(*m);
}

double number_of(const Json& object, std::string_view key, double otherwise) {
  const Json* m = member(object, key);
  return m != nullptr && m->is_number() ? m->get<double>() : otherwise;
}

std::uint64_t whole_of(const Json& object, std::string_view key, std::uint64_t otherwise) {
  const Json* m = member(object, key);
  if (m == nullptr || !m->is_number() || m->get<double>() < 0) return otherwise;
  return m->is_number_integer() ? m->get<std::uint64_t>()
                                : static_cast<std::uint64_t>(m->get<double>());
}

const Json& list_of(const Json& object, std::string_view key) {
  static const Json none = Json::array();
  const Json* m = member(object, key);
  return m != nullptr && m->is_array() ? *m : none;
}

const Json& object_of(const Json& object, std::string_view key) {
  static const Json none = Json::object();
  const Json* m = member(object, key);
  return m != nullptr && m->is_object() ? *m : none;
}

std::string short_id(std::string_view job_id) {
  return std::string(job_id.size() > 8 ? job_id.substr(job_id.size() - 8) : job_id);
}

}  // namespace polysome::cli
