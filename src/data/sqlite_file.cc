#include "data/sqlite_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "model/database_url.h"

namespace polysome {
namespace {

constexpr int kBusyMs = 10'000;
constexpr int kStepsBetweenChecks = 10'000;

bool is_wal(const std::string& path) {
  std::array<char, 20> head{};
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return false;
  const bool whole = std::fread(head.data(), 1, head.size(), file) == head.size();
  std::fclose(file);
  return whole && head[18] == 2;
}

std::string file_uri(const std::string& path) {
  std::string out = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#')
      out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else
      out.push_back(c);
  }
  return out;
}

}  // namespace

std::string SqliteStatement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(raw_.get(), column));
  return bytes == nullptr
             ? std::string()
             : std::string(bytes,
                           static_cast<std::size_t>(sqlite3_column_bytes(raw_.get(), column)));
}

Error SqliteFile::error(int code) const {
  const std::string said = sqlite3_errmsg(raw_.get());
  const std::string message =
      fmt::format("{}: {}", std::filesystem::path(path_).filename().string(), said);
  switch (code & 0xff) {
    case SQLITE_INTERRUPT: return {Code::kCancelled, "cancelled"};
    case SQLITE_NOMEM: return {Code::kOutOfMemory, message};
    case SQLITE_FULL: return {Code::kDiskFull, message};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::kIo, message, "another program writes to it; the task is tried again"};
    case SQLITE_NOTADB: return {Code::kUserData, message, "is it a SQLite database?"};
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_IOERR:
      return {Code::kIo, message,
              is_wal(path_) ? "it is in WAL mode and open elsewhere, in a folder that workers may "
                              "not write; close it there, or: PRAGMA journal_mode=DELETE"
                            : ""};
    default: return {Code::kUserData, message};
  }
}

Result<SqliteFile> SqliteFile::open(const std::string& path, bool for_writing,
                                    const std::atomic<bool>* cancelled) {
  std::string uri = file_uri(path);
  std::error_code ec;
  if (!for_writing) {
    uri += "?mode=ro";
    if (is_wal(path) && !std::filesystem::exists(path + "-wal", ec)) uri += "&immutable=1";
  }
  const int flags =
      SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
      (for_writing ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(uri.c_str(), &raw, flags, nullptr);
  SqliteFile out(raw, path);
  if (raw == nullptr) return fail(Code::kOutOfMemory, "no memory to open " + path);
  if (code != SQLITE_OK) return fail(out.error(code));
  sqlite3_busy_timeout(raw, kBusyMs);
  if (cancelled != nullptr)
    sqlite3_progress_handler(
        raw, kStepsBetweenChecks,
        [](void* flag) {
          return static_cast<const std::atomic<bool>*>(flag)->load(std::memory_order_relaxed) ? 1
                                                                                              : 0;
        },
        const_cast<std::atomic<bool>*>(cancelled));
  return out;
}

Status SqliteFile::run(const std::string& sql) {
  const int code = sqlite3_exec(raw_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return fail(error(code));
  return {};
}

Result<SqliteStatement> SqliteFile::prepare(const std::string& sql) {
  sqlite3_stmt* raw = nullptr;
  const int code =
      sqlite3_prepare_v2(raw_.get(), sql.c_str(), static_cast<int>(sql.size()), &raw, nullptr);
  SqliteStatement out(raw);
  if (code != SQLITE_OK) return fail(error(code));
  return out;
}

Result<bool> SqliteFile::step(SqliteStatement& statement) {
  const int code = sqlite3_step(statement.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail(error(code));
}

Result<std::vector<std::string>> SqliteFile::tables() {
  POLYSOME_ASSIGN(auto rows, prepare("SELECT name FROM sqlite_master WHERE type IN ('table', "
                                     "'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
                                     "ORDER BY name"));
  std::vector<std::string> out;
  for (;;) {
    POLYSOME_ASSIGN(const bool more, step(rows));
    if (!more) return out;
    out.push_back(rows.text(0));
  }
}

bool looks_like_sqlite(std::string_view head) {
  return head.starts_with(std::string_view("SQLite format 3\0", 16));
}

Error needs_table(const std::string& path) {
  std::vector<std::string> names;
  if (auto file = SqliteFile::open(path, false, nullptr))
    if (auto tables = file->tables()) names = std::move(*tables);
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string table = names.empty() ? "TABLE" : names.front();
  DatabaseUrl url;
  url.path = path;
  url.table = table;
  constexpr std::size_t kNamed = 10;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kNamed); ++i)
    list += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kNamed) list += ", …";
  return {
      Code::kUserData,
      fmt::format(
          "{} is a SQLite database{}", name,
          names.empty() ? "" : fmt::format(" (table{}: {})", names.size() == 1 ? "" : "s", list)),
      fmt::format("name one of its tables: {}", url.text())};
}

}  // namespace polysome
