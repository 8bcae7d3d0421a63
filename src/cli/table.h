// Tables for people: columns fitted to a width, texts cut with an ellipsis, numbers never cut (a
// column that does not fit is left out, and said so), right-aligned on their decimal point. And the
// same cells as CSV. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/json.h"

namespace polysome::cli {

enum class Align { kLeft, kRight, kPoint };  // kPoint: numbers, on their decimal point

struct TableColumn {
  std::string title;
  Align align = Align::kLeft;
};

struct TableLayout {
  int width = 80;  // of the terminal; 0: as wide as needed
  bool colour = false;
  int indent = 0;
};

struct TableText {
  std::vector<std::string> lines;  // header first
  std::size_t columns_shown = 0;
};

// Rows shorter than `columns` are filled up with empty cells.
TableText layout_table(const std::vector<TableColumn>& columns,
                       std::vector<std::vector<std::string>> rows, const TableLayout& layout);

// "name  value" lines, the values in one column and wrapped never; for one record.
std::vector<std::string> layout_record(
    const std::vector<std::pair<std::string, std::string>>& fields, const TableLayout& layout);

// One line with RFC 4180 quoting, without its end.
std::string csv_line(const std::vector<std::string>& cells);
// A value as a CSV cell: null empty, doubles with all their digits, lists and objects as JSON.
std::string csv_cell(const Json& value);

}  // namespace polysome::cli
