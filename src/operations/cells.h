// Rows of a query as JSON: missing is null, NaN and infinities are the strings "NaN", "Infinity",
// "-Infinity", integers beyond 2^53 are strings, dates and times are ISO text (contract.md,
// Results).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/session.h"
#include "model/json.h"

namespace polysome {

// How a column is fetched: each type is brought to one of few by a cast in the query.
enum class Fetch : std::uint8_t { kBoolean, kInteger, kDouble, kText, kTimestamp, kBigNumber };

struct ResultColumn {
  std::string name;
  std::string sql_type;  // as DuckDB names it
  // int64, double, bool, date, timestamp, string; else DuckDB's name in lower case.
  std::string type() const;
  Fetch fetch() const;
};

// What to select of `columns`, so that they come as their fetch() says: BOOLEAN, BIGINT, DOUBLE or
// VARCHAR.
std::string fetch_list(const std::vector<ResultColumn>& columns);

// The columns that `select` gives.
Result<std::vector<ResultColumn>> columns_of(Session& session, const std::string& select);
// [{"name", "type"}], at most `most`.
Json columns_json(const std::vector<ResultColumn>& columns, std::size_t most);

// Appends the rows of `from` (a table, view or table function call, with what follows it) as
// objects to `rows`, until `max_rows` more are there or the rows' JSON exceeds `max_bytes` (the row
// that would is left out; the very first only if !always_first). Returns the bytes used so far,
// counting from `used`; `*stopped` says that a limit ended it.
struct RowLimits {
  std::uint64_t max_rows = 20;
  std::size_t max_bytes = 16'000;
  bool always_first = true;  // a page must get on; a preview need not
};
Result<std::size_t> append_rows(Session& session, const std::vector<ResultColumn>& columns,
                                const std::string& from, const RowLimits& limits, std::size_t used,
                                Json* rows, bool* stopped);

// One value: the first column of the first row.
Result<Json> single_value(Session& session, const std::vector<ResultColumn>& columns,
                          const std::string& from);

}  // namespace polysome
