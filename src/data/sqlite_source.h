// A table or view of a SQLite file as a dataset, read in one statement, which is one snapshot.
#pragma once

#include <string>
#include <vector>

#include "data/table_source.h"
#include "model/database_url.h"

namespace polysome {

// Columns by their declared type; where that says nothing (views, NUMERIC), by their first values.
Status inspect_sqlite(const DatabaseUrl& url, TableSource* source);
Result<std::vector<UnpackedPart>> ingest_sqlite(const DatabaseUrl& url, const TableSource& source,
                                                std::uint64_t partition_size,
                                                const std::string& prefix,
                                                const ScanOptions& options);

}  // namespace polysome
