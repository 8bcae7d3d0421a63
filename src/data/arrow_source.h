// Files and streams of Arrow IPC (.arrow, .feather, .ipc) as tables: types from the schema, exact
// rows, partitions of batches or row ranges as those of Parquet are of row groups. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

Status inspect_arrow(Session& session, TableSource* source, const Json& layout,
                     const InspectOptions& options);
Result<std::shared_ptr<ScanReport>> open_arrow_view(Session& session, const std::string& view,
                                                    const TableSource& source,
                                                    const std::vector<Partition>& partitions,
                                                    const ScanOptions& options);

}  // namespace polysome
