// SQLite files: opened, asked and read with errors as Results. Read-only unless opened for writing.
// A file in WAL mode that nobody has open is read as immutable, since its folder may not be
// writable here. One thread.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace polysome {

class SqliteStatement {
 public:
  explicit SqliteStatement(sqlite3_stmt* raw) : raw_(raw, &sqlite3_finalize) {}
  sqlite3_stmt* get() const { return raw_.get(); }
  std::string text(int column) const;

 private:
  std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> raw_;
};

class SqliteFile {
 public:
  // Errors: kIo, kUserData (no database). `cancelled` interrupts statements when it becomes true.
  static Result<SqliteFile> open(const std::string& path, bool for_writing,
                                 const std::atomic<bool>* cancelled);
  Status run(const std::string& sql);
  Result<SqliteStatement> prepare(const std::string& sql);
  // True: a row; false: the end.
  Result<bool> step(SqliteStatement& statement);
  // Tables and views, without SQLite's own.
  Result<std::vector<std::string>> tables();

 private:
  SqliteFile(sqlite3* raw, std::string path) : raw_(raw, &sqlite3_close), path_(std::move(path)) {}
  Error error(int code) const;
  std::unique_ptr<sqlite3, decltype(&sqlite3_close)> raw_;
  std::string path_;
};

// Whether a file begins so.
bool looks_like_sqlite(std::string_view head);
// For who named the file where a table is needed: says its tables and how to write the address.
Error needs_table(const std::string& path);

}  // namespace polysome
