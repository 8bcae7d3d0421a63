// The tables of a job's result: the first rows fitted to the terminal, or a page as CSV or NDJSON.
// A service's and a local job's look the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/output.h"
#include "model/json.h"

namespace polysome::cli {

// Rows for people: at most `limit`, and a last line with what there is more. `page`: {"columns",
// "rows", "n_rows"}, and "n_columns" where it has not all of them. `all_hint` completes the last
// line ("--out de.csv writes all").
Result<std::vector<std::string>> preview_lines(const Json& page, const TableLayout& layout,
                                               const std::string& all_hint);
// How many columns may fit at most: as many as stand beside each other without a letter.
// SIZE_MAX where the width has no limit.
std::size_t most_columns(const TableLayout& layout);
// The first of a result's table, as many as may fit; empty: all of them. A table of tens of
// thousands of columns is long in coming, and a terminal shows a dozen.
std::vector<std::string> columns_to_show(const Json& table, const TableLayout& layout);
// The rows of a page, as CSV with a header or as NDJSON.
Status write_rows(const Json& page, Format format);
// Whether a result has a table at all; diagnostic jobs have none.
bool has_table(const Json& result);
// What a result without a table says, as lines of names and values.
std::vector<std::pair<std::string, std::string>> summary_fields(const Json& result);
// Warnings of a status and of the result in it on stderr, each once.
void note_warnings(const Json& status);
// "wrote de.csv (58,302 rows, 4.1MB)" for each file of `output` in a result.
void note_files(const Json& result);

}  // namespace polysome::cli
