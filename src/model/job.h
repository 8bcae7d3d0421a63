// A job as everybody but the core's insides sees it: what was asked for (JobSpec; only PATCH
// changes it), how far it is (JobState), and the one table of its states. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/ids.h"
#include "model/json.h"
#include "model/resources.h"

namespace polysome {

enum class Priority : std::uint8_t { kLow = 1, kNormal = 2, kHigh = 3, kCritical = 4 };
enum class JobStatus : std::uint8_t { kPending, kRunning, kCompleted, kFailed, kCancelled };
// The finer state. held and waiting are pending; planning, running, retrying, cancelling are
// running (cancelling of a job that never started: pending); done is one of the three ends.
enum class Phase : std::uint8_t {
  kHeld,
  kWaiting,
  kPlanning,
  kRunning,
  kRetrying,
  kCancelling,
  kDone
};

std::string_view name(Priority p);
std::string_view name(JobStatus s);
std::string_view name(Phase p);
std::optional<Priority> priority_from_name(std::string_view name);  // any case
std::optional<JobStatus> job_status_from_name(std::string_view name);
constexpr bool is_final(JobStatus s) {
  return s == JobStatus::kCompleted || s == JobStatus::kFailed || s == JobStatus::kCancelled;
}
// The one table of a job's transitions: pending → running → completed|failed|cancelled, running →
// pending (stop, restart), pending → failed|cancelled. Final states never change.
bool may_change(JobStatus from, JobStatus to);

// Where a dataset's data is, after the name was resolved. Files are expanded and checked by the
// worker.
struct DatasetRef {
  std::string id;                  // as the caller named it
  std::string source;              // absolute path, folder or glob; empty when `files` is given
  std::vector<std::string> files;  // absolute paths (results of other jobs), in order
  std::string format;              // csv, tsv, parquet, json, ndjson; empty: by file name
  Json layout = Json::object();    // declared keys only

  bool operator==(const DatasetRef&) const = default;
  Json to_json() const;
  static Result<DatasetRef> from_json(const Json& j);
};

// What was asked for. Written to the store at submit; PATCH jobs/{id} changes priority, held, name,
// tags and keep, nothing else does.
struct JobSpec {
  JobId id;
  std::string operation;
  std::vector<std::string> dataset_ids;
  std::vector<DatasetRef> datasets;  // resolved at submit, in the order of dataset_ids
  Json parameters = Json::object();  // validated, defaults filled in
  Json output = Json::object();      // as asked: path, format, compression, files, if_exists
  Priority priority = Priority::kNormal;
  JobLimits limits;
  std::uint64_t partition_size = 100'000'000;
  bool partition_size_given = false;  // by the caller: kept to; else a size to aim at
  std::string type;                   // table, omics, model, pipeline, diagnostic (by operation)
  std::string user;
  std::string name;
  std::vector<std::string> tags;
  std::vector<JobId> depends_on;
  std::string on_bad_value = "fail";  // or "null"
  std::optional<std::int64_t> max_bad_values;
  std::optional<JobId> retry_of;  // the job this one does again
  bool held = false;              // does not start until released
  bool keep = false;              // its record is not removed when there are too many
  std::optional<JobId> batch;     // handed in together with others
  WallTime created_at = 0;

  Json to_json() const;
  static Result<JobSpec> from_json(const Json& j);
  // The members of to_json() in which this job differs from `base`: merged into base.to_json() they
  // give this one's.
  Json changes_from(const JobSpec& base) const;
};

struct StageState {
  std::string name;
  std::uint64_t tasks_total = 0;
  std::uint64_t tasks_done = 0;
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes_done = 0;
  // For jobs/{id}/explain; empty until the daemon knows the plan.
  std::string kind = {};                // map, combine, …
  std::vector<std::string> after = {};  // stages that must be complete before
  std::uint64_t grant = 0;              // memory one task needs; 0: the cluster's default
  bool gang = false;                    // all its tasks at once
  std::uint64_t peak_memory_bytes = 0;  // most that one of its tasks had
};

struct AttemptRecord {  // a failed attempt, for people
  std::string task;     // "scan/17"
  int attempt = 1;
  std::string worker;  // "w3"
  std::string fault_class;
  std::string message;
  WallTime at = 0;
};

// How far a job is. Built by the daemon from the core's view; stored with the job when it ends.
struct JobState {
  JobStatus status = JobStatus::kPending;
  Phase phase = Phase::kWaiting;
  double progress = 0;  // 0 to 100, never falls
  std::uint64_t version = 1;
  std::optional<WallTime> started_at;
  std::optional<WallTime> completed_at;
  std::optional<double> eta_seconds;      // p50
  std::optional<double> eta_p90_seconds;  // together with eta_seconds
  std::optional<Json> stall;              // {task, worker, since, message} of the task that hangs
  std::vector<StageState> stages;
  std::vector<AttemptRecord> attempts;  // last 50 failed ones
  std::uint64_t peak_memory_bytes = 0;
  double cpu_seconds = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t reused_tasks = 0;  // taken over from the job this one does again
  double memory_gb_seconds = 0;    // of its tasks: peak memory x running time
  std::optional<Json> waiting;     // {code, message, since, unblocked_by, expected_start}
  std::optional<Json> error;       // problem object
  Json result;                     // null until completed
  Json warnings = Json::array();

  Json to_json() const;  // what is stored of an ended job
  static Result<JobState> from_json(const Json& j);
};

// The answer of GET jobs/{id}/status (api.md, contract.md). `full` adds parameters, result, stages
// and resources, which jobs/list leaves out.
Json status_json(const JobSpec& spec, const JobState& state, bool full = true);
// The problem object of an error (RFC 9457), as the API answers it and jobs store it.
Json problem_json(const Error& error);
Error error_from_problem(const Json& problem);

}  // namespace polysome
