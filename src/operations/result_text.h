// A stretch of a result's rows, written as text to a file of the caller's, for programs that print
// whole tables (polysome run -o csv). No row is held longer than it takes to write it; tables of
// thousands of columns are read without DuckDB, which holds 2048 rows of all of them. The slot's
// thread.
#pragma once

#include "operations/answer_files.h"

namespace polysome {

// {files: [{path, n_rows}], n_columns, format: csv | ndjson, offset, max_bytes, path} → {bytes,
// rows, next_offset}. The rows from `offset` on, the last one the first that reaches `max_bytes`;
// next_offset is null when there are no more. Errors: kInvalid, kGone, those of Session, kDiskFull.
Result<Json> result_text(const Json& request, const TaskContext& context, const KeptSession& kept);

}  // namespace polysome
