// What the HTTP routes need of the service, as typed calls; the daemon implements it, tests fake
// it. Loop thread only. Replies may come at once or later, exactly once each.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/http_message.h"
#include "api/scheduling_backend.h"
#include "model/job.h"
#include "model/operation.h"
#include "model/submit_request.h"

namespace polysome::api {

struct ListQuery {
  std::optional<JobStatus> status;
  std::optional<Priority> priority;
  std::string operation, dataset_id, user, name, tag;
  std::optional<JobId> batch;
  std::optional<WallTime> since, until;
  std::size_t limit = 100;
  std::string page_token;
  bool full = false;
};
struct ResultQuery {
  std::string table;  // empty: the job's main table
  std::vector<std::string> columns;
  std::string where;              // a caged SQL expression over the table's columns
  std::vector<std::string> sort;  // columns, "-" before one for descending
  std::string format = "json";    // json, csv, tsv, ndjson, parquet, arrow
  std::optional<std::uint64_t> limit;
  std::string page_token;
};
// Either a body or a file to stream; `remove` says whether the file is ours to delete afterwards.
struct Download {
  Json body;
  std::string file;
  bool remove = false;
  std::string content_type;
  std::string file_name;  // for Content-Disposition
};
// Whose repeat of which request this is.
struct Repeat {
  std::string caller;
  std::string key;  // of Idempotency-Key; empty: none
  std::string body_hash;
};
struct LogQuery {
  std::uint64_t from = 0;  // where the page before ended
  std::size_t limit = 100;
  std::string task;  // "scan/17"; empty: all
};
struct LogPage {
  Json lines = Json::array();  // {time, level, worker, task, attempt, message}
  std::uint64_t next = 0;
  bool more = false;  // there is more than this now
};
// One event as told to clients, already committed.
struct Told {
  std::uint64_t id = 0;
  std::optional<JobId> job;
  std::string type;
  std::string user;          // of the job, for filters
  std::string envelope;      // JSON text
  bool last_of_job = false;  // the final job.status: ends jobs/{id}/events
};

class Backend : public SchedulingBackend {
 public:
  virtual const OperationCatalog& catalog() const = 0;
  virtual SubmitDefaults submit_defaults() const = 0;

  // cluster; `wait_seconds`: answer when the transition is over or the time is up
  virtual void cluster_start(const Json& body, double wait_seconds, Reply<Json> reply) = 0;
  virtual void cluster_stop(bool force, double wait_seconds, Reply<Json> reply) = 0;
  virtual void cluster_scale(int n_workers, double wait_seconds, Reply<Json> reply) = 0;
  virtual Json cluster_status() = 0;
  virtual Json worker_status(const std::string& id, Status* status) = 0;
  virtual Result<Json> cluster_metrics(std::optional<WallTime> since,
                                       std::optional<double> step_seconds) = 0;

  // jobs
  virtual void submit(SubmitRequest request, const std::string& caller,
                      const std::string& body_hash, Reply<SubmitAnswer> reply) = 0;
  // What this job would do, with nothing done: {"plan", "estimate"}. Errors as submit's.
  virtual void validate(SubmitRequest request, Reply<Json> reply) = 0;
  // A new job like an ended one, with the changes of `body`.
  virtual void retry(const JobId& id, const Json& body, const Repeat& repeat,
                     Reply<SubmitAnswer> reply) = 0;
  virtual Result<Json> job_status(const JobId& id) = 0;
  // The user whose job it is; nullopt when there is no such job.
  virtual std::optional<std::string> job_owner(const JobId& id) = 0;
  // Long poll: at the end of the job; with `after`, at the first version above it; or at the time's
  // end.
  virtual void wait_job(const JobId& id, double seconds, std::optional<std::uint64_t> after,
                        Reply<Json> reply) = 0;
  virtual void cancel(const JobId& id, const std::string& reason, bool force,
                      Reply<Json> reply) = 0;
  virtual Result<Json> list_jobs(const ListQuery& query) = 0;
  virtual Result<Json> job_tasks(const JobId& id, std::uint32_t offset, std::uint32_t limit) = 0;
  virtual void job_result(const JobId& id, const ResultQuery& query, Reply<Download> reply) = 0;
  virtual Result<LogPage> job_log(const JobId& id, const LogQuery& query) = 0;
  // `told` is called when the log has more; with true once, when the job is over. nullopt: it is
  // over already.
  virtual std::optional<std::uint64_t> follow_log(const JobId& id,
                                                  std::function<void(bool over)> told) = 0;
  virtual void unfollow_log(std::uint64_t subscription) = 0;
  virtual Json queue_status(std::size_t limit) = 0;
  // All known ids, newest first, at most `most`: for "did you mean" of mistyped ids.
  virtual std::vector<std::string> recent_job_ids(std::size_t most) = 0;

  // data
  virtual void data_load(const Json& body, const std::string& caller, Reply<Json> reply) = 0;
  virtual void data_partition(const Json& body, const std::string& caller, Reply<Json> reply) = 0;
  // A dataset's content as it is sent: a place for it, then what is to become of it. Errors:
  // kInvalid (name), kDiskFull (no room for `announced` bytes).
  virtual std::uint64_t most_upload() const = 0;
  virtual Result<std::shared_ptr<BodySink>> open_upload(const std::string& id,
                                                        std::uint64_t announced) = 0;
  virtual void data_upload(const std::string& id, const std::string& format, bool replace,
                           std::shared_ptr<BodySink> content, const std::string& caller,
                           Reply<Json> reply) = 0;
  virtual Json datasets() = 0;
  // Of its columns a page.
  virtual void dataset(const std::string& id, std::uint64_t column_offset, std::size_t columns,
                       Reply<Json> reply) = 0;
  virtual void forget_dataset(const std::string& id, Reply<Json> reply) = 0;

  // push: events after `after` from the journal, then live. The listener is called for each event
  // until unsubscribe; `job` limits to one job.
  using Listener = std::function<void(const Told&)>;
  virtual std::uint64_t subscribe(std::optional<JobId> job, Listener listener) = 0;
  virtual void unsubscribe(std::uint64_t subscription) = 0;
  virtual std::vector<Told> replay(std::uint64_t after, std::optional<JobId> job,
                                   std::size_t limit) = 0;
  virtual std::uint64_t newest_event() = 0;
  virtual std::uint64_t oldest_event() = 0;
  // A job.status event made now, for subscribers that begin with a snapshot.
  virtual std::optional<Told> snapshot(const JobId& id) = 0;

  // health
  virtual Json health(int* http_status) = 0;
  virtual bool ready(std::string* why_not) = 0;
  virtual Json version() = 0;
};

}  // namespace polysome::api
