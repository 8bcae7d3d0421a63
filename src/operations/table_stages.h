// The two stages that filter, convert and plain sql share: "table.scan" (a map over partitions that
// writes each one's rows) and "table.result" (takes the parts in order, cuts them at the limit,
// delivers). The operation only says what to select. Others end in "table.result" too: their tasks
// leave parts by leave_part, and the plan's details hold limit, delivery and summary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "operations/delivery.h"
#include "operations/operation.h"

namespace polysome {

struct TableScan {
  std::size_t input = 0;
  std::string view;    // the name under which `select` reads the dataset
  std::string select;  // must not order or aggregate: parts are put one after another
  Json row_tests;      // rows that need not be read (data/row_tests.h), or null
  // `select` is these columns of the rows that row_tests lets through, and nothing else; empty
  // where it may be more. Very wide tables then need no SQL (flat_table.h).
  std::vector<std::uint32_t> columns;
  std::optional<std::uint64_t> limit;
  std::optional<Delivery> delivery;
  Json summary = Json::object();
};

OperationPlan plan_table_scan(const PlanRequest& request, const TableScan& scan);

inline constexpr const char* kTablePart = "part.parquet";
// The file kTablePart of this task is written: leaves it as text too where the delivery wants that,
// and ends the task's part of the job.
Status leave_part(TaskEnv& env, std::uint64_t rows);
// The last stage over the parts of stage `parts`; `scans` read the datasets.
struct StageTasks {
  std::string stage;
  std::uint32_t tasks = 0;
};
Stage result_stage(const StageTasks& parts, const std::vector<StageTasks>& scans);
std::vector<StageBody> table_stage_bodies();

// Columns as SQL names them: "a", "b".
std::string identifier_list(const TableSource& source, const std::vector<std::uint32_t>& columns);

}  // namespace polysome
