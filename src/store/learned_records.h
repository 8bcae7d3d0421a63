// What the scheduler learns, in the file: what ended jobs used, and the decisions of the
// autoscaler. Writers' functions run as writes.h says, readers' on the loop.
#pragma once

#include <functional>
#include <vector>

#include "store/sqlite.h"
#include "store/store.h"
#include "store/writes.h"

namespace polysome::learned_records {

Apply record_usage(const StoredUsage& usage);
Apply append_decision(const StoredDecision& decision);

Status each_usage(Database& db, WallTime since,
                  const std::function<void(const StoredUsage&)>& visit);
Status decisions(Database& db, std::optional<std::int64_t> before, std::size_t limit,
                 std::vector<StoredDecision>* out);

}  // namespace polysome::learned_records
