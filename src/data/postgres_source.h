// A table or view of PostgreSQL as a dataset: several connections read ranges of its pages side by
// side, all under one exported snapshot.
#pragma once

#include <string>
#include <vector>

#include "data/table_source.h"
#include "model/connections.h"

namespace polysome {

Status inspect_postgres(const DatabaseUrl& url, const Connections& connections,
                        TableSource* source);
Result<std::vector<UnpackedPart>> ingest_postgres(
    const DatabaseUrl& url, const Connections& connections, const TableSource& source,
    std::uint64_t partition_size, const std::string& prefix, const ScanOptions& options);

}  // namespace polysome
