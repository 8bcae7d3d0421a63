// One connection to SQLite with its prepared statements, and a query on it as a scope. Adapts the C
// interface to Result and our ids. A connection is used by one thread at a time (opened NOMUTEX);
// it may be handed to another thread as a whole. Knows nothing of the store's tables.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "base/result.h"
#include "model/ids.h"

namespace polysome {

class Database {
 public:
  enum class Mode {
    kWrite,  // creates the file; WAL, synchronous=FULL, checkpoints only when told
    kRead,   // query_only; never checkpoints, not even when closed
    kPlain,  // creates the file; SQLite's defaults (copies)
  };
  // `vfs` names another SQLite file layer (tests inject failures with it); empty: the default.
  static Result<Database> open(const std::filesystem::path& file, Mode mode,
                               const std::string& vfs = {});

  // Statements without parameters, one or several.
  Status run(const char* script);
  bool in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }
  void roll_back();
  // The first column of the first row; 0 when there is no row.
  Result<std::int64_t> integer(std::string_view sql);

  sqlite3* handle() const { return handle_.get(); }
  const std::filesystem::path& file() const { return file_; }
  // The error of a call on this connection that answered `code`. kDiskFull and kIo: the
  // surroundings are in trouble and the same may work later; kConflict and kInternal: the statement
  // itself is wrong.
  Error error(int code) const;

 private:
  friend class Query;
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  struct Finalize {
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

  Database() = default;
  Result<sqlite3_stmt*> statement(std::string_view sql);

  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Close> handle_;
  std::unordered_map<std::string, Statement, TextHash, std::equal_to<>> statements_;
};

// One run of a cached statement: bind, step, read; reset at the end of the scope. The first error
// is kept and ends the rows.
class Query {
 public:
  using Value = std::variant<std::int64_t, std::string, JobId>;

  Query(Database& db, std::string_view sql);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  template <class... Args>
  Query& with(const Args&... args) {
    (bind(args), ...);
    return *this;
  }
  void bind(std::int64_t value);
  void bind(std::uint64_t value) { bind(static_cast<std::int64_t>(value)); }
  void bind(std::uint32_t value) { bind(static_cast<std::int64_t>(value)); }
  void bind(int value) { bind(static_cast<std::int64_t>(value)); }
  void bind(double value);
  void bind(std::string_view value);
  void bind(const std::string& value) { bind(std::string_view(value)); }
  void bind(const char* value) { bind(std::string_view(value)); }
  void bind(const JobId& value);
  void bind(std::nullopt_t);
  void bind(const Value& value) {
    std::visit([this](const auto& v) { bind(v); }, value);
  }
  template <class T>
  void bind(const std::optional<T>& value) {
    if (value)
      bind(*value);
    else
      bind(std::nullopt);
  }

  // True: a row is there. False: no more rows, or an error (status()).
  bool next();
  // Steps to the end.
  Status run();
  Status status() const;

  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  bool null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::string_view text(int column) const;
  JobId job_id(int column) const;

 private:
  void check(int code);

  Database& db_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  std::optional<Error> error_;
};

}  // namespace polysome
