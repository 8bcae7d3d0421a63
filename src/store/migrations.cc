#include "store/migrations.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/files.h"
#include "base/log.h"

namespace polysome {
namespace {

// processing_jobs holds the small columns only: filters and totals walk it without touching the
// documents. job_documents has what was asked for and how far it is, the result apart because lists
// leave it out. Times are milliseconds since the epoch, documents are JSON text.
constexpr const char* kVersion1 = R"sql(
CREATE TABLE processing_jobs (
  id BLOB NOT NULL PRIMARY KEY,
  sequence INTEGER NOT NULL,
  type TEXT NOT NULL,
  operation TEXT NOT NULL,
  dataset_id TEXT,
  priority INTEGER NOT NULL,
  status TEXT NOT NULL,
  progress REAL NOT NULL,
  n_workers INTEGER,
  memory_per_worker INTEGER,
  user TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  completed_at INTEGER,
  pruned_seq INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_by_status ON processing_jobs(status);
CREATE INDEX jobs_by_operation ON processing_jobs(operation);
CREATE INDEX jobs_by_user ON processing_jobs(user);
CREATE INDEX jobs_by_name ON processing_jobs(name);
CREATE INDEX jobs_by_sequence ON processing_jobs(sequence);

CREATE TABLE job_documents (
  job BLOB NOT NULL UNIQUE,
  spec TEXT NOT NULL,
  state TEXT NOT NULL,
  result TEXT,
  parameters ANY GENERATED ALWAYS AS (json_extract(spec, '$.parameters')) VIRTUAL,
  error_message ANY GENERATED ALWAYS AS (json_extract(state, '$.error.detail')) VIRTUAL
) STRICT;

CREATE TABLE job_labels (
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  job BLOB NOT NULL,
  PRIMARY KEY (kind, value, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_job ON job_labels(job);

CREATE TABLE idempotency (
  user TEXT NOT NULL,
  key TEXT NOT NULL,
  job BLOB NOT NULL,
  body_hash TEXT NOT NULL,
  ended_at INTEGER,
  PRIMARY KEY (user, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_job ON idempotency(job);
CREATE INDEX idempotency_by_end ON idempotency(ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE task_ranges (
  job BLOB NOT NULL,
  stage INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (job, stage, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  type TEXT NOT NULL,
  job BLOB,
  seq INTEGER NOT NULL,
  data TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_job ON events(job) WHERE job IS NOT NULL;

CREATE TABLE datasets (
  id TEXT NOT NULL PRIMARY KEY,
  ref TEXT NOT NULL,
  record TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('epoch', 0);

CREATE TABLE cluster_metrics (
  id INTEGER PRIMARY KEY,
  timestamp INTEGER NOT NULL,
  fields TEXT NOT NULL,
  n_workers ANY GENERATED ALWAYS AS (json_extract(fields, '$.n_workers')) VIRTUAL,
  total_memory ANY GENERATED ALWAYS AS (json_extract(fields, '$.total_memory_bytes')) VIRTUAL,
  used_memory ANY GENERATED ALWAYS AS (json_extract(fields, '$.used_memory_bytes')) VIRTUAL,
  total_cores ANY GENERATED ALWAYS AS (json_extract(fields, '$.total_cores')) VIRTUAL,
  used_cores ANY GENERATED ALWAYS AS (json_extract(fields, '$.used_cores')) VIRTUAL,
  active_tasks ANY GENERATED ALWAYS AS (json_extract(fields, '$.active_tasks')) VIRTUAL,
  queued_tasks ANY GENERATED ALWAYS AS (json_extract(fields, '$.queued_tasks')) VIRTUAL,
  metrics_data ANY GENERATED ALWAYS AS (json_extract(fields, '$.metrics_data')) VIRTUAL
) STRICT;
CREATE INDEX metrics_by_time ON cluster_metrics(timestamp);
)sql";

// Jobs handed in together (batch_records.h), records that are kept, what ended jobs used, decisions
// of the autoscaler.
constexpr const char* kVersion2 = R"sql(
ALTER TABLE processing_jobs ADD COLUMN batch BLOB;
ALTER TABLE processing_jobs ADD COLUMN keep INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_by_batch ON processing_jobs(batch) WHERE batch IS NOT NULL;

CREATE TABLE batches (
  id BLOB NOT NULL PRIMARY KEY,
  user TEXT NOT NULL,
  n_jobs INTEGER NOT NULL,
  written INTEGER NOT NULL,
  first BLOB NOT NULL,
  last BLOB NOT NULL,
  first_sequence INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  base TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE batch_chunks (
  batch BLOB NOT NULL,
  number INTEGER NOT NULL,
  jobs TEXT NOT NULL,
  UNIQUE (batch, number)
) STRICT;

CREATE TABLE job_usage (
  job BLOB NOT NULL PRIMARY KEY,
  ended_at INTEGER NOT NULL,
  user TEXT NOT NULL,
  operation TEXT NOT NULL,
  completed INTEGER NOT NULL,
  cpu_seconds REAL NOT NULL,
  memory_gb_seconds REAL NOT NULL,
  seconds REAL NOT NULL,
  wait_seconds REAL NOT NULL,
  bytes_read INTEGER NOT NULL,
  input_bytes INTEGER NOT NULL,
  peak_memory INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_by_end ON job_usage(ended_at);

CREATE TABLE scaling_decisions (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  before INTEGER NOT NULL,
  after INTEGER NOT NULL,
  reason TEXT NOT NULL,
  numbers TEXT NOT NULL
) STRICT;
)sql";

constexpr std::array kMigrations{Migration{1, kVersion1}, Migration{2, kVersion2}};

// "Plys": tells our files from other people's SQLite files.
constexpr std::int64_t kApplicationId = 0x506C7973;

// Through SQLite, so that what is still in the log is in the copy too.
Status copy_to(Database& db, const std::filesystem::path& copy) {
  const auto temporary = copy.parent_path() / ("." + copy.filename().string() + ".tmp");
  POLYSOME_TRY(polysome::remove_all(temporary));
  {
    POLYSOME_ASSIGN(auto target, Database::open(temporary, Database::Mode::kPlain));
    sqlite3_backup* backup = sqlite3_backup_init(target.handle(), "main", db.handle(), "main");
    if (backup == nullptr) return fail(target.error(sqlite3_errcode(target.handle())));
    sqlite3_backup_step(backup, -1);
    const int code = sqlite3_backup_finish(backup);
    if (code != SQLITE_OK) return fail(target.error(code));
  }
  POLYSOME_TRY(sync_file(temporary));
  std::error_code reason;
  std::filesystem::rename(temporary, copy, reason);
  if (reason) return fail(errno_error("cannot rename to", copy, reason.value()));
  return sync_folder(copy.parent_path());
}

Status apply(Database& db, const Migration& step) {
  const auto script =
      fmt::format("BEGIN IMMEDIATE; {} PRAGMA user_version={}; COMMIT;", step.sql, step.to_version);
  auto done = db.run(script.c_str());
  if (!done) db.roll_back();
  return done;
}

}  // namespace

std::span<const Migration> store_migrations() { return kMigrations; }

Status migrate(Database& db, std::span<const Migration> steps) {
  POLYSOME_ASSIGN(const auto version, db.integer("PRAGMA user_version"));
  POLYSOME_ASSIGN(const auto owner, db.integer("PRAGMA application_id"));
  POLYSOME_ASSIGN(const auto tables, db.integer("SELECT count(*) FROM sqlite_master"));
  const int newest = steps.back().to_version;
  if (tables > 0 && (owner != kApplicationId || version == 0))
    return fail(Code::kConflict,
                db.file().string() + " is an SQLite file, but not a store of Polysome",
                "Move it away, or give another folder: --state-dir DIR.");
  if (version > newest)
    return fail(Code::kConflict,
                fmt::format("the store {} has format {}, written by a newer Polysome; this one "
                            "reads formats up to {}",
                            db.file().string(), version, newest),
                fmt::format("Start the newer program, or put the copy made before the upgrade "
                            "(store.v*.bak in the same folder) in the place of {}.",
                            db.file().filename().string()));
  if (version == newest) return {};
  if (version > 0) {
    const auto copy = db.file().parent_path() / fmt::format("store.v{}.bak", version);
    POLYSOME_TRY(copy_to(db, copy));
    log::info("store format {} becomes {}; a copy is in {}", version, newest, copy.string());
  } else {
    POLYSOME_TRY(db.run(fmt::format("PRAGMA application_id={}", kApplicationId).c_str()));
  }
  for (const auto& step : steps)
    if (step.to_version > version) POLYSOME_TRY(apply(db, step));
  return {};
}

}  // namespace polysome
