// What a request wants of a result's rows: `where`, a caged SQL expression over its columns, and
// `sort`, columns by comma, "-" before one for descending; equal rows keep their order, missing
// values come last. The slot's thread.
#pragma once

#include <string>
#include <vector>

#include "operations/cells.h"

namespace polysome {

struct ResultSelection {
  bool whole = true;  // neither where nor sort
  std::string from;   // what to select from: the rows that are wanted
  std::string order;  // " ORDER BY …" to put behind it, or empty
};

// "it has a, b, c": what an unknown column is answered with.
std::string columns_hint(const std::vector<std::string>& names);

// `columns`: all of the result. Errors: kInvalid naming the nearest column, or what the cage
// refuses.
Result<ResultSelection> select_rows(Session& session, const std::vector<std::string>& paths,
                                    const std::vector<ResultColumn>& columns, const Json& request);

}  // namespace polysome
