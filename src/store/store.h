// What must outlive the service: jobs, finished tasks as ranges, the event journal, datasets,
// settings, metrics. SQLite behind one interface (sqlite_store.h); memory_store.h is the fake for
// tests.
//
// Threads: every function is called on the loop's thread. Writes are queued to the writer's own
// thread, which commits whatever is queued in one transaction (fsync) and posts the `done`
// callbacks back to the loop, in order. Writes of one turn of the loop go into the same commit
// unless they are more than it may hold; a job and the events queued right after it stay together.
// Reads run on the loop through a query-only connection and see committed rows only.
//
// When the disk refuses: insert_job, datasets, settings and the epoch are answered with kDiskFull
// or kIo and are not stored; every other write is kept and tried again until it is in, its `done`
// comes then.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/job.h"

namespace polysome {

struct StoredJob {
  JobSpec spec;
  JobState state;
  std::uint64_t sequence = 0;
  bool written = true;  // false: of a batch, without a row of its own yet
};

struct JobFilter {
  std::optional<JobStatus> status;
  std::optional<Priority> priority;
  std::string operation, dataset_id, user, name, tag;
  std::optional<JobId> batch;
  std::optional<WallTime> since, until;  // created at or after; created before
  std::size_t limit = 100;
  // False leaves JobState::result out: lists don't show it, and reading it costs most.
  bool full = true;
  // Jobs older than this one (exclusive); the page token.
  std::optional<JobId> before;
};

// Jobs handed in together.
struct StoredBatch {
  JobId id;
  std::string user;
  std::uint64_t n_jobs = 0;
  JobId first, last;
  WallTime created_at = 0;
};

// What an ended job took; kept longer than its record may be, for resources/usage and what is
// learned.
struct StoredUsage {
  JobId job;
  WallTime ended_at = 0;
  std::string user, operation;
  bool completed = false;
  double cpu_seconds = 0, memory_gb_seconds = 0;
  double seconds = 0;       // from its first task to its end
  double wait_seconds = 0;  // from submission to its first task, or to its end
  std::uint64_t bytes_read = 0, input_bytes = 0, peak_memory = 0;
};

struct StoredDecision {  // of the autoscaler
  std::int64_t id = 0;
  WallTime at = 0;
  int from = 0, to = 0;
  std::string reason;
  Json numbers = Json::object();
};

struct StoredEvent {
  std::uint64_t id = 0;  // global, gapless
  WallTime time = 0;
  std::string type;
  std::optional<JobId> job;
  std::uint64_t seq = 0;  // per job, gapless from 1
  Json data;
  Json envelope() const;  // {"id","time","type","job_id","seq","data"}
};

struct StoredTaskRange {
  std::uint32_t stage = 0, first = 0, last = 0;
};
struct StoredDataset {
  std::string id;
  DatasetRef ref;
  Json record;
  WallTime created_at = 0;
};
struct StoredMetrics {
  std::int64_t id = 0;
  WallTime timestamp = 0;
  Json fields;
};

class Store {
 public:
  using Done = std::function<void(Status)>;
  virtual ~Store() = default;

  // ---- start ----
  // Raises the durable epoch and answers with it.
  virtual Result<std::uint32_t> next_epoch() = 0;
  virtual std::uint64_t last_event_id() = 0;
  virtual std::uint64_t last_sequence() = 0;

