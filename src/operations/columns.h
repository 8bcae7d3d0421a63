// Choosing columns of a dataset as parameters name them, and how values of each type are computed
// with. Errors are kUserData with the pointer of the parameter and the nearest known name. Any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/table_source.h"

namespace polysome {

// Every column is computed with as one of these; other types are read as text.
enum class ValueKind : std::uint8_t { kInteger, kDouble, kText, kDate, kTimestamp, kBoolean };
ValueKind kind_of(const SourceColumn& column);
std::string_view sql_type(ValueKind kind);    // BIGINT, DOUBLE, VARCHAR …
std::string_view short_name(ValueKind kind);  // "int", "double" …: part of file roles
inline bool is_number(ValueKind kind) {
  return kind == ValueKind::kInteger || kind == ValueKind::kDouble;
}
inline constexpr ValueKind kAllKinds[] = {ValueKind::kInteger,   ValueKind::kDouble,
                                          ValueKind::kText,      ValueKind::kDate,
                                          ValueKind::kTimestamp, ValueKind::kBoolean};

// SQL over a view of the dataset that gives a column's value in its kind; −0 becomes 0, so that
// equal values are equal bits.
std::string value_sql(const SourceColumn& column);

std::vector<std::uint32_t> all_columns(const TableSource& source);
Result<std::uint32_t> find_column(const TableSource& source, const std::string& name,
                                  const std::string& pointer);
// A list of names, "*", or "/regex/" (searched, ECMAScript); each column once, in the order asked
// for.
Result<std::vector<std::uint32_t>> select_columns(const TableSource& source, const Json& selection,
                                                  const std::string& pointer);
// A caller's `where`, checked: safe, of columns that exist, of the type boolean. Answers the SQL to
// use, in parentheses.
Result<std::string> check_where(Session& session, const TableSource& source,
                                const std::string& text);
// What can go wrong in SQL over these tables goes wrong here, before the first row is read: the
// query is planned over empty views of the same names and columns.
Status check_binds(Session& session,
                   const std::vector<std::pair<std::string, const TableSource*>>& views,
                   const std::string& select, const std::string& pointer);

}  // namespace polysome
