#include "operations/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <regex>
#include <set>

#include "base/nearest.h"
#include "kernels/sql_cage.h"

namespace polysome {
namespace {

bool is_one_of(std::string_view type, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, type) != names.end();
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::vector<std::string> names_of(const TableSource& source) {
  std::vector<std::string> out;
  out.reserve(source.columns.size());
  for (const auto& c : source.columns) out.push_back(c.name);
  return out;
}

Error no_column(const TableSource& source, const std::string& name, const std::string& pointer) {
  const auto names = names_of(source);
  std::string hint;
  if (names.size() <= 20) {
    hint = "its columns: ";
    for (std::size_t i = 0; i < names.size(); ++i) hint += (i > 0 ? ", " : "") + names[i];
  }
  return Error(Code::kUserData,
               fmt::format("column \"{}\" is not in dataset {}{}", name, source.id,
                           did_you_mean(name, names)),
               hint)
      .at(pointer);
}

Result<std::vector<std::uint32_t>> select_by_regex(const TableSource& source,
                                                   const std::string& pattern,
                                                   const std::string& pointer) {
  std::vector<std::uint32_t> out;
  try {
    const std::regex regex(pattern, std::regex::ECMAScript | std::regex::optimize);
    for (std::uint32_t i = 0; i < source.columns.size(); ++i)
      if (std::regex_search(source.columns[i].name, regex)) out.push_back(i);
  } catch (const std::regex_error& e) {
    return fail(Error(Code::kUserData,
                      fmt::format("/{}/ is not a regular expression: {}", pattern, e.what()))
                    .at(pointer));
  }
  if (out.empty())
    return fail(Error(Code::kUserData,
                      fmt::format("no column of dataset {} matches /{}/", source.id, pattern))
                    .at(pointer));
  return out;
}

}  // namespace

ValueKind kind_of(const SourceColumn& column) {
  // The usual ones, of which there may be tens of thousands.
  if (column.type == "double") return ValueKind::kDouble;
  if (column.type == "int64") return ValueKind::kInteger;
  const std::string type = lower(column.type);
  if (is_one_of(type, {"int64", "int32", "int16", "int8", "uint32", "uint16", "uint8", "bigint",
                       "integer", "smallint", "tinyint", "uinteger", "usmallint", "utinyint"}))
    return ValueKind::kInteger;
  if (is_one_of(type, {"double", "float", "float64", "float32", "uint64", "ubigint", "hugeint",
                       "uhugeint"}) ||
      type.starts_with("decimal"))
    return ValueKind::kDouble;
  if (type == "date") return ValueKind::kDate;
  if (type.starts_with("timestamp") && type.find("zone") == std::string::npos)
    return ValueKind::kTimestamp;
  if (is_one_of(type, {"bool", "boolean"})) return ValueKind::kBoolean;
  return ValueKind::kText;
}

std::string_view sql_type(ValueKind kind) {
  static constexpr std::array<std::string_view, 6> kNames = {"BIGINT", "DOUBLE",    "VARCHAR",
                                                             "DATE",   "TIMESTAMP", "BOOLEAN"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view short_name(ValueKind kind) {
  static constexpr std::array<std::string_view, 6> kNames = {"int",  "double",    "text",
                                                             "date", "timestamp", "bool"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string value_sql(const SourceColumn& column) {
  const ValueKind kind = kind_of(column);
  const std::string name = sql_identifier(column.name);
  if (kind == ValueKind::kDouble) return fmt::format("CAST({} AS DOUBLE) + 0.0", name);
  return fmt::format("CAST({} AS {})", name, sql_type(kind));
}

std::vector<std::uint32_t> all_columns(const TableSource& source) {
  std::vector<std::uint32_t> out(source.columns.size());
  std::iota(out.begin(), out.end(), 0U);
  return out;
}

Result<std::uint32_t> find_column(const TableSource& source, const std::string& name,
                                  const std::string& pointer) {
  for (std::uint32_t i = 0; i < source.columns.size(); ++i)
    if (source.columns[i].name == name) return i;
  return fail(no_column(source, name, pointer));
}

Result<std::vector<std::uint32_t>> select_columns(const TableSource& source, const Json& selection,
                                                  const std::string& pointer) {
  std::vector<std::uint32_t> out;
  if (selection.is_string()) {
    const auto text = selection.get<std::string>();
    if (text.size() > 2 && text.front() == '/' && text.back() == '/')
      return select_by_regex(source, text.substr(1, text.size() - 2), pointer);
    if (text != "*") {
      POLYSOME_ASSIGN(const auto one, find_column(source, text, pointer));
      return std::vector{one};
    }
    for (std::uint32_t i = 0; i < source.columns.size(); ++i) out.push_back(i);
    return out;
  }
  std::set<std::uint32_t> seen;
  for (const auto& item : selection) {
    POLYSOME_ASSIGN(const auto one, find_column(source, item.get<std::string>(), pointer));
    if (seen.insert(one).second) out.push_back(one);
  }
  return out;
}

Result<std::string> check_where(Session& session, const TableSource& source,
                                const std::string& text) {
  const std::string pointer = "/parameters/where";
  auto checked = check_expression(session, text);
  if (!checked) return fail(std::move(checked.error()).at(pointer));
  // SQL names columns in any case.
  std::set<std::string> known;
  for (const auto& c : source.columns) known.insert(lower(c.name));
  for (const auto& name : checked->columns)
    if (!known.contains(lower(name))) return fail(no_column(source, name, pointer));
  if (!checked->is_deterministic)
    return fail(
        Error(Code::kUserData,
              "where gives another answer each time it is asked (random, now …); a task that "
              "is run again would give other rows")
            .at(pointer));
  POLYSOME_TRY(check_binds(session, {{"data", &source}},
                           fmt::format("SELECT 1 FROM data WHERE {}", checked->sql), pointer));
  return checked->sql;
}

Status check_binds(Session& session,
                   const std::vector<std::pair<std::string, const TableSource*>>& views,
                   const std::string& select, const std::string& pointer) {
  Status status;
  for (const auto& [name, source] : views) {
    auto opened = open_view(session, name, *source, {}, {});
    if (!opened && status) status = std::unexpected(opened.error());
  }
  if (status) {
    auto result = session.query(fmt::format("SELECT * FROM ({}) LIMIT 0", select));
    if (!result) status = fail(std::move(result.error()).at(pointer));
  }
  for (const auto& [name, source] : views)
    (void)session.run("DROP VIEW IF EXISTS " + sql_identifier(name));
  return status;
}

}  // namespace polysome
