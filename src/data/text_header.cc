#include "data/text_header.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cctype>
#include <unordered_set>

#include "data/text_sniff.h"
#include "data/text_source.h"
#include "data/values.h"

namespace polysome {
namespace {

bool is_number(std::string_view text, NumberStyle style) {
  return parse_double(trim(text), style).has_value();
}

std::string in_lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

namespace {

// Whether no name is empty and surely none stands twice, whatever the case: told by their hashes,
// as wide tables have tens of thousands.
bool surely_unique(const std::vector<std::string>& names) {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(names.size());
  std::string lower;
  for (const auto& name : names) {
    if (name.empty()) return false;
    lower.assign(name);
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    hashes.push_back(XXH3_64bits(lower.data(), lower.size()));
  }
  std::ranges::sort(hashes);
  return std::ranges::adjacent_find(hashes) == hashes.end();
}

}  // namespace

void make_unique_names(std::vector<std::string>* names, Json* warnings) {
  if (surely_unique(*names)) return;
  std::unordered_set<std::string> used;
  used.reserve(names->size());
  std::size_t repeated = 0, empty = 0;
  for (std::size_t i = 0; i < names->size(); ++i) {
    std::string& name = (*names)[i];
    if (name.empty()) {
      name = fmt::format("column_{}", i + 1);
      ++empty;
    }
    // SQL does not tell names apart by case: Abc and ABC would be read as one.
    if (used.insert(in_lower_case(name)).second) continue;
    const std::string base = name;
    for (int n = 1; !used.insert(in_lower_case(name)).second; ++n)
      name = fmt::format("{}_{}", base, n);
    ++repeated;
  }
  if (repeated > 0)
    warn(warnings, "repeated_column_names", repeated,
         fmt::format("{} column name{} stood there before; a number was added", repeated,
                     repeated == 1 ? "" : "s"));
  if (empty > 0)
    warn(warnings, "empty_column_names", empty,
         fmt::format("{} column{} had no name and got column_N", empty, empty == 1 ? "" : "s"));
}

void warn(Json* warnings, const char* code, std::size_t count, std::string message) {
  warnings->push_back({{"code", code}, {"count", count}, {"message", std::move(message)}});
}

Result<Header> read_header(std::string_view text, std::size_t at, TextShape shape,
                           const Json& layout, const std::string& label, bool whole) {
  RowScanner rows(text, at, shape);
  if (rows.next_row() >= text.size())
    return fail(Code::kUserData, fmt::format("{} is empty", label),
                "it needs at least a header line");
  if (!rows.read_row())
    return fail(Code::kUserData,
                fmt::format("{}: the header's quoted field is never closed", label));
  Header out;
  std::string buffer;
  const auto first_row_at = static_cast<std::size_t>(rows.fields().front().begin - text.data());
  bool all_numbers = true;
  for (const auto& f : rows.fields()) {
    const auto name = field_text(f, shape.quote, &buffer);
    if (!valid_utf8(name) || name.find('\0') != std::string_view::npos)
      return fail(Code::kUserData, fmt::format("{}: the header is not text in UTF-8", label),
                  "is this a delimited text file? Give its format, or convert it to UTF-8");
    if (!f.quoted && name.find('\r') != std::string_view::npos)
      return fail(Code::kUserData,
                  fmt::format("{}: the header's line ends with a carriage return alone", label),
                  "write line feeds: tr '\\r' '\\n' < old > new");
    all_numbers = all_numbers && is_number(name, number_style_of(layout));
    out.names.emplace_back(name);
  }
  out.present = layout.contains("header") ? layout["header"].get<bool>() : !all_numbers;
  out.fields = out.names.size();
  if (!out.present) {
    out.data_offset = first_row_at;
    for (std::size_t i = 0; i < out.names.size(); ++i)
      out.names[i] = fmt::format("column_{}", i + 1);
    return out;
  }
  out.data_offset = rows.next_row();
  // R's row names: the header is one field shorter than the rows.
  if (rows.next_row() < text.size()) {
    std::size_t rows_seen = 0, longer = 0;
    while (rows_seen < kSniffRows && rows.next_row() < text.size()) {
      if (!rows.read_row()) break;
      if (rows.next_row() >= text.size() && !whole && rows_seen > 0) break;
      ++rows_seen;
      longer += rows.fields().size() == out.names.size() + 1 ? 1 : 0;
    }
    if (rows_seen > 0 && longer == rows_seen) {
      out.names.insert(out.names.begin(), "row_name");
      ++out.fields;
    }
  }
  out.first_unnamed = out.names.front().empty();
  make_unique_names(&out.names, &out.warnings);
  return out;
}

Result<Header> read_gct_header(std::string_view text, const GctHead& head, TextShape shape,
                               const std::string& label) {
  POLYSOME_ASSIGN(Header out,
                  read_header(text, head.header_at, shape, {{"header", true}}, label, true));
  out.data_offset = head.data_at;
  if (!head.sample_lines.empty()) {
    std::string some;
    for (std::size_t i = 0; i < head.sample_lines.size() && i < 5; ++i)
      some += (i > 0 ? ", " : "") + head.sample_lines[i];
    warn(&out.warnings, "gct_sample_lines", head.sample_lines.size(),
         fmt::format("{} line{} that describe the samples ({}{}) are not rows of the table",
                     head.sample_lines.size(), head.sample_lines.size() == 1 ? "" : "s", some,
                     head.sample_lines.size() > 5 ? ", …" : ""));
  }
  return out;
}

void HeaderUnion::index() const {
  for (std::size_t i = place_.size(); i < names_.size(); ++i) place_.emplace(names_[i], i);
}

void HeaderUnion::add(const std::vector<std::string>& more) {
  if (names_.empty() || more == names_) {
    names_ = more;
    return;
  }
  index();
  for (const auto& name : more)
    if (place_.emplace(name, names_.size()).second) names_.push_back(name);
}

std::optional<std::size_t> HeaderUnion::place(const std::string& name) const {
  index();
  const auto it = place_.find(name);
  return it == place_.end() ? std::nullopt : std::optional(it->second);
}

Status check_header(const HeaderUnion& known, const Header& first, const Header& header,
                    const std::string& first_label, const std::string& label) {
  if (header.names == first.names) return {};
  if (!header.present || !first.present)
    return fail(
        Code::kUserData,
        fmt::format("{} has {} columns and {}, {} has {} and {}", label, header.names.size(),
                    header.present ? "a header" : "no header", first_label, first.names.size(),
                    first.present ? "a header" : "no header"),
        "files of one dataset have headers, or the same columns in the same order");
  const bool any = std::ranges::any_of(
      header.names, [&](const std::string& name) { return known.place(name).has_value(); });
  if (any) return {};
  std::string theirs, ours;
  for (const auto& n : header.names) theirs += (theirs.empty() ? "" : ", ") + n;
  for (const auto& n : first.names) ours += (ours.empty() ? "" : ", ") + n;
  return fail(Code::kUserData,
              fmt::format("{} has no column of {}: {} against {}", label, first_label,
                          theirs.substr(0, 200), ours.substr(0, 200)),
              "files of one dataset share columns; load the others under a name of their own");
}

void place_columns(const HeaderUnion& all, const Header& header, std::size_t first_fields,
                   SourceFile* file) {
  file->data_offset = header.data_offset;
  if (header.fields != first_fields) file->row_fields = static_cast<std::uint32_t>(header.fields);
  if (header.names == all.names()) return;
  file->fields.assign(all.names().size(), kAbsent);
  for (std::size_t i = 0; i < header.names.size(); ++i)
    file->fields[all.place(header.names[i]).value()] = static_cast<std::uint32_t>(i);
}

}  // namespace polysome
