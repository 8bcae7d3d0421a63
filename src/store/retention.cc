#include "store/retention.h"

#include <algorithm>
#include <string>
#include <vector>

namespace polysome {
namespace {

constexpr std::int64_t kRowsAStep = 1000;
constexpr std::int64_t kJobsAStep = 50;  // each has rows in five tables

// Ids of events and metrics are gapless, so two seeks count them.
constexpr const char* kEventCount =
    "SELECT (SELECT max(id) FROM events) - (SELECT min(id) FROM events) + 1";
constexpr const char* kMetricCount =
    "SELECT (SELECT max(id) FROM cluster_metrics) - (SELECT min(id) FROM cluster_metrics) + 1";
constexpr const char* kUsageCount =
    "SELECT (SELECT max(rowid) FROM job_usage) - (SELECT min(rowid) FROM job_usage) + 1";
constexpr const char* kDecisionCount =
    "SELECT (SELECT max(id) FROM scaling_decisions) - (SELECT min(id) FROM scaling_decisions) + 1";

// Per-job numbers of events go on where they were, also when a waiting job's events are pruned.
Result<bool> trim_events(Database& db, std::int64_t kept) {
  POLYSOME_ASSIGN(const auto count, db.integer(kEventCount));
  if (count <= kept) return false;
  POLYSOME_ASSIGN(const auto first, db.integer("SELECT min(id) FROM events"));
  const auto end = first + std::min(count - kept, kRowsAStep);
  POLYSOME_TRY(Query(db,
                     "UPDATE processing_jobs SET pruned_seq = e.seq FROM (SELECT job, max(seq) AS "
                     "seq FROM events WHERE id < ? AND +job IS NOT NULL GROUP BY job) AS e "
                     "WHERE processing_jobs.id = e.job")
                   .with(end)
                   .run());
  POLYSOME_TRY(Query(db, "DELETE FROM events WHERE id < ?").with(end).run());
  return count - kept > kRowsAStep;
}

Result<bool> trim_metrics(Database& db, std::int64_t kept) {
  POLYSOME_ASSIGN(const auto count, db.integer(kMetricCount));
  if (count <= kept) return false;
  POLYSOME_ASSIGN(const auto first, db.integer("SELECT min(id) FROM cluster_metrics"));
  POLYSOME_TRY(Query(db, "DELETE FROM cluster_metrics WHERE id < ?")
                   .with(first + std::min(count - kept, kRowsAStep))
                   .run());
  return count - kept > kRowsAStep;
}

Result<bool> trim_decisions(Database& db, std::int64_t kept) {
  POLYSOME_ASSIGN(const auto count, db.integer(kDecisionCount));
  if (count <= kept) return false;
  POLYSOME_ASSIGN(const auto first, db.integer("SELECT min(id) FROM scaling_decisions"));
  POLYSOME_TRY(Query(db, "DELETE FROM scaling_decisions WHERE id < ?")
                   .with(first + std::min(count - kept, kRowsAStep))
                   .run());
  return count - kept > kRowsAStep;
}

Result<bool> trim_keys(Database& db, WallTime ended_before) {
  POLYSOME_TRY(Query(db,
                     "DELETE FROM idempotency WHERE (user, key) IN (SELECT user, key FROM "
                     "idempotency WHERE ended_at < ? LIMIT ?)")
                   .with(ended_before, kRowsAStep)
                   .run());
  return sqlite3_changes64(db.handle()) == kRowsAStep;
}

// Batches that are empty by now.
Status trim_batches(Database& db) {
  return db.run(
      "DELETE FROM batches WHERE written = n_jobs AND NOT EXISTS (SELECT 1 FROM processing_jobs AS "
      "j WHERE j.batch = batches.id)");
}

Result<bool> trim_usage(Database& db, std::int64_t kept) {
  POLYSOME_ASSIGN(const auto count, db.integer(kUsageCount));
  if (count <= kept) return false;
  POLYSOME_TRY(Query(db,
                     "DELETE FROM job_usage WHERE rowid IN (SELECT rowid FROM job_usage ORDER BY "
                     "rowid LIMIT ?)")
                   .with(std::min(count - kept, kRowsAStep))
                   .run());
  return count - kept > kRowsAStep;
}

Result<Trimmed> trim_jobs(Database& db, std::int64_t over) {
  Trimmed trimmed;
  if (over <= 0) return trimmed;
  std::vector<JobId> oldest;
  Query query(
      db,
      // A job of a batch whose array is still there would come back from it.
      "SELECT id FROM processing_jobs WHERE +status IN ('completed', 'failed', 'cancelled') AND "
      "keep = 0 AND (batch IS NULL OR NOT EXISTS (SELECT 1 FROM batch_chunks AS c WHERE c.batch = "
      "processing_jobs.batch)) ORDER BY id LIMIT ?");
  query.with(std::min(over, kJobsAStep));
  while (query.next()) oldest.push_back(query.job_id(0));
  POLYSOME_TRY(query.status());
  for (const auto& id : oldest)
    for (const char* from :
         {"DELETE FROM job_documents WHERE job = ?", "DELETE FROM job_labels WHERE job = ?",
          "DELETE FROM idempotency WHERE job = ?", "DELETE FROM task_ranges WHERE job = ?",
          "DELETE FROM processing_jobs WHERE id = ?"})
      POLYSOME_TRY(Query(db, from).with(id).run());
  if (!oldest.empty()) POLYSOME_TRY(trim_batches(db));
  trimmed.jobs = static_cast<std::int64_t>(oldest.size());
  trimmed.more = trimmed.jobs > 0 && trimmed.jobs < over;
  return trimmed;
}

Result<Trimmed> trim_all(Database& db, const RetentionLimits& limits, std::int64_t jobs,
                         WallTime now) {
  POLYSOME_ASSIGN(Trimmed trimmed, trim_jobs(db, jobs - limits.jobs));
  POLYSOME_ASSIGN(const bool events, trim_events(db, limits.events));
  POLYSOME_ASSIGN(const bool metrics, trim_metrics(db, limits.metrics));
  POLYSOME_ASSIGN(const bool keys, trim_keys(db, now - limits.keys_ms));
  POLYSOME_ASSIGN(const bool usage, trim_usage(db, limits.usage));
  POLYSOME_ASSIGN(const bool decisions, trim_decisions(db, limits.decisions));
  trimmed.more = trimmed.more || events || metrics || keys || usage || decisions;
  return trimmed;
}

}  // namespace

Result<bool> far_over_limits(Database& db, const RetentionLimits& limits, std::int64_t jobs) {
  POLYSOME_ASSIGN(const auto events, db.integer(kEventCount));
  return events > limits.events + limits.events / 10 + kRowsAStep ||
         jobs > limits.jobs + limits.jobs / 10 + kJobsAStep;
}

Result<Trimmed> trim(Database& db, const RetentionLimits& limits, std::int64_t jobs, WallTime now) {
  POLYSOME_TRY(db.run("BEGIN IMMEDIATE"));
  auto trimmed = trim_all(db, limits, jobs, now);
  if (trimmed) {
    if (auto done = db.run("COMMIT"); !done) trimmed = fail(std::move(done).error());
  }
  if (!trimmed) db.roll_back();
  return trimmed;
}

}  // namespace polysome
