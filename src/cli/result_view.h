// The tables of a job's result: the first rows fitted to the terminal, or all rows as CSV or
// NDJSON. Rows come in pages from a function, so a service's and a local job's look the same.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cli/output.h"
#include "model/json.h"

namespace polysome::cli {

// The next page of at most `limit` rows: {"columns", "rows", "n_rows"}. Called from the first row
// on, each call goes on where the last one ended.
using NextPage = std::function<Result<Json>(std::uint64_t limit)>;

// Rows for people: at most `limit`, and a last line with what there is more. `all_hint` completes
// it
// ("--out de.csv writes all").
Result<std::vector<std::string>> preview_lines(const Json& page, const TableLayout& layout,
                                               const std::string& all_hint);
// All rows, or `limit`, as CSV with a header or as NDJSON.
Status write_rows(const NextPage& next, Format format, std::optional<std::uint64_t> limit);
// Whether a result has a table at all; diagnostic jobs have none.
bool has_table(const Json& result);
// What a result without a table says, as lines of names and values.
std::vector<std::pair<std::string, std::string>> summary_fields(const Json& result);
// Warnings of a status and of the result in it on stderr, each once.
void note_warnings(const Json& status);
// "wrote de.csv (58,302 rows, 4.1MB)" for each file of `output` in a result.
void note_files(const Json& result);

}  // namespace polysome::cli
