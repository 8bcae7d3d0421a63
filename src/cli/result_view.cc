#include "cli/result_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

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
  const std::uint64_t all_columns = whole_of(page, "n_columns", names.size());
  const bool fewer_columns = table.columns_shown < all_columns;
  std::string foot;
  if (rows.size() < total)
    foot = fmt::format("{} of {}", format_count(rows.size()), counted(total, "row"));
  if (fewer_columns)
    foot += fmt::format("{}{} of {}", foot.empty() ? "" : ", ", table.columns_shown,
                        counted(all_columns, "column"));
  if (rows.empty()) table.lines.push_back(paint(layout.colour, Paint::kDim, "no rows"));
  if (!foot.empty()) {
    if (!all_hint.empty()) foot += "; " + all_hint;
    table.lines.push_back(paint(layout.colour, Paint::kDim, foot));
  }
  return std::move(table.lines);
}

std::size_t most_columns(const TableLayout& layout) {
  // Two blanks stand between columns; a name may take no room.
  return layout.width > 0 ? static_cast<std::size_t>(layout.width) / 2 + 2 : SIZE_MAX;
}

std::vector<std::string> columns_to_show(const Json& table, const TableLayout& layout) {
  const std::size_t most = most_columns(layout);
  const auto names = column_names(table);
  if (whole_of(table, "n_columns", names.size()) <= most || names.size() < most) return {};
  return {names.begin(), names.begin() + static_cast<std::ptrdiff_t>(most)};
}

Status write_rows(const Json& page, Format format) {
  const auto names = column_names(page);
  std::string text;
  if (format == Format::kCsv) text += csv_line(names) + "\n";
  for (const auto& row : list_of(page, "rows")) {
    if (format == Format::kNdjson) {
      text += dump(row) + "\n";
      continue;
    }
    std::vector<std::string> cells;
    for (const auto& name : names) cells.push_back(csv_cell(cell_of(row, name)));
    text += csv_line(cells) + "\n";
  }
  POLYSOME_TRY(write_out(text));
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
