#include "store/writes.h"

#include <optional>
#include <utility>

#include "base/clock.h"
#include "store/batch_records.h"

namespace polysome::writes {
namespace {

// The documents of a job's state: the result lies apart.
struct StateText {
  std::string status;
  std::string state;
  std::optional<std::string> result;
  double progress = 0;
  std::optional<WallTime> started_at, completed_at;
  bool ended = false;
};

StateText text_of(const JobState& state) {
  StateText text;
  text.status = name(state.status);
  text.progress = state.progress;
  text.started_at = state.started_at;
  text.completed_at = state.completed_at;
  text.ended = is_final(state.status);
  Json document = state.to_json();
  if (!state.result.is_null()) text.result = dump(state.result);
  document.erase("result");
  text.state = dump(document);
  return text;
}

struct JobRow {
  JobId id;
  std::uint64_t sequence = 0;
  std::string type, operation, user, name, spec, key, body_hash;
  std::vector<std::string> dataset_ids, tags;
  int priority = 0;
  std::optional<int> n_workers;
  std::optional<std::uint64_t> memory_per_worker;
  WallTime created_at = 0;
  std::optional<JobId> batch;
  bool keep = false;
  StateText state;
};

JobRow row_of(const StoredJob& job) {
  JobRow row;
  row.id = job.spec.id;
  row.sequence = job.sequence;
  row.type = job.spec.type;
  row.operation = job.spec.operation;
  row.user = job.spec.user;
  row.name = job.spec.name;
  row.spec = dump(job.spec.to_json());
  row.dataset_ids = job.spec.dataset_ids;
  row.tags = job.spec.tags;
  row.priority = static_cast<int>(job.spec.priority);
  row.n_workers = job.spec.limits.n_workers;
  row.memory_per_worker = job.spec.limits.memory_per_worker;
  row.created_at = job.spec.created_at;
  row.batch = job.spec.batch;
  row.keep = job.spec.keep;
  row.state = text_of(job.state);
  return row;
}

Status insert_row(Database& db, const JobRow& row) {
  std::optional<std::string> dataset;
  if (!row.dataset_ids.empty()) dataset = row.dataset_ids.front();
  POLYSOME_TRY(
      Query(db,
            "INSERT INTO processing_jobs (id, sequence, type, operation, dataset_id, priority, "
            "status, progress, n_workers, memory_per_worker, user, name, created_at, started_at, "
            "completed_at, batch, keep) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
          .with(row.id, row.sequence, row.type, row.operation, dataset, row.priority,
                row.state.status, row.state.progress, row.n_workers, row.memory_per_worker,
                row.user, row.name, row.created_at, row.state.started_at, row.state.completed_at,
                row.batch, row.keep ? 1 : 0)
          .run());
  return Query(db, "INSERT INTO job_documents (job, spec, state, result) VALUES (?, ?, ?, ?)")
      .with(row.id, row.spec, row.state.state, row.state.result)
      .run();
}

Status insert_labels(Database& db, const JobRow& row) {
  constexpr const char* kInsert = "INSERT OR IGNORE INTO job_labels VALUES (?, ?, ?)";
  for (const auto& tag : row.tags) POLYSOME_TRY(Query(db, kInsert).with("tag", tag, row.id).run());
  for (const auto& dataset : row.dataset_ids)
    POLYSOME_TRY(Query(db, kInsert).with("dataset", dataset, row.id).run());
  return {};
}

Status insert_key(Database& db, const JobRow& row) {
  if (row.key.empty()) return {};
  auto done = Query(db, "INSERT INTO idempotency (user, key, job, body_hash) VALUES (?, ?, ?, ?)")
                  .with(row.user, row.key, row.id, row.body_hash)
                  .run();
  if (!done && done.error().code == Code::kConflict)
    return fail(Code::kConflict,
                "another job of user \"" + row.user + "\" was stored with the idempotency key \"" +
                    row.key + "\" at the same time",
                "Send the request again: it is answered with that job.");
  return done;
}

}  // namespace

Apply raise_epoch() {
  return [](WriteContext& c) {
    return Query(c.db, "UPDATE counters SET value = value + 1 WHERE name = 'epoch'").run();
  };
}

Apply insert_job(const StoredJob& job, const std::string& key, const std::string& body_hash) {
  JobRow row = row_of(job);
  row.key = key;
  row.body_hash = body_hash;
  return [row = std::move(row)](WriteContext& c) -> Status {
    POLYSOME_TRY(insert_key(c.db, row));
    POLYSOME_TRY(insert_row(c.db, row));
    POLYSOME_TRY(insert_labels(c.db, row));
    ++c.jobs_added;
    return {};
  };
}

Apply put_job(const StoredJob& job) {
  return [row = row_of(job)](WriteContext& c) -> Status {
    Query known(c.db, "SELECT 1 FROM processing_jobs WHERE id = ?");
    const bool there = known.with(row.id).next();
    POLYSOME_TRY(known.status());
    if (!there) {
      POLYSOME_TRY(insert_row(c.db, row));
      POLYSOME_TRY(insert_labels(c.db, row));
      if (row.batch) POLYSOME_TRY(batch_records::job_written(c.db, *row.batch));
      ++c.jobs_added;
      return {};
    }
    POLYSOME_TRY(Query(c.db,
                       "UPDATE processing_jobs SET priority = ?, name = ?, keep = ?, status = ?, "
                       "progress = ?, started_at = ?, completed_at = ? WHERE id = ?")
                     .with(row.priority, row.name, row.keep ? 1 : 0, row.state.status,
                           row.state.progress, row.state.started_at, row.state.completed_at, row.id)
                     .run());
    POLYSOME_TRY(
        Query(c.db, "UPDATE job_documents SET spec = ?, state = ?, result = ? WHERE job = ?")
            .with(row.spec, row.state.state, row.state.result, row.id)
            .run());
    POLYSOME_TRY(Query(c.db, "DELETE FROM job_labels WHERE job = ?").with(row.id).run());
    return insert_labels(c.db, row);
  };
}

Apply update_job(const JobId& id, const JobState& state) {
  return [id, text = text_of(state)](WriteContext& c) -> Status {
    POLYSOME_TRY(Query(c.db,
                       "UPDATE processing_jobs SET status = ?, progress = ?, started_at = ?, "
                       "completed_at = ? WHERE id = ?")
                     .with(text.status, text.progress, text.started_at, text.completed_at, id)
                     .run());
    POLYSOME_TRY(Query(c.db, "UPDATE job_documents SET state = ?, result = ? WHERE job = ?")
                     .with(text.state, text.result, id)
                     .run());
    if (!text.ended) return {};
    return Query(c.db, "UPDATE idempotency SET ended_at = ? WHERE job = ?")
        .with(text.completed_at.value_or(wall_now()), id)  // kept for a week from here
        .run();
  };
}

Apply record_tasks(const JobId& job, std::vector<StoredTaskRange> finished) {
  return [job, finished = std::move(finished)](WriteContext& c) -> Status {
    for (const auto& range : finished)
      POLYSOME_TRY(c.tasks.record(c.db, job, range.stage, range.first, range.last));
    return {};
  };
}

Apply forget_task(const JobId& job, std::uint32_t stage, std::uint32_t index) {
  return [=](WriteContext& c) { return c.tasks.forget(c.db, job, stage, index); };
}

Apply drop_tasks(const JobId& job) {
  return [=](WriteContext& c) { return c.tasks.drop(c.db, job); };
}

Apply append_events(std::vector<StoredEvent> events) {
  return [events = std::move(events)](WriteContext& c) -> Status {
    for (const auto& e : events)
      POLYSOME_TRY(
          Query(c.db,
                "INSERT INTO events (id, time, type, job, seq, data) VALUES (?, ?, ?, ?, ?, ?)")
              .with(e.id, e.time, e.type, e.job, e.seq, dump(e.data))
              .run());
    return {};
  };
}

Apply put_dataset(const StoredDataset& dataset) {
  return [id = dataset.id, ref = dump(dataset.ref.to_json()), record = dump(dataset.record),
          at = dataset.created_at](WriteContext& c) {
    return Query(c.db,
                 "INSERT INTO datasets (id, ref, record, created_at) VALUES (?, ?, ?, ?) "
                 "ON CONFLICT DO UPDATE SET ref = excluded.ref, record = excluded.record, "
                 "created_at = excluded.created_at")
        .with(id, ref, record, at)
        .run();
  };
}

Apply remove_dataset(const std::string& id) {
  return [id](WriteContext& c) {
    return Query(c.db, "DELETE FROM datasets WHERE id = ?").with(id).run();
  };
}

Apply put_setting(const std::string& key, const Json& value) {
  return [key, text = dump(value)](WriteContext& c) {
    return Query(c.db,
                 "INSERT INTO settings (key, value) VALUES (?, ?) "
                 "ON CONFLICT DO UPDATE SET value = excluded.value")
        .with(key, text)
        .run();
  };
}

Apply append_metrics(WallTime timestamp, const Json& fields) {
  return [timestamp, text = dump(fields)](WriteContext& c) {
    return Query(c.db, "INSERT INTO cluster_metrics (timestamp, fields) VALUES (?, ?)")
        .with(timestamp, text)
        .run();
  };
}

}  // namespace polysome::writes
