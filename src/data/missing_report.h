// What stands for missing in the first rows of delimited text: how often each text, column by
// column. People see by it what was taken as missing before a job runs. One thread.
#pragma once

#include "data/table_source.h"

namespace polysome {

// {"rows_looked_at", "columns": [{"column", "missing", "texts": {"NA": 3, "": 1}}]}; columns
// without any are left out, at most 200 are listed; "short_rows" and "long_rows" where there are
// rows of another number of fields than the header has. Null for formats that have missing values
// of their own.
Result<Json> missing_report(const TableSource& source);

}  // namespace polysome
