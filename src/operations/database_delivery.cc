#include "operations/database_delivery.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/files.h"
#include "data/postgres.h"
#include "data/sqlite_file.h"
#include "operations/byte_sink.h"

namespace polysome {
namespace {

constexpr const char* kDeliveries = "polysome_deliveries";
constexpr int kLockKey =
    0x70735f64;  // of PostgreSQL's advisory locks: one delivery begins at a time

const Connections& known(const Connections* connections) {
  static const Connections none;
  return connections != nullptr ? *connections : none;
}

Error exists_error(const DatabaseUrl& url) {
  return Error(Code::kUserData, fmt::format("table {} exists already", url.label()),
               "choose another table, or say \"if_exists\": \"replace\"")
      .at("/output/database");
}

std::string task_name(const TaskEnv& env) {
  return fmt::format("{}/{}", env.spec.stage_name, env.spec.task.index);
}

std::string staging_name(const TaskEnv& env) {
  return fmt::format("polysome_staging_{}_{}", env.spec.task.job.text().substr(24),
                     env.spec.task.index);
}

// ---- PostgreSQL ----

std::string postgres_type(const ResultColumn& column) {
  const std::string& t = column.sql_type;
  if (t == "BIGINT" || t == "INTEGER" || t == "SMALLINT" || t == "TINYINT" || t == "UINTEGER" ||
      t == "USMALLINT" || t == "UTINYINT")
    return "bigint";
  if (t == "DOUBLE" || t == "FLOAT") return "double precision";
  if (t == "BOOLEAN") return "boolean";
  if (t == "DATE") return "date";
  if (t.starts_with("TIMESTAMP"))
    return t.find("TIME ZONE") != std::string::npos ? "timestamptz" : "timestamp";
  if (t.starts_with("DECIMAL")) return "numeric" + t.substr(7);
  if (t == "HUGEINT" || t == "UBIGINT" || t == "UHUGEINT") return "numeric";
  return "text";
}

// Rows as CSV in the stage's folder, sent block by block: PostgreSQL sees no more memory than that.
Status send_rows(TaskEnv& env, Postgres& db, const std::string& select, const std::string& into) {
  const std::string path = env.path_of("rows.csv");
  POLYSOME_TRY(env.session().run(fmt::format(
      "COPY ({}) TO {} (FORMAT csv, HEADER false, NULLSTR '\\N')", select, sql_text(path))));
  const auto sent = db.copy_in(fmt::format("COPY {} FROM STDIN (FORMAT csv, NULL '\\N')", into),
                               [&](const std::function<Status(std::string_view)>& put) {
                                 return read_blocks(path, [&](std::string_view block) -> Status {
                                   POLYSOME_TRY(env.check_cancelled());
                                   return put(block);
                                 });
                               });
  (void)remove_all(path);
  return sent;
}

Result<bool> postgres_has(Postgres& db, const std::string& table) {
  POLYSOME_ASSIGN(const auto found, db.query(fmt::format("SELECT to_regclass({}) IS NOT NULL",
                                                         db.literal(db.table_name(table)))));
  return found.text(0, 0) == "t";
}

Status to_postgres(TaskEnv& env, const Delivery& delivery, const DatabaseUrl& url,
                   const std::vector<ResultColumn>& columns, const std::string& select) {
  POLYSOME_ASSIGN(auto db, Postgres::connect(url, known(env.context.connections)));
  POLYSOME_TRY(db.run("BEGIN"));
  POLYSOME_TRY(db.run(fmt::format("SELECT pg_advisory_xact_lock({})", kLockKey)));
  POLYSOME_TRY(db.run(fmt::format(
      "CREATE TABLE IF NOT EXISTS {} (job text, task text, target text NOT NULL, rows bigint NOT "
      "NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (job, task))",
      kDeliveries)));
  const std::string job = db.literal(env.spec.task.job.text());
  const std::string task = db.literal(task_name(env));
  POLYSOME_ASSIGN(const auto before, db.query(fmt::format("SELECT 1 FROM {} WHERE job = {} AND "
                                                          "task = {}",
                                                          kDeliveries, job, task)));
  if (before.rows() > 0) return db.run("COMMIT");
  POLYSOME_ASSIGN(const bool exists, postgres_has(db, url.table));
  if (exists && !delivery.replace) return fail(exists_error(url));
  const auto dot = url.table.find('.');
  const std::string schema =
      dot == std::string::npos ? "" : db.identifier(url.table.substr(0, dot)) + ".";
  const std::string target = dot == std::string::npos ? url.table : url.table.substr(dot + 1);
  const std::string staging = schema + db.identifier(staging_name(env));
  std::string list;
  for (const auto& c : columns)
    list +=
        fmt::format("{}{} {}", list.empty() ? "" : ", ", db.identifier(c.name), postgres_type(c));
  POLYSOME_TRY(db.run(fmt::format("CREATE TABLE {} ({})", staging, list)));
  POLYSOME_TRY(send_rows(env, db, select, staging));
  if (exists) POLYSOME_TRY(db.run("DROP TABLE " + db.table_name(url.table)));
  POLYSOME_TRY(db.run(fmt::format("ALTER TABLE {} RENAME TO {}", staging, db.identifier(target))));
  POLYSOME_TRY(db.run(
      fmt::format("INSERT INTO {} (job, task, target, rows) SELECT {}, {}, {}, count(*) FROM {}",
                  kDeliveries, job, task, db.literal(url.table), db.table_name(url.table))));
  return db.run("COMMIT");
}

// ---- SQLite ----

std::string sqlite_type(const ResultColumn& column) {
  const std::string type = postgres_type(column);
  if (type == "bigint" || type == "boolean") return "INTEGER";
  if (type == "double precision") return "REAL";
  return "TEXT";  // also exact decimals, dates and times
}

Result<bool> sqlite_has(SqliteFile& db, const std::string& table) {
  POLYSOME_ASSIGN(auto found, db.prepare(fmt::format("SELECT 1 FROM sqlite_master WHERE name = {}",
                                                     sql_text(table))));
  return db.step(found);
}

// How a column comes out of DuckDB for binding.
std::string for_sqlite(const ResultColumn& column) {
  const std::string name = sql_identifier(column.name);
  const std::string type = sqlite_type(column);
  return fmt::format("CAST({} AS {})", name,
                     type == "INTEGER" ? "BIGINT"
                     : type == "REAL"  ? "DOUBLE"
                                       : "VARCHAR");
}

void bind_value(sqlite3_stmt* insert, int at, duckdb_type type, duckdb_vector vector, idx_t row) {
  auto* validity = duckdb_vector_get_validity(vector);
  if (validity != nullptr && !duckdb_validity_row_is_valid(validity, row)) {
    sqlite3_bind_null(insert, at);
    return;
  }
  void* data = duckdb_vector_get_data(vector);
  if (type == DUCKDB_TYPE_BIGINT) {
    sqlite3_bind_int64(insert, at, static_cast<std::int64_t*>(data)[row]);
  } else if (type == DUCKDB_TYPE_DOUBLE) {
    sqlite3_bind_double(insert, at, static_cast<double*>(data)[row]);
  } else {
    auto* text = static_cast<duckdb_string_t*>(data) + row;
    sqlite3_bind_text(insert, at, duckdb_string_t_data(text),
                      static_cast<int>(duckdb_string_t_length(*text)), SQLITE_TRANSIENT);
  }
}

Result<std::uint64_t> insert_rows(TaskEnv& env, SqliteFile& db,
                                  const std::vector<ResultColumn>& columns,
                                  const std::string& select, const std::string& into) {
  std::string list, places;
  for (const auto& c : columns) {
    list += (list.empty() ? "" : ", ") + for_sqlite(c);
    places += places.empty() ? "?" : ", ?";
  }
  POLYSOME_ASSIGN(auto insert, db.prepare(fmt::format("INSERT INTO {} VALUES ({})", into, places)));
  POLYSOME_ASSIGN(QueryResult rows,
                  env.session().query(fmt::format("SELECT {} FROM ({})", list, select)));
  std::uint64_t n = 0;
  while (duckdb_data_chunk chunk = rows.fetch()) {
    POLYSOME_TRY(env.check_cancelled());
    const idx_t size = duckdb_data_chunk_get_size(chunk);
    for (idx_t r = 0; r < size; ++r) {
      for (std::size_t c = 0; c < columns.size(); ++c)
        bind_value(insert.get(), static_cast<int>(c) + 1, rows.column_type(c),
                   duckdb_data_chunk_get_vector(chunk, c), r);
      POLYSOME_TRY(db.step(insert));
      sqlite3_reset(insert.get());
    }
    n += size;
  }
  return n;
}

Status to_sqlite(TaskEnv& env, const Delivery& delivery, const DatabaseUrl& url,
                 const std::vector<ResultColumn>& columns, const std::string& select) {
  POLYSOME_TRY(make_folders(std::filesystem::path(url.path).parent_path()));
  POLYSOME_ASSIGN(auto db, SqliteFile::open(url.path, true, env.context.cancelled));
  // Everything below is one transaction: a process that dies leaves a journal, which the next one
  // to open the file rolls back.
  POLYSOME_TRY(db.run("BEGIN IMMEDIATE"));
  POLYSOME_TRY(db.run(fmt::format(
      "CREATE TABLE IF NOT EXISTS {} (job TEXT, task TEXT, target TEXT NOT NULL, rows INTEGER NOT "
      "NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (job, task))",
      kDeliveries)));
  const std::string job = sql_text(env.spec.task.job.text());
  const std::string task = sql_text(task_name(env));
  {
    POLYSOME_ASSIGN(auto before,
                    db.prepare(fmt::format("SELECT 1 FROM {} WHERE job = {} AND task = {}",
                                           kDeliveries, job, task)));
    POLYSOME_ASSIGN(const bool done, db.step(before));
    if (done) {
      sqlite3_reset(before.get());
      return db.run("COMMIT");
    }
  }
  POLYSOME_ASSIGN(const bool exists, sqlite_has(db, url.table));
  if (exists && !delivery.replace) return fail(exists_error(url));
  const std::string staging = sql_identifier(staging_name(env));
  const std::string target = sql_identifier(url.table);
  std::string list;
  for (const auto& c : columns)
    list +=
        fmt::format("{}{} {}", list.empty() ? "" : ", ", sql_identifier(c.name), sqlite_type(c));
  POLYSOME_TRY(db.run(fmt::format("CREATE TABLE {} ({})", staging, list)));
  POLYSOME_ASSIGN(const std::uint64_t rows, insert_rows(env, db, columns, select, staging));
  if (exists) POLYSOME_TRY(db.run("DROP TABLE " + target));
  POLYSOME_TRY(db.run(fmt::format("ALTER TABLE {} RENAME TO {}", staging, target)));
  POLYSOME_TRY(
      db.run(fmt::format("INSERT INTO {} (job, task, target, rows) VALUES ({}, {}, {}, {})",
                         kDeliveries, job, task, sql_text(url.table), rows)));
  return db.run("COMMIT");
}

}  // namespace

Status deliver_to_database(TaskEnv& env, const Delivery& delivery,
                           const std::vector<ResultColumn>& columns, const std::string& select) {
  POLYSOME_ASSIGN(const DatabaseUrl url, parse_database_url(delivery.database));
  return url.kind == DatabaseUrl::Kind::kSqlite ? to_sqlite(env, delivery, url, columns, select)
                                                : to_postgres(env, delivery, url, columns, select);
}

Status check_database_output(const JobDescription& job, const Connections* connections) {
  POLYSOME_ASSIGN(const auto delivery, delivery_of(job, {}));
  if (!delivery || delivery->database.empty()) return {};
  POLYSOME_ASSIGN(const DatabaseUrl url, parse_database_url(delivery->database));
  bool exists = false;
  if (url.kind == DatabaseUrl::Kind::kPostgres) {
    POLYSOME_ASSIGN(auto db, Postgres::connect(url, known(connections)));
    POLYSOME_ASSIGN(exists, postgres_has(db, url.table));
  } else if (std::error_code ec; std::filesystem::exists(url.path, ec)) {
    POLYSOME_ASSIGN(auto db, SqliteFile::open(url.path, false, nullptr));
    POLYSOME_ASSIGN(exists, sqlite_has(db, url.table));
  }
  if (exists && !delivery->replace) return fail(exists_error(url));
  return {};
}

}  // namespace polysome
