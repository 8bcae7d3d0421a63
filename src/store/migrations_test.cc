// Files of released versions go on being read, and become the newest format only after a copy.
#include "store/migrations.h"

#include <gtest/gtest.h>

#include <vector>

#include "store/loop_for_tests.h"
#include "store/sqlite_store.h"

namespace polysome {
namespace {

// The file as version 1 made it, frozen: later versions must go on reading it.
constexpr const char* kFileOfVersion1 = R"sql(
PRAGMA application_id=1349286259;
CREATE TABLE processing_jobs (
  id BLOB NOT NULL PRIMARY KEY, sequence INTEGER NOT NULL, type TEXT NOT NULL,
  operation TEXT NOT NULL, dataset_id TEXT, priority INTEGER NOT NULL, status TEXT NOT NULL,
  progress REAL NOT NULL, n_workers INTEGER, memory_per_worker INTEGER, user TEXT NOT NULL,
  name TEXT NOT NULL, created_at INTEGER NOT NULL, started_at INTEGER, completed_at INTEGER,
  pruned_seq INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_by_status ON processing_jobs(status);
CREATE INDEX jobs_by_operation ON processing_jobs(operation);
CREATE INDEX jobs_by_user ON processing_jobs(user);
CREATE INDEX jobs_by_name ON processing_jobs(name);
CREATE INDEX jobs_by_sequence ON processing_jobs(sequence);
CREATE TABLE job_documents (
  job BLOB NOT NULL UNIQUE, spec TEXT NOT NULL, state TEXT NOT NULL, result TEXT,
  parameters ANY GENERATED ALWAYS AS (json_extract(spec, '$.parameters')) VIRTUAL,
  error_message ANY GENERATED ALWAYS AS (json_extract(state, '$.error.detail')) VIRTUAL) STRICT;
CREATE TABLE job_labels (kind TEXT NOT NULL, value TEXT NOT NULL, job BLOB NOT NULL,
  PRIMARY KEY (kind, value, job)) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_job ON job_labels(job);
CREATE TABLE idempotency (user TEXT NOT NULL, key TEXT NOT NULL, job BLOB NOT NULL,
  body_hash TEXT NOT NULL, ended_at INTEGER, PRIMARY KEY (user, key)) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_job ON idempotency(job);
CREATE INDEX idempotency_by_end ON idempotency(ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE task_ranges (job BLOB NOT NULL, stage INTEGER NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, PRIMARY KEY (job, stage, first)) STRICT, WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, type TEXT NOT NULL, job BLOB,
  seq INTEGER NOT NULL, data TEXT NOT NULL) STRICT;
CREATE INDEX events_by_job ON events(job) WHERE job IS NOT NULL;
CREATE TABLE datasets (id TEXT NOT NULL PRIMARY KEY, ref TEXT NOT NULL, record TEXT NOT NULL,
  created_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE cluster_metrics (id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL,
  fields TEXT NOT NULL) STRICT;
CREATE INDEX metrics_by_time ON cluster_metrics(timestamp);
INSERT INTO counters VALUES ('epoch', 41);
INSERT INTO processing_jobs VALUES (x'019b76da8c007000800000000000000a', 7, 'table', 'aggregate',
  'my_dataset', 3, 'running', 12.5, NULL, NULL, 'ada', '', 1767225600000, 1767225600100, NULL, 0);
INSERT INTO job_documents (job, spec, state) VALUES (x'019b76da8c007000800000000000000a',
  '{"id":"019b76da-8c00-7000-8000-00000000000a","operation":"aggregate","dataset_ids":["my_dataset"],"datasets":[],"parameters":{"column":"expression","operation":"mean"},"output":{},"priority":3,"limits":{"max_attempts":3},"partition_size":100000000,"type":"table","user":"ada","name":"","tags":[],"depends_on":[],"on_bad_value":"fail","max_bad_values":null,"created_at":"2026-01-01T00:00:00.000Z"}',
  '{"status":"running","phase":"running","progress":12.5,"version":4,"started_at":"2026-01-01T00:00:00.100Z","completed_at":null,"eta_seconds":null,"stages":[],"attempts":[],"peak_memory_bytes":0,"cpu_seconds":0.0,"bytes_read":0,"waiting":null,"error":null,"warnings":[]}');
INSERT INTO job_labels VALUES ('dataset', 'my_dataset', x'019b76da8c007000800000000000000a');
INSERT INTO idempotency VALUES ('ada', 'k', x'019b76da8c007000800000000000000a', 'h', NULL);
INSERT INTO task_ranges VALUES (x'019b76da8c007000800000000000000a', 1, 0, 117);
INSERT INTO events VALUES (1, 1767225600000, 'job.status', x'019b76da8c007000800000000000000a', 1,
  '{"status":"pending"}');
INSERT INTO cluster_metrics VALUES (1, 1767225600000, '{"n_workers":4}');
PRAGMA user_version=1;
)sql";

void make_file_of_version_1(const std::filesystem::path& folder) {
  auto db = Database::open(folder / "store.db", Database::Mode::kWrite);
  ASSERT_TRUE(db);
  const auto made = db->run(kFileOfVersion1);
  ASSERT_TRUE(made) << made.error().message;
}

TEST(SqliteStore, ReadsAFileOfVersion1) {
  const FolderForTests folder;
  make_file_of_version_1(folder.path());
  LoopForTests loop;
  auto opened = open_sqlite_store(folder.path(), loop.post());
  ASSERT_TRUE(opened) << opened.error().message;
  const auto store = std::move(*opened);
  EXPECT_EQ(store->next_epoch(), 42u);
  const auto jobs = store->unfinished_jobs();
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].sequence, 7u);
  EXPECT_EQ(jobs[0].spec.parameters["column"], "expression");
  EXPECT_EQ(jobs[0].state.progress, 12.5);
  EXPECT_EQ(store->finished_tasks(jobs[0].spec.id).at(0).last, 117u);
  EXPECT_EQ(store->find_key("ada", "k")->first, jobs[0].spec.id);
  EXPECT_EQ(store->last_event_seq(jobs[0].spec.id), 1u);
  JobFilter filter;
  filter.dataset_id = "my_dataset";
  filter.status = JobStatus::kRunning;
  EXPECT_EQ(store->list_jobs(filter).second, 1u);
  // What version 2 added has its place, and old jobs are of no batch.
  StoredJob put = jobs[0];
  EXPECT_FALSE(put.spec.batch || put.spec.held || put.spec.keep);
  put.spec.keep = true;
  store->put_job(put, {});
  settle(loop, *store);
  EXPECT_TRUE(store->job(put.spec.id)->spec.keep);
}

TEST(Migrations, CopyTheFileBeforeTheFirstStep) {
  const FolderForTests folder;
  make_file_of_version_1(folder.path());
  auto db = Database::open(folder.path() / "store.db", Database::Mode::kWrite);
  ASSERT_TRUE(db);
  const std::vector<Migration> steps{
      store_migrations()[0],
      {2, "ALTER TABLE settings ADD COLUMN changed_at INTEGER; UPDATE counters SET value = 50;"},
      {3, "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;"}};
  const auto migrated = migrate(*db, steps);
  ASSERT_TRUE(migrated) << migrated.error().message;
  EXPECT_EQ(db->integer("PRAGMA user_version"), 3);
  EXPECT_EQ(db->integer("SELECT value FROM counters"), 50);
  EXPECT_EQ(db->integer("SELECT count(*) FROM later"), 0);

  auto copy = Database::open(folder.path() / "store.v1.bak", Database::Mode::kPlain);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->integer("PRAGMA user_version"), 1);
  EXPECT_EQ(copy->integer("SELECT value FROM counters"), 41);
  EXPECT_EQ(copy->integer("SELECT count(*) FROM processing_jobs"), 1);
}

TEST(Migrations, AStepThatFailsLeavesTheVersionBefore) {
  const FolderForTests folder;
  make_file_of_version_1(folder.path());
  auto db = Database::open(folder.path() / "store.db", Database::Mode::kWrite);
  const std::vector<Migration> steps{
      store_migrations()[0],
      {2, "UPDATE counters SET value = 50; INSERT INTO nowhere VALUES (1);"}};
  EXPECT_FALSE(migrate(*db, steps));
  EXPECT_EQ(db->integer("PRAGMA user_version"), 1);
  EXPECT_EQ(db->integer("SELECT value FROM counters"), 41);
  ASSERT_TRUE(migrate(*db, store_migrations()));
}

}  // namespace
}  // namespace polysome
