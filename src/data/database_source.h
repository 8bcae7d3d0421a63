// Tables of databases as datasets. inspect_database() asks for columns and size; ingest_table()
// reads the table under one snapshot into plain-text parts, which are then a dataset like any
// other. The SQL is ours; of the caller come names only, quoted. One thread; sandboxed like every
// task.
#pragma once

#include <string>
#include <vector>

#include "data/table_source.h"
#include "model/connections.h"

namespace polysome {

bool is_database(const std::string& format);  // sqlite, postgresql

// Fills in format, file, columns and dialect. Errors: kUserData (no such table, with the nearest
// one), kIo (server not reached), kForbidden (a SQLite file outside the read roots).
Result<TableSource> inspect_database(const DatasetRef& ref,
                                     const std::vector<std::string>& read_roots,
                                     const Connections& connections);
Result<std::vector<UnpackedPart>> ingest_table(const TableSource& source,
                                               std::uint64_t partition_size,
                                               const std::string& output_prefix,
                                               const ScanOptions& options);
// What reads the parts, its files not filled in.
TableSource ingested_source(const TableSource& source);

}  // namespace polysome
