#include "api/request_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/nearest.h"

namespace polysome::api {
namespace {

template <class T>
std::optional<T> whole_text_as(const std::string& text) {
  T out{};
  const char* last = text.data() + text.size();
  const auto [end, ec] = std::from_chars(text.data(), last, out);
  if (ec != std::errc() || end != last) return std::nullopt;
  return out;
}

}  // namespace

const std::string* QueryReader::find(std::string_view name) const {
  for (const auto& [key, value] : request_.query)
    if (key == name) return &value;
  return nullptr;
}

void QueryReader::refuse(Error error) {
  if (!error_) error_ = std::move(error);
}

Status QueryReader::status() const {
  if (error_) return fail(*error_);
  return {};
}

std::optional<std::string> QueryReader::text(std::string_view name) {
  const auto* value = find(name);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<std::int64_t> QueryReader::integer(std::string_view name, std::int64_t least,
                                                 std::int64_t most) {
  const auto* value = find(name);
  if (value == nullptr) return std::nullopt;
  const auto number = whole_text_as<std::int64_t>(*value);
  if (number && *number >= least && *number <= most) return number;
  refuse(Error(
      Code::kInvalid,
      most == INT64_MAX
          ? fmt::format("{} must be a whole number of at least {}, not \"{}\"", name, least, *value)
          : fmt::format("{} must be a whole number from {} to {}, not \"{}\"", name, least, most,
                        *value)));
  return std::nullopt;
}

std::optional<double> QueryReader::number(std::string_view name, double least, double most) {
  const auto* value = find(name);
  if (value == nullptr) return std::nullopt;
  const auto number = whole_text_as<double>(*value);
  if (number && *number >= least && *number <= most) return number;
  refuse(Error(Code::kInvalid, fmt::format("{} must be a number from {} to {}, not \"{}\"", name,
                                           least, most, *value)));
  return std::nullopt;
}

std::optional<WallTime> QueryReader::time(std::string_view name) {
  const auto* value = find(name);
  if (value == nullptr) return std::nullopt;
  const auto time = parse_time(*value);
  if (!time)
    refuse(Error(Code::kInvalid, fmt::format("{} must be a time, not \"{}\"", name, *value),
                 "write it as 2026-01-31T12:34:56Z"));
  return time;
}

std::optional<std::string> QueryReader::choice(std::string_view name,
                                               const std::vector<std::string>& allowed) {
  const auto* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (std::ranges::find(allowed, *value) != allowed.end()) return *value;
  refuse(Error(Code::kInvalid,
               fmt::format("{} \"{}\" is not known{}", name, *value, did_you_mean(*value, allowed)),
               fmt::format("one of {}", fmt::join(allowed, ", "))));
  return std::nullopt;
}

std::vector<std::string> QueryReader::list(std::string_view name) {
  std::vector<std::string> out;
  const auto* value = find(name);
  if (value == nullptr) return out;
  for (std::size_t at = 0; at <= value->size();) {
    const auto comma = std::min(value->find(',', at), value->size());
    if (comma > at) out.push_back(value->substr(at, comma - at));
    at = comma + 1;
  }
  return out;
}

std::size_t QueryReader::limit(std::size_t usual) {
  return static_cast<std::size_t>(
      integer("limit", 1, kMostListed).value_or(static_cast<std::int64_t>(usual)));
}

std::uint64_t QueryReader::page_offset() {
  std::uint64_t offset = 0;
  const auto token = text("page_token");
  if (!token) return offset;
  const auto [end, ec] = std::from_chars(token->data(), token->data() + token->size(), offset);
  if (ec != std::errc() || end != token->data() + token->size() || token->empty() ||
      offset > UINT32_MAX)
    refuse(Error(Code::kMalformed, "page_token is not one of ours",
                 "take next_page_token of the page before"));
  return offset;
}

double QueryReader::wait() { return number("wait", 0, kMostWaitSeconds).value_or(0); }

Result<Json> read_body(const HttpRequest& request) {
  if (request.body.empty()) return Json::object();
  POLYSOME_ASSIGN(Json body, parse_json(request.body));
  if (!body.is_object())
    return fail(Code::kInvalid, "the body must be a JSON object",
                "{\"name\": value, …}; /docs shows the fields of each route");
  return body;
}

}  // namespace polysome::api
