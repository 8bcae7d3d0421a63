// Partial states of numeric columns by groups from the rows of a query, for files that DuckDB reads
// well and whose rows it need not bring together itself: its vectors go chunk by chunk into our own
// table. The same states, bit for bit, as the SQL aggregates give. For one partition; the slot's
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/session.h"
#include "operations/state_table.h"

namespace polysome {

struct QueryStatesPlan {
  std::string sql;  // its columns: the keys (BIGINT, VARCHAR), then the values (BIGINT, DOUBLE)
  StateShape shape;
  bool squares = false;
  std::uint64_t rows = 0;  // that the query has to give: with fewer, read() is false
  const std::atomic<bool>* cancelled = nullptr;
};

std::unique_ptr<PartialStates> make_query_states(Session& session, const QueryStatesPlan& plan);

}  // namespace polysome
