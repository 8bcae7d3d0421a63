// Grouped SQL over one table, cut: every partition's groups as partial states, merged in a tree,
// finished once (architecture.md, decision 7: sums of doubles through the exact moments, so that
// the answer has the same bits in any cut). The caller's select list, HAVING, ORDER BY and LIMIT
// run over the finished groups. Rows that ORDER BY leaves equal, or all without it, come in the
// order of the keys.
//
// Files: groups.parquet of each scan and combine task: k0…, then the states of each call.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/sql_split.h"
#include "operations/cells.h"
#include "operations/operation.h"
#include "operations/table_result.h"

namespace polysome {

struct SqlGroups {
  std::size_t input = 0;
  std::string view;                   // the name under which the query reads the dataset
  std::vector<ResultColumn> columns;  // of the caller's query: names and types of the answer
};

// The stages scan, combine.N, result. `view` is open in the session. std::nullopt: a key or an
// argument has a type whose states can't be kept (*why_not names it).
Result<std::optional<OperationPlan>> plan_sql_groups(const PlanRequest& request,
                                                     const SqlGroups& groups,
                                                     const GroupedQuery& query,
                                                     const Json& delivery, std::string* why_not);
std::vector<StageBody> sql_groups_bodies();

// Ends a sql task: the rows of the temporary table kSqlAnswer become the job's table.
inline constexpr const char* kSqlAnswer = "ps_answer";
Status finish_sql_answer(TaskEnv& env, const Json& delivery, const std::string& plan_text,
                         const ScanTotals& totals);

}  // namespace polysome
