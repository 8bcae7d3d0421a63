// Partial states of the numeric columns of very wide Parquet, without groups: read column by column
// through libparquet (kernels/arrow_library.h), since DuckDB pays for each column of each chunk.
// The same states, bit for bit, as the SQL aggregates give. For one partition; the slot's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/table_source.h"
#include "operations/state_table.h"

namespace polysome {

struct WideStatesPlan {
  std::vector<std::string> columns;
  StateShape shape;  // no keys; a value for each column
  bool squares = false;
};

// `pieces` are ranges of rows of the files of `source`, which must outlive it; of the options
// progress and cancelled are heeded.
std::unique_ptr<PartialStates> make_wide_states(const TableSource& source,
                                                std::vector<Partition> pieces,
                                                const ScanOptions& options,
                                                const WideStatesPlan& plan);

}  // namespace polysome
