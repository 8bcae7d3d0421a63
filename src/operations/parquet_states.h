// Partial states of numeric columns by groups straight from the pages of Parquet, through
// libparquet (kernels/arrow_library.h). Keys that lie in a dictionary stay its codes: each row
// group's dictionary is looked up once, its rows find their groups in an array. The same states,
// bit for bit, as the SQL aggregates give. For one partition; the slot's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/table_source.h"
#include "operations/state_table.h"

namespace polysome {

struct ParquetStatesPlan {
  std::vector<std::string> keys, values;  // names of columns
  StateShape shape;
  bool squares = false;
  // Most bytes of these columns of a row group, which bounds what their pages take; 0: no limit.
  // Few writers make a page of a whole column: it may be much.
  std::uint64_t unpacked = 0;
};

// `pieces` are ranges of rows of the files of `source`, which must outlive it; of the options
// progress and cancelled are heeded. Whatever libparquet does not read, or reads as an error, is
// false: DuckDB reads it, or says what is wrong.
std::unique_ptr<PartialStates> make_parquet_states(const TableSource& source,
                                                   std::vector<Partition> pieces,
                                                   const ScanOptions& options,
                                                   const ParquetStatesPlan& plan);

}  // namespace polysome