  // ---- jobs ----
  // An idempotency key (per user) that is known: the job it made and the hash of its body. A key of
  // a job that ended 7 days ago is forgotten.
  virtual std::optional<std::pair<JobId, std::string>> find_key(const std::string& user,
                                                                const std::string& key) = 0;
  // kConflict: the id is taken, or the key was stored by another insert in the same moment.
  virtual void insert_job(const StoredJob& job, const std::string& idempotency_key,
                          const std::string& body_hash, Done done) = 0;
  // Status, phase, progress, state; durable when `done` is called (an empty Done: committed with
  // the next group).
  virtual void update_job(JobId id, const JobState& state, Done done) = 0;
  virtual std::optional<StoredJob> job(JobId id) = 0;
  // Writes a job as a whole, new or changed: after PATCH, and the first change of a job of a batch.
  virtual void put_job(const StoredJob& job, Done done) = 0;
  // All of them or none, in the order of their sequences. The record is one array; a job has a row
  // of its own, and is found by job() and list_jobs(), from its first put_job on. Until then only
  // unfinished_jobs() has it. The key is kept a week from created_at.
  virtual void insert_batch(const StoredBatch& batch, const std::vector<StoredJob>& jobs,
                            const std::string& idempotency_key, const std::string& body_hash,
                            Done done) = 0;
  virtual std::optional<StoredBatch> batch(JobId id) = 0;
  virtual std::vector<StoredJob> unfinished_jobs() = 0;  // by sequence
  // Newest first, and the total of the filter. Takes from `perhaps` the jobs that have a row, in
  // the same moment's state.
  virtual std::pair<std::vector<StoredJob>, std::uint64_t> list_jobs(
      const JobFilter& filter, std::vector<JobId>* perhaps = nullptr) = 0;
  virtual std::uint64_t count_jobs() = 0;

  // ---- finished tasks ----
  virtual void record_tasks(JobId job,
                            std::vector<StoredTaskRange> finished) = 0;  // group-committed
  virtual void forget_task(JobId job, std::uint32_t stage, std::uint32_t index) = 0;
  virtual std::vector<StoredTaskRange> finished_tasks(JobId job) = 0;
  virtual void drop_tasks(JobId job) = 0;  // the job ended

  // ---- journal ----
  // Ids are given by the caller, gapless. `committed` is called on the loop when they may be told.
  virtual void append_events(std::vector<StoredEvent> events, Done committed) = 0;
  // Events after `after`, oldest first, at most `limit`; of one job when given.
  virtual std::vector<StoredEvent> events(std::uint64_t after, std::optional<JobId> job,
                                          std::size_t limit) = 0;
  virtual std::uint64_t last_event_seq(JobId job) = 0;
  virtual std::uint64_t first_event_id() = 0;  // oldest kept; 0 when none

  // ---- datasets, settings, metrics ----
  virtual void put_dataset(const StoredDataset& dataset, Done done) = 0;
  virtual void remove_dataset(const std::string& id, Done done) = 0;
  virtual std::vector<StoredDataset> datasets() = 0;
  virtual void put_setting(const std::string& key, const Json& value, Done done) = 0;
  virtual std::optional<Json> setting(const std::string& key) = 0;
  virtual void append_metrics(WallTime timestamp, const Json& fields) = 0;
  virtual std::vector<StoredMetrics> metrics(WallTime since,
                                             std::size_t limit) = 0;  // oldest first
  virtual std::optional<StoredMetrics> newest_metrics() = 0;

  // ---- what the scheduler learns ----
  virtual void record_usage(const StoredUsage& usage) = 0;
  // Of jobs that ended at or after `since`, oldest first.
  virtual void each_usage(WallTime since, const std::function<void(const StoredUsage&)>& visit) = 0;
  virtual void append_decision(const StoredDecision& decision) = 0;  // `id` is given here
  // Newest first; older than `before` when given.
  virtual std::vector<StoredDecision> decisions(std::optional<std::int64_t> before,
                                                std::size_t limit) = 0;

  // Calls `done` when everything queued before is committed.
  virtual void flush(Done done) = 0;
  // A sentence when writing fails (disk full, file gone) or is far behind; submit answers 507/503
  // until it heals.
  virtual std::optional<Error> trouble() = 0;
};

// Whether a job is one of the filter's (`before` and `limit` apart).
bool matches(const JobFilter& filter, const JobSpec& spec, const JobState& state);

}  // namespace polysome
