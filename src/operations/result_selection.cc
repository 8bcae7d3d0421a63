#include "operations/result_selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/nearest.h"
#include "kernels/sql_cage.h"
#include "operations/task_env.h"

namespace polysome {
namespace {

constexpr const char* kPosition = "ps_position";

Result<std::string> known_column(const std::vector<ResultColumn>& columns, const std::string& name,
                                 const char* parameter) {
  std::vector<std::string> names;
  for (const auto& c : columns) {
    if (c.name == name) return sql_identifier(name);
    names.push_back(c.name);
  }
  return fail(Code::kInvalid,
              fmt::format("{} names \"{}\", which is not a column of the result{}", parameter, name,
                          did_you_mean(name, names)),
              columns_hint(names));
}

}  // namespace

std::string columns_hint(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 20;
  const std::size_t shown = std::min(names.size(), kMost);
  std::string hint = fmt::format(
      "it has {}",
      fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (names.size() > shown) hint += fmt::format(" and {} more", names.size() - shown);
  return hint;
}

Result<ResultSelection> select_rows(Session& session, const std::vector<std::string>& paths,
                                    const std::vector<ResultColumn>& columns, const Json& request) {
  ResultSelection out;
  out.from = read_parquet_sql(paths);
  const auto where = request.value("where", std::string());
  const auto sort = request.value("sort", std::vector<std::string>{});
  if (where.empty() && sort.empty()) return out;
  out.whole = false;
  out.from =
      fmt::format("(SELECT *, row_number() OVER () AS {} FROM {}) AS rows", kPosition, out.from);
  if (!where.empty()) {
    POLYSOME_ASSIGN(const CheckedExpression checked, check_expression(session, where));
    for (const auto& name : checked.columns) {
      const bool there = std::ranges::any_of(columns, [&](const ResultColumn& c) {
        return std::ranges::equal(c.name, name, [](unsigned char a, unsigned char b) {
          return std::tolower(a) == std::tolower(b);
        });
      });
      if (!there) POLYSOME_TRY(known_column(columns, name, "where"));
    }
    out.from = fmt::format("(SELECT * FROM {} WHERE {}) AS rows", out.from, checked.sql);
  }
  for (const auto& wanted : sort) {
    // A column may be called "-x": its name as a whole comes first.
    const bool named =
        std::ranges::any_of(columns, [&](const ResultColumn& c) { return c.name == wanted; });
    const bool descending = !named && wanted.starts_with('-');
    POLYSOME_ASSIGN(const std::string column,
                    known_column(columns, descending ? wanted.substr(1) : wanted, "sort"));
    out.order += fmt::format("{}{}{} NULLS LAST", out.order.empty() ? " ORDER BY " : ", ", column,
                             descending ? " DESC" : "");
  }
  out.order += fmt::format("{}{}", out.order.empty() ? " ORDER BY " : ", ", kPosition);
  return out;
}

}  // namespace polysome
