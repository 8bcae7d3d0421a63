#include "operations/row_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "model/json.h"

namespace polysome {
namespace {

constexpr std::int64_t kExact = std::int64_t{1} << 53;
constexpr std::size_t kNumberRoom = 64;

// Whether a JSON string may hold it as it is; others are left to the JSON writer.
bool plain_json(std::string_view text) {
  return std::ranges::all_of(
      text, [](unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; });
}

bool plain_csv(std::string_view text) {
  return std::ranges::none_of(
      text, [](char c) { return c == ',' || c == '"' || c == '\n' || c == '\r'; });
}

}  // namespace

RowText::RowText(Format format, const std::vector<std::string>& names)
    : format_(format), names_(names) {
  if (format == Format::kCsv) return;
  for (const auto& name : names)
    keys_.push_back((keys_.empty() ? "{" : ",") + dump(Json(name)) + ":");
}

void RowText::header() {
  if (format_ != Format::kCsv) return;
  for (const auto& name : names_) text(name);
  end_row();
}

void RowText::begin_cell() {
  if (format_ == Format::kNdjson)
    buffer_ += keys_[column_];
  else if (column_ > 0)
    buffer_ += ',';
  ++column_;
}

void RowText::missing() {
  begin_cell();
  if (format_ == Format::kNdjson) buffer_ += "null";
}

void RowText::boolean(bool value) {
  begin_cell();
  buffer_ += value ? "true" : "false";
}

void RowText::whole(std::int64_t value) {
  begin_cell();
  char room[kNumberRoom];
  const char* const end = std::to_chars(room, room + sizeof room, value).ptr;
  const std::string_view digits(room, static_cast<std::size_t>(end - room));
  if (format_ == Format::kNdjson && (value > kExact || value < -kExact)) return quoted(digits);
  buffer_ += digits;
}

void RowText::whole(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (ec == std::errc() && end == digits.data() + digits.size()) return whole(value);
  text(digits);
}

void RowText::real(double value) {
  if (!std::isfinite(value))
    return text(std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
  begin_cell();
  char room[kNumberRoom];
  const char* const end = nlohmann::detail::to_chars(room, room + sizeof room, value);
  buffer_.append(room, static_cast<std::size_t>(end - room));
}

void RowText::text(std::string_view value) {
  begin_cell();
  if (format_ == Format::kNdjson) {
    if (plain_json(value)) return quoted(value);
    buffer_ += dump(Json(value));
    return;
  }
  if (plain_csv(value)) {
    buffer_ += value;
    return;
  }
  buffer_ += '"';
  for (const char c : value) {
    if (c == '"') buffer_ += '"';
    buffer_ += c;
  }
  buffer_ += '"';
}

void RowText::quoted(std::string_view value) {
  buffer_ += '"';
  buffer_ += value;
  buffer_ += '"';
}

void RowText::end_row() {
  if (format_ == Format::kNdjson) buffer_ += keys_.empty() ? "{}" : "}";
  buffer_ += '\n';
  column_ = 0;
}

}  // namespace polysome
