#include "cli/result_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

constexpr std::uint64_t kPageRows = 100'000;  // a page ends sooner when it has 8 MB

bool is_number_text(const Json& value) {
  // How JSON carries what it has no numbers for.
  if (!value.is_string()) return false;
  const auto& s = value.get_ref<const std::string&>();
  return s == "NaN" || s == "Infinity" || s == "-Infinity";
}

Align align_of(const Json& rows, const std::string& column) {
  bool number = false;
  for (const auto& row : rows) {
    const auto it = row.find(column);
    if (it == row.end() || it->is_null()) continue;
    if (!it->is_number() && !is_number_text(*it)) return Align::kLeft;
    number = true;
  }
  return number ? Align::kPoint : Align::kLeft;
}

std::vector<std::string> column_names(const Json& page) {
  std::vector<std::string> out;
  for (const auto& c : list_of(page, "columns"))
    out.push_back(c.is_string() ? c.get<std::string>() : text_of(c, "name"));
  return out;
}

Json cell_of(const Json& row, const std::string& column) {
  const auto it = row.find(column);
  return it == row.end() ? Json() : *it;
}

}  // namespace

Result<std::vector<std::string>> preview_lines(const Json& page, const TableLayout& layout,
                                               const std::string& all_hint) {
  const Json& rows = list_of(page, "rows");
  const auto names = column_names(page);
  std::vector<TableColumn> columns;
  for (const auto& name : names) columns.push_back({printable(name), align_of(rows, name)});
  std::vector<std::vector<std::string>> cells;
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    for (const auto& name : names) line.push_back(cell_text(cell_of(row, name)));
  }
  TableText table = layout_table(columns, std::move(cells), layout);
  const std::uint64_t total = whole_of(page, "n_rows", rows.size());
  const bool fewer_columns = table.columns_shown < names.size();
  std::string foot;
  if (rows.size() < total)
    foot = fmt::format("{} of {}", format_count(rows.size()), counted(total, "row"));
  if (fewer_columns)
    foot += fmt::format("{}{} of {}", foot.empty() ? "" : ", ", table.columns_shown,
                        counted(names.size(), "column"));
  if (rows.empty()) table.lines.push_back(paint(layout.colour, Paint::kDim, "no rows"));
  if (!foot.empty()) {
    if (!all_hint.empty()) foot += "; " + all_hint;
    table.lines.push_back(paint(layout.colour, Paint::kDim, foot));
  }
  return std::move(table.lines);
}

Status write_rows(const NextPage& next, Format format, std::optional<std::uint64_t> limit) {
  std::uint64_t written = 0;
  for (bool first = true;; first = false) {
    const std::uint64_t want = limit ? std::min(kPageRows, *limit - written) : kPageRows;
    if (!first && want == 0) break;
    POLYSOME_ASSIGN(const Json page, next(std::max<std::uint64_t>(want, 1)));
    const auto names = column_names(page);
    std::string text;
    if (first && format == Format::kCsv) text += csv_line(names) + "\n";
    const Json& rows = list_of(page, "rows");
    for (const auto& row : rows) {
      if (limit && written == *limit) break;
      ++written;
      if (format == Format::kNdjson) {
        text += dump(row) + "\n";
        continue;
      }
      std::vector<std::string> cells;
      for (const auto& name : names) cells.push_back(csv_cell(cell_of(row, name)));
      text += csv_line(cells) + "\n";
    }
    POLYSOME_TRY(write_out(text));
    if (rows.empty() || written >= whole_of(page, "n_rows") || (limit && written >= *limit)) break;
  }
  return flush_out();
}

bool has_table(const Json& result) { return !list_of(result, "tables").empty(); }

std::vector<std::pair<std::string, std::string>> summary_fields(const Json& result) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add = [&](const Json& object) {
    for (const auto& [key, value] : object.items())
      if (!value.is_structured() && !value.is_null() && key != "rows" && key != "columns")
        out.emplace_back(key, cell_text(value));
  };
  if (result.is_object()) {
    add(result);
    add(object_of(result, "summary"));
  }
  return out;
}

void note_warnings(const Json& status) {
  std::set<std::string> told;  // the result repeats those of the plan
  for (const Json* holder : {&status, &object_of(status, "result")})
    for (const auto& w : list_of(*holder, "warnings")) {
      const std::string text = w.is_string() ? w.get<std::string>() : text_of(w, "message");
      if (!text.empty() && told.insert(text).second)
        note(fmt::format("warning: {}", printable(text)));
    }
}

void note_files(const Json& result) {
  for (const auto& f : list_of(result, "output"))
    if (const auto database = text_of(f, "database"); !database.empty())
      note(fmt::format("wrote {} to {}", counted(whole_of(f, "rows"), "row"), printable(database)));
    else
      note(fmt::format("wrote {} ({}, {})", printable(text_of(f, "path")),
                       counted(whole_of(f, "rows"), "row"), format_bytes(whole_of(f, "bytes"))));
}

}  // namespace polysome::cli
