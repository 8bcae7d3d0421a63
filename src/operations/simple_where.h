// Tells whether a WHERE is simple enough for the reader of text to evaluate (data/row_tests.h):
// columns of whole numbers, numbers or texts compared with constants of their kind, BETWEEN, IN,
// IS NULL, joined by AND and OR. What is answered is exactly what SQL would answer. The session's
// thread.
#pragma once

#include <string>

#include "data/table_source.h"

namespace polysome {

// The tests as JSON; null when the expression needs SQL. `where`: checked SQL (check_where).
Json simple_where(Session& session, const TableSource& source, const std::string& where);

}  // namespace polysome
