#include "store/sqlite.h"

#include <cerrno>
#include <cstring>

namespace polysome {
namespace {

constexpr int kBusyMillis = 1000;  // somebody looks in with the sqlite3 shell

constexpr const char* kWriterSettings =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
    "PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000;";
constexpr const char* kReaderSettings =
    "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-16000;";

bool out_of_space(int code, int system_error) {
  return (code & 0xff) == SQLITE_FULL ||
         ((code & 0xff) == SQLITE_IOERR && (system_error == ENOSPC || system_error == EDQUOT));
}

Code code_of(int code, int system_error) {
  if (out_of_space(code, system_error)) return Code::kDiskFull;
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT: return Code::kConflict;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG: return Code::kInternal;
    default: return Code::kIo;
  }
}

std::string hint_of(int code, Code as, const std::filesystem::path& file) {
  if (as == Code::kDiskFull)
    return "Free space on the disk of " + file.parent_path().string() +
           "; the service goes on by itself.";
  if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
    return "The file is damaged. Stop the service, keep a copy, and put a backup in its place or "
           "move it away to begin with an empty store.";
  if (as == Code::kIo)
    return "Look at the disk and the rights of " + file.parent_path().string() + ".";
  return {};
}

}  // namespace

Result<Database> Database::open(const std::filesystem::path& file, Mode mode,
                                const std::string& vfs) {
  Database db;
  db.file_ = file;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (mode != Mode::kRead) flags |= SQLITE_OPEN_CREATE;
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(file.c_str(), &handle, flags, vfs.empty() ? nullptr : vfs.c_str());
  db.handle_.reset(handle);
  if (handle == nullptr) return fail(Code::kOutOfMemory, "no memory to open " + file.string());
  if (code != SQLITE_OK) return fail(db.error(code));
  sqlite3_busy_timeout(handle, kBusyMillis);
  if (mode == Mode::kPlain) return db;
  // Bookworm's SQLite 3.40 has a race between connections that reset the log: only the writer may.
  if (mode == Mode::kRead) sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  POLYSOME_TRY(db.run(mode == Mode::kWrite ? kWriterSettings : kReaderSettings));
  return db;
}

Status Database::run(const char* script) {
  const int code = sqlite3_exec(handle_.get(), script, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return fail(error(code));
  return {};
}

void Database::roll_back() {
  // SQLite itself ends the transaction after some errors.
  if (in_transaction()) sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<std::int64_t> Database::integer(std::string_view sql) {
  Query query(*this, sql);
  const std::int64_t value = query.next() ? query.integer(0) : 0;
  POLYSOME_TRY(query.status());
  return value;
}

Error Database::error(int code) const {
  const int system_error = sqlite3_system_errno(handle_.get());
  const Code as = code_of(code, system_error);
  std::string reason = sqlite3_errmsg(handle_.get());
  if ((code & 0xff) == SQLITE_IOERR && system_error != 0)
    reason += std::string(" (") + std::strerror(system_error) + ")";
  return Error(as, "the store " + file_.string() + ": " + reason, hint_of(code, as, file_));
}

Result<sqlite3_stmt*> Database::statement(std::string_view sql) {
  if (const auto it = statements_.find(sql); it != statements_.end()) return it->second.get();
  sqlite3_stmt* made = nullptr;
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &made, nullptr);
  if (code != SQLITE_OK) return fail(error(code));
  statements_.emplace(std::string(sql), Statement(made));
  return made;
}

Query::Query(Database& db, std::string_view sql) : db_(db) {
  auto statement = db.statement(sql);
  if (statement)
    statement_ = *statement;
  else
    error_ = std::move(statement).error();
}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::check(int code) {
  if (code != SQLITE_OK && !error_) error_ = db_.error(code);
}

void Query::bind(std::int64_t value) {
  if (!error_) check(sqlite3_bind_int64(statement_, ++bound_, value));
}
void Query::bind(double value) {
  if (!error_) check(sqlite3_bind_double(statement_, ++bound_, value));
}
void Query::bind(std::string_view value) {
  if (!error_)
    check(sqlite3_bind_text64(statement_, ++bound_, value.data() == nullptr ? "" : value.data(),
                              value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}
void Query::bind(const JobId& value) {
  if (!error_)
    check(sqlite3_bind_blob64(statement_, ++bound_, value.bytes.data(), value.bytes.size(),
                              SQLITE_TRANSIENT));
}
void Query::bind(std::nullopt_t) {
  if (!error_) check(sqlite3_bind_null(statement_, ++bound_));
}

bool Query::next() {
  if (error_) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) error_ = db_.error(code);
  return false;
}

Status Query::run() {
  while (next()) {
  }
  return status();
}

Status Query::status() const {
  if (error_) return fail(*error_);
  return {};
}

std::string_view Query::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

JobId Query::job_id(int column) const {
  JobId id;
  const void* blob = sqlite3_column_blob(statement_, column);
  if (blob != nullptr &&
      sqlite3_column_bytes(statement_, column) == static_cast<int>(id.bytes.size()))
    std::memcpy(id.bytes.data(), blob, id.bytes.size());
  return id;
}

}  // namespace polysome
