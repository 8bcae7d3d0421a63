#include "cli/output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/nearest.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

constexpr std::array<std::pair<std::string_view, Format>, 5> kFormats{{
    {"table", Format::kTable},
    {"json", Format::kJson},
    {"ndjson", Format::kNdjson},
    {"csv", Format::kCsv},
    {"id", Format::kId},
}};
constexpr std::size_t kMostItems = 10;

Json member_of(const Json& item, const std::string& key) {
  const auto it = item.find(key);
  return it == item.end() ? Json() : *it;
}

std::string print_csv(const Json& items, const std::vector<std::string>& keys) {
  std::string out = csv_line(keys) + "\n";
  for (const auto& item : items) {
    std::vector<std::string> cells;
    for (const auto& key : keys) cells.push_back(csv_cell(member_of(item, key)));
    out += csv_line(cells) + "\n";
  }
  return out;
}

std::string place_of(const ErrorItem& item) {
  std::string out = printable(item.file);
  if (item.line) out += fmt::format("{}line {}", out.empty() ? "" : ", ", format_count(*item.line));
  if (!item.column.empty())
    out += fmt::format("{}column \"{}\"", out.empty() ? "" : ", ", printable(item.column));
  if (!item.value.empty()) out += fmt::format(": \"{}\"", cut(printable(item.value), 60));
  return out;
}

}  // namespace

const std::vector<std::string>& format_names() {
  static const std::vector<std::string> names{"table", "json", "ndjson", "csv", "id"};
  return names;
}

Result<Format> format_from_name(const std::string& name) {
  for (const auto& [text, format] : kFormats)
    if (text == name) return format;
  return fail(Code::kInvalid,
              fmt::format("-o {}: no such format{}", name, did_you_mean(name, format_names())),
              fmt::format("one of {}; a file goes to --out", fmt::join(format_names(), ", ")));
}

TableLayout Output::layout(int indent) const {
  return {terminal_.out ? terminal_.width : 0, colour(), indent};
}

void Output::line(std::string_view text) const { put(fmt::format("{}\n", text)); }

void Output::lines(const std::vector<std::string>& texts) const {
  for (const auto& t : texts) line(t);
}

void Output::list(const Json& body, const Json& items, const std::vector<ListColumn>& columns,
                  const std::string& id_key) const {
  switch (format_) {
    case Format::kJson: return line(dump_pretty(body));
    case Format::kNdjson:
      for (const auto& item : items) line(dump(item));
      return;
    case Format::kId:
      for (const auto& item : items) line(text_of(item, id_key));
      return;
    default: break;
  }
  if (!for_people()) {
    std::vector<std::string> keys;
    Json flat = items;
    for (const auto& c : columns) {
      if (c.parts.empty()) keys.push_back(c.key);
      for (const auto& part : c.parts) {
        keys.push_back(c.key + "_" + part);
        for (auto& item : flat) item[keys.back()] = member_of(member_of(item, c.key), part);
      }
    }
    put(print_csv(flat, keys));
    return;
  }
  std::vector<TableColumn> titles;
  std::vector<std::vector<std::string>> rows(items.size());
  for (const auto& c : columns) {
    std::vector<std::string> cells;
    for (const auto& item : items)
      cells.push_back(c.text ? c.text(item) : cell_text(member_of(item, c.key)));
    // A column with nothing in it takes room from the others.
    if (std::ranges::all_of(cells, [](const std::string& cell) { return cell.empty(); })) continue;
    titles.push_back({c.title, c.align});
    for (std::size_t i = 0; i < cells.size(); ++i) rows[i].push_back(std::move(cells[i]));
  }
  lines(layout_table(titles, std::move(rows), layout()).lines);
}

void Output::record(const Json& body,
                    const std::vector<std::pair<std::string, std::string>>& fields,
                    const std::string& id_key) const {
  switch (format_) {
    case Format::kJson: return line(dump_pretty(body));
    case Format::kNdjson: return line(dump(body));
    case Format::kId: return line(text_of(body, id_key));
    case Format::kCsv: {
      std::vector<std::string> keys;
      for (const auto& [key, value] : body.items())
        if (!value.is_structured()) keys.push_back(key);
      put(print_csv(Json::array({body}), keys));
      return;
    }
    default: lines(layout_record(fields, layout()));
  }
}

Status write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size()) return {};
  return fail(Code::kIo, fmt::format("cannot write to stdout: {}", std::strerror(errno)));
}

void put(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

Status flush_out() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  return fail(Code::kIo, fmt::format("cannot write to stdout: {}", std::strerror(errno)));
}

void note(std::string_view text) {
  std::fflush(stdout);
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
}

void put_fitted(const Terminal& terminal, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    for (const auto& line : fit(text.substr(0, end), terminal.out ? terminal.width : 0))
      put(line + "\n");
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::vector<std::string> error_lines(const Error& error, bool colour, int width) {
  constexpr std::string_view kSpeaker = "polysome:";
  std::vector<std::string> out;
  for (auto& line : fit(fmt::format("{} {}", kSpeaker, printable(error.message)), width)) {
    if (out.empty()) line = paint(colour, Paint::kRed, kSpeaker) + line.substr(kSpeaker.size());
    out.push_back(std::move(line));
  }
  std::size_t shown = 0;
  for (const auto& item : error.errors) {
    // Pointers into the request mean nothing to one who typed a command; their message may be new.
    const std::string place = place_of(item);
    std::string text = place;
    if (!item.message.empty() && error.message.find(item.message) == std::string::npos)
      text += (text.empty() ? "" : "  ") + printable(item.message);
    if (text.empty()) continue;
    if (++shown > kMostItems) {
      out.push_back(fmt::format("  … {} more", error.errors.size() - kMostItems));
      break;
    }
    for (auto& line : fit("  " + text, width)) out.push_back(std::move(line));
  }
  if (!error.hint.empty())
    for (const auto& line : fit("  " + printable(error.hint), width))
      out.push_back("  " + paint(colour, Paint::kBlue, line.substr(2)));
  return out;
}

void print_error(const Error& error, bool colour) {
  const Terminal terminal = Terminal::look();
  for (const auto& line : error_lines(error, colour, terminal.err ? terminal.width : 0)) note(line);
}

}  // namespace polysome::cli
