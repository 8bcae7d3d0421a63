// The end of a table operation: the answer's table as Parquet files in the work folder, delivered
// to where the caller wants it, and the job's `result` object (contract.md, Results). Slot's
// thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "operations/delivery.h"
#include "operations/task_env.h"

namespace polysome {

struct TableResult {
  std::string table = "result";
  std::vector<StageFile> files;          // Parquet, in order, at least one
  std::vector<std::string> text_parts;   // the same rows as parts in the delivery's format, or none
  std::vector<std::uint64_t> text_rows;  // of each text part, where they are not those of files
  // The columns and the preview, where whoever made the files knows them: DuckDB takes long over
  // tens of thousands of columns.
  struct Known {
    std::vector<ResultColumn> columns;
    Json preview;
  };
  std::optional<Known> known;
  bool wide = false;  // of so many columns that DuckDB takes long to name them
  // One Parquet file of `files`, where whoever made them can do that without reading them.
  std::function<Status(const std::vector<StageFile>& files, const std::string& path)> join;
  std::optional<Delivery> delivery;
  Json summary = Json::object();
  Json definitions = Json::object();  // "operation" is added
  Json warnings = Json::array();      // after those of the plan
  bool value = false;                 // `value` is the only cell of column `value_column`
  std::string value_column;
};

// Delivers the table and sets the task's payload.
Status finish_table(TaskEnv& env, TableResult result);

// Sums what the tasks of a scan stage counted; warns of values read as missing and of rows that
// were repaired, and refuses more bad values than the job allows (kUserData).
struct ScanTotals {
  std::uint64_t rows = 0;
  std::uint64_t bad_values = 0;
  std::uint64_t short_rows = 0;
  std::uint64_t long_rows = 0;
  void add(const Json& payload);  // of a task, as TaskEnv::finish_scan leaves it
};
ScanTotals scan_totals(const std::vector<Manifest>& manifests);
Status check_bad_values(const TaskEnv& env, const ScanTotals& totals, Json* warnings);

// `select` with the types cast that Parquet cannot hold exactly (128-bit integers become decimals).
std::string parquet_safe(const std::vector<ResultColumn>& columns, const std::string& select);

}  // namespace polysome
