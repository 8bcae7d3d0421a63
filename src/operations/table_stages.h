// The two stages that filter, convert and plain sql share: "table.scan" (a map over partitions that
// writes each one's rows) and "table.result" (takes the parts in order, cuts them at the limit,
// delivers). The operation only says what to select.
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
  std::optional<std::uint64_t> limit;
  std::optional<Delivery> delivery;
  Json summary = Json::object();
};

OperationPlan plan_table_scan(const PlanRequest& request, const TableScan& scan);
std::vector<StageBody> table_stage_bodies();

// Columns as SQL names them: "a", "b".
std::string identifier_list(const TableSource& source, const std::vector<std::uint32_t>& columns);

}  // namespace polysome
