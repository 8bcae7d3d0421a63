// The table function ps_rows(handle): rows that our own code makes, for SQL to write, merge or
// join. The object behind the handle says its columns and fills chunk after chunk, once, in order.
// The session's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/session.h"

namespace polysome {

struct LogicalTypeDeleter {
  void operator()(duckdb_logical_type type) const { duckdb_destroy_logical_type(&type); }
};
// A type with what belongs to it: width and scale of decimals.
using SharedType = std::shared_ptr<std::remove_pointer_t<duckdb_logical_type>>;

struct RowSource {
  struct Column {
    std::string name;
    duckdb_type type = DUCKDB_TYPE_BIGINT;
    SharedType exact = nullptr;  // in place of `type`
  };
  std::vector<Column> columns;
  // Fills up to duckdb_vector_size() rows of every column's vector; returns how many, 0 at the end.
  std::function<Result<std::size_t>(duckdb_data_chunk)> fill;
};

// Makes ps_rows known in the session, once.
Status register_row_source(Session& session);

}  // namespace polysome
