// The data service's answers: questions about data that are no jobs. Each opens a session of its
// own that may read only the files asked about, unless the slot has one that may. The slot's
// thread.
//   result_page {files, columns?, where?, sort?, offset, limit, max_bytes}
//               → {columns, rows, n_rows, next_offset}
//   result_file {files, format, columns?, where?, sort?, limit?, path} → {bytes, rows,
//   content_type} result_text {files, n_columns, format, offset, max_bytes, path} → {bytes, rows,
//   next_offset} inspect     {dataset, read_roots, missing?, sync?} → {format, columns,
//   total_size_bytes, files,
//               n_rows …}
//   partition   {dataset, partition_size, size_given, slots, read_roots, offset, limit}
//               → api.md, data/partition
// `files` are Parquet files of a result, as paths or as objects with `path` (and, for result_text,
// `n_rows`).
#pragma once

#include "operations/answer_files.h"

namespace polysome {

Result<Json> answer_request(const Json& request, TaskContext& context,
                            const KeptSession& kept = {});

}  // namespace polysome
