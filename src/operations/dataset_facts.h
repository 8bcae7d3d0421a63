// What can be said about a dataset in under a second: the folders it lies in, and how many rows it
// has.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/table_source.h"
#include "operations/task_runner.h"

namespace polysome {

// Folders that SQL must be allowed to open to read the dataset.
std::vector<std::string> dataset_folders(const DatasetRef& ref);

struct RowCount {
  std::optional<std::uint64_t> rows;  // none: cannot be told without reading all of it
  bool exact = false;
};
// Exact where the format knows or the data is small, else from the size of the rows at two places.
Result<RowCount> count_rows(Session& session, const TableSource& source,
                            const TaskContext& context);

}  // namespace polysome
