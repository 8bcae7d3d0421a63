// A DuckDB instance behind RAII and Result: opened, configured, given our functions, then locked.
// One thread uses it; interrupt() may come from another. Nothing else in the program includes
// duckdb.h but kernels/ and data/.
#pragma once

#include <duckdb.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace polysome {

struct SessionConfig {
  std::uint64_t memory = 1'000'000'000;    // DuckDB's memory_limit (already 70 % of the grant)
  std::string temp_folder;                 // spills
  std::vector<std::string> allowed_paths;  // files and folders that SQL may open
  std::vector<std::string> allowed_directories;
};

// One row group of a result: typed access to DuckDB's vectors. Valid until the next fetch.
class QueryResult {
 public:
  explicit QueryResult(duckdb_result raw);
  ~QueryResult();
  QueryResult(QueryResult&&) noexcept;
  QueryResult& operator=(QueryResult&&) noexcept;
  QueryResult(const QueryResult&) = delete;
  QueryResult& operator=(const QueryResult&) = delete;

  std::size_t column_count() const;
  std::string column_name(std::size_t column) const;
  duckdb_type column_type(std::size_t column) const;
  std::string column_type_name(std::size_t column) const;  // "DOUBLE", "DECIMAL(18,3)", "VARCHAR" …
  // The next chunk, or nullptr at the end. Owned by this object.
  duckdb_data_chunk fetch();

 private:
  duckdb_result raw_{};
  duckdb_data_chunk chunk_ = nullptr;
  bool live_ = false;
};

// A result that is computed while it is fetched: nothing but the rows in hand is in memory. The
// session runs no other query until this is gone.
class RowStream {
 public:
  struct State;
  explicit RowStream(std::unique_ptr<State> state);
  ~RowStream();
  RowStream(RowStream&&) noexcept;
  RowStream& operator=(RowStream&&) noexcept = delete;

  std::size_t column_count() const;
  std::string column_name(std::size_t column) const;
  // Owned by the caller (duckdb_destroy_logical_type).
  duckdb_logical_type column_type(std::size_t column) const;
  // The next chunk, or nullptr at the end; valid until the next fetch. Errors: those of query().
  Result<duckdb_data_chunk> fetch();

 private:
  std::unique_ptr<State> state_;
};

// A table function of ours: SELECT … FROM name(handle::UBIGINT), with the number of an object that
// is held. The three callbacks find the session as their extra info.
struct TableFunction {
  const char* name = nullptr;
  duckdb_table_function_bind_t bind = nullptr;
  duckdb_table_function_init_t start = nullptr;
  duckdb_table_function_t fill = nullptr;
  bool only_asked_columns = false;  // projection pushdown
};

class Session {
 public:
  // Opens in memory with threads=1, registers the kernels' functions, leaves it unlocked. Of one
  // that is only made, the first use does that, and gives its errors: many tasks need no SQL.
  static Result<std::unique_ptr<Session>> open(const SessionConfig& config);
  static std::unique_ptr<Session> make(const SessionConfig& config);
  // Opens the instance of the next session to come, in this process, while there is nothing else to
  // do; gives it up again. Not while a session is being opened.
  static void prepare_one();
  static void drop_prepared();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  duckdb_connection connection() const;  // null before the first use of a session that is only made
  // No further configuration, no external access but the allowed paths.
  Status lock();
  Status run(const std::string& sql);
  // Errors: kOutOfMemory, kCancelled (interrupted), kDiskFull, kIo or kUserData by DuckDB's error
  // type; a pending error set by one of our table functions (set_error) takes precedence.
  Result<QueryResult> query(const std::string& sql);
  Result<RowStream> stream(const std::string& sql);
  // First column of the first row as text / integer (our own SQL; a missing row is kInternal).
  Result<std::string> text(const std::string& sql);
  Result<std::int64_t> integer(const std::string& sql);
  // From any thread.
  void interrupt();
  // Table functions run inside DuckDB, which passes on a text only: they leave the whole Error
  // here.
  void set_error(Error error);

  // Objects our table functions refer to by an opaque number in SQL (never a path).
  std::uint64_t hold(std::shared_ptr<void> object);
  std::shared_ptr<void> held(std::uint64_t handle) const;
  void release(std::uint64_t handle);
  // Once; again is fine.
  Status register_table_function(const TableFunction& function);
  // A temporary view over held objects, which go when a view of the same name takes its place.
  Status open_view(const std::string& view, const std::string& select,
                   std::vector<std::uint64_t> handles);

 private:
  friend class RowStream;
  struct State;
  explicit Session(std::unique_ptr<State> state);
  Status ready();
  Status lock_now();
  std::unique_ptr<State> state_;
};

std::string sql_identifier(std::string_view name);  // "a""b"
std::string sql_text(std::string_view value);       // 'it''s'

}  // namespace polysome
