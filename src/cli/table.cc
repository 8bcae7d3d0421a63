#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "cli/terminal.h"

namespace polysome::cli {
namespace {

constexpr int kGap = 2;
// A text column is not made narrower than this.
constexpr int kLeastText = 8;

using Rows = std::vector<std::vector<std::string>>;

// Pads the fractions of a column of numbers, so that right alignment lines up the points.
void align_points(Rows& rows, std::size_t column) {
  // NaN, infinities and 1e-300 stand at the right edge.
  const auto special = [](const std::string& s) {
    return s.find_first_of("eNI") != std::string::npos;
  };
  const auto fraction = [&](const std::string& s) -> std::size_t {
    if (special(s)) return 0;
    const auto point = s.find('.');
    return point == std::string::npos ? 0 : s.size() - point;
  };
  std::size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, fraction(row[column]));
  if (longest == 0) return;
  for (auto& row : rows)
    if (!row[column].empty() && !special(row[column]))
      row[column].append(longest - fraction(row[column]), ' ');
}

// Takes columns off the widest texts until the table fits; false when it cannot.
bool shrink(std::vector<int>& widths, const std::vector<TableColumn>& columns,
            const std::vector<int>& least, int room) {
  int total = std::accumulate(widths.begin(), widths.end(), 0);
  while (total > room) {
    std::size_t widest = widths.size();
    for (std::size_t i = 0; i < widths.size(); ++i)
      if (columns[i].align == Align::kLeft && widths[i] > least[i] &&
          (widest == widths.size() || widths[i] > widths[widest]))
        widest = i;
    if (widest == widths.size()) return false;
    --widths[widest];
    --total;
  }
  return true;
}

std::string place(const std::string& cell, Align align, int width) {
  const std::string text = cut(cell, width);
  return align == Align::kLeft ? pad_right(text, width) : pad_left(text, width);
}

std::string without_trailing_spaces(std::string s) {
  s.erase(s.find_last_not_of(' ') + 1);
  return s;
}

}  // namespace

TableText layout_table(const std::vector<TableColumn>& columns, Rows rows,
                       const TableLayout& layout) {
  TableText out;
  const std::size_t n = columns.size();
  for (auto& row : rows) row.resize(n);
  std::vector<int> natural(n), least(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (columns[i].align == Align::kPoint) align_points(rows, i);
    natural[i] = display_width(columns[i].title);
    for (const auto& row : rows) natural[i] = std::max(natural[i], display_width(row[i]));
    least[i] = columns[i].align == Align::kLeft ? std::min(natural[i], kLeastText) : natural[i];
  }
  std::size_t shown = n;
  std::vector<int> widths = natural;
  if (layout.width > 0) {
    while (shown > 1) {
      widths.assign(natural.begin(), natural.begin() + static_cast<std::ptrdiff_t>(shown));
      // A mark at the end says that columns were left out.
      const int mark = shown < n ? kGap + 1 : 0;
      const int gaps = kGap * (static_cast<int>(shown) - 1) + layout.indent + mark;
      if (shrink(widths, columns, least, layout.width - gaps)) break;
      --shown;
    }
    if (shown == 1 && n > 0) {
      const int mark = n > 1 ? kGap + 1 : 0;
      widths.assign(1, std::min(natural[0], std::max(1, layout.width - layout.indent - mark)));
    }
  }
  out.columns_shown = shown;
  const std::string indent(static_cast<std::size_t>(layout.indent), ' ');
  const auto line_of = [&](const auto& cell_at, bool header) {
    std::string line = indent;
    for (std::size_t i = 0; i < shown; ++i) {
      if (i > 0) line.append(kGap, ' ');
      line += place(cell_at(i), columns[i].align, widths[i]);
    }
    if (shown < n) line += "  …";
    line = without_trailing_spaces(std::move(line));
    return header ? paint(layout.colour, Paint::kBold, line) : line;
  };
  out.lines.push_back(line_of([&](std::size_t i) { return columns[i].title; }, true));
  for (const auto& row : rows)
    out.lines.push_back(line_of([&](std::size_t i) { return row[i]; }, false));
  return out;
}

std::vector<std::string> layout_record(
    const std::vector<std::pair<std::string, std::string>>& fields, const TableLayout& layout) {
  int names = 0;
  for (const auto& [name, value] : fields) names = std::max(names, display_width(name));
  std::vector<std::string> out;
  const std::string indent(static_cast<std::size_t>(layout.indent), ' ');
  for (const auto& [name, value] : fields) {
    const std::string shown =
        layout.width > 0 ? cut(value, std::max(20, layout.width - names - kGap - layout.indent))
                         : value;
    const std::string label = paint(layout.colour, Paint::kDim, pad_right(name, names));
    out.push_back(without_trailing_spaces(fmt::format("{}{}  {}", indent, label, shown)));
  }
  return out;
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string out;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) out += ',';
    const std::string& c = cells[i];
    if (c.find_first_of(",\"\r\n") == std::string::npos) {
      out += c;
      continue;
    }
    out += '"';
    for (const char ch : c) {
      if (ch == '"') out += '"';
      out += ch;
    }
    out += '"';
  }
  return out;
}

std::string csv_cell(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  return dump(value);
}

}  // namespace polysome::cli
