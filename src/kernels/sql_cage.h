// What a caller's SQL may hold (architecture.md, decision 12). The text is parsed by DuckDB's own
// parser (json_serialize_sql, which runs nothing) and the parse tree is walked: one SELECT, no
// other statement, no table function but a short list, no tables but the named ones, no access to
// files or settings. What runs afterwards runs in a locked session; the cage gives readable
// refusals and facts to plan with.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/session.h"

namespace polysome {

struct ExpressionRules {
  bool allow_aggregates = false;
  bool allow_windows = false;
};

struct CheckedExpression {
  std::string sql;                   // in parentheses, safe to put into a larger statement
  std::vector<std::string> columns;  // names referenced, each once, in order of appearance
  bool is_deterministic = true;      // false: random(), now() and the like
  bool has_aggregate = false;
  bool has_window = false;
};

// Errors: kInvalid saying what is refused and why, or where the text cannot be parsed.
Result<CheckedExpression> check_expression(Session& session, std::string_view text,
                                           const ExpressionRules& rules = {});

struct CheckedQuery {
  std::string sql;                   // without the final semicolon; safe to put in parentheses
  std::vector<std::string> tables;   // of allowed_tables, those that are read, each once
  std::vector<std::string> columns;  // names referenced, each once; empty when has_star alone
  bool has_star = false;
  bool single_table = false;  // exactly one allowed table, read once
  bool is_deterministic = true;
  // Only projection and WHERE over one table, row by row: the rows of the parts, one after the
  // other, are the rows of the whole. `why_not_map` says what prevents it ("it has GROUP BY").
  bool is_plain_map = false;
  std::string why_not_map;
};

// `allowed_tables` are compared without regard to case, as SQL names are.
Result<CheckedQuery> check_query(Session& session, std::string_view text,
                                 const std::vector<std::string>& allowed_tables);

}  // namespace polysome
