// Tables of text with very many columns, to Parquet and text with no SQL: DuckDB's time for naming
// the columns of a query grows with their square. Rows are parsed into one buffer, whose columns
// become the chunks of a row group (data/flat_parquet.h); a task's part is a file of its own, and
// an index beside it lets the parts be joined without reading them. The slot's thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "operations/table_result.h"

namespace polysome {

// Worth it, and possible: delimited text, the same in all files, of texts and numbers.
bool is_flat(const TableSource& source, const std::vector<std::uint32_t>& columns);
// What a task over `bytes` of it needs at least, in bytes; with more it makes larger row groups.
std::uint64_t flat_grant(const TableSource& source, const std::vector<std::uint32_t>& columns,
                         std::uint64_t bytes);
// The same of the task that joins the parts of others.
struct FlatTasks {
  std::uint32_t n = 1;
  std::uint64_t bytes = 0;   // over which they are, together
  std::uint64_t memory = 0;  // that each has
};
std::uint64_t flat_result_grant(const TableSource& source,
                                const std::vector<std::uint32_t>& columns, const FlatTasks& tasks);

struct FlatOutput {
  std::string part;                  // role of the Parquet file
  const FileFormat* text = nullptr;  // FileFormat::is_text, or none
  bool text_only = false;            // the Parquet file is left without rows
};
// Reads the task's partition of the first input, the rows that its tests let through, into files of
// the task. Leaves the scan noted. Answers the rows. Errors: those of the data, kCancelled,
// kDiskFull.
Result<std::uint64_t> write_flat_part(TaskEnv& env, const std::vector<std::uint32_t>& columns,
                                      const FlatOutput& output);

// Tells `result` what the tasks of a stage left: names and types of its columns, the first rows,
// and how to make one file of its parts. `indexes`: one for each of result->files.
Status describe_flat_parts(TaskEnv& env, const std::vector<std::uint32_t>& columns,
                           const std::vector<StageFile>& indexes, TableResult* result);

inline constexpr const char* kFlatIndex = "part.index";

}  // namespace polysome
