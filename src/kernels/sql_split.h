// A grouped query over one table, taken apart so that it can be answered part by part: what makes
// the keys, which aggregates are called on what, and the select list over keys and aggregates. Who
// runs it chooses the partial states (operations/sql_groups). The text has passed the cage. The
// session's thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/session.h"

namespace polysome {

struct AggregateCall {
  std::string function;  // lower case: sum, avg, count_star …
  std::string argument;  // SQL over `from`; empty: count(*)
  std::string filter;    // SQL of FILTER (WHERE …), or empty
  bool operator==(const AggregateCall&) const = default;
};

// SELECT select[0], … FROM (one row a group: k0…, a0…) WHERE having ORDER BY order LIMIT …
struct GroupedQuery {
  std::string from;   // the table, with its alias
  std::string where;  // or empty
  std::vector<std::string> keys;
  std::vector<AggregateCall> calls;
  std::vector<std::string> select;
  std::string having;              // or empty
  std::vector<std::string> order;  // each with its direction
  std::string limit;               // " LIMIT 4 OFFSET 2", or empty
};

// `columns` are those of the table. std::nullopt: it can't be taken apart, and *why_not says why
// ("median() has no partial states").
Result<std::optional<GroupedQuery>> split_grouped_query(Session& session, const std::string& sql,
                                                        const std::vector<std::string>& columns,
                                                        std::string* why_not);

}  // namespace polysome
