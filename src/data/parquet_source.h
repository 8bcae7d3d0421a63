// Parquet files as tables, read by DuckDB: types from the schema, exact rows, partitions of row
// groups or row ranges. One thread.
#pragma once

#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

// Types that go together (int64 and double, dates and timestamps) are read as the wider one;
// layout.types decides others. Errors: kUserData naming file, column and types.
Status inspect_parquet(Session& session, TableSource* source, const Json& layout,
                       const InspectOptions& options);
std::vector<Partition> cut_parquet(const TableSource& source, std::uint64_t partition_size);
Result<std::shared_ptr<ScanReport>> open_parquet_view(Session& session, const std::string& view,
                                                      const TableSource& source,
                                                      const std::vector<Partition>& partitions,
                                                      const ScanOptions& options);
// A JSON array: types as DuckDB tells them; read by unpacking it to Parquet.
Status inspect_json(Session& session, TableSource* source, const Json& layout);
// DuckDB's name of a type → ours where there is one (BIGINT → int64), else DuckDB's own.
std::string our_type(const std::string& duckdb_type);

}  // namespace polysome
