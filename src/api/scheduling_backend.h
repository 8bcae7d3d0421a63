// What the routes need of the service to steer queue, cluster and limits, and to ask what was
// learned; the other half of Backend (backend.h). Loop thread only. Replies may come at once or
// later, exactly once each.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/job.h"
#include "model/resources.h"
#include "model/submit_request.h"

namespace polysome::api {

template <class T>
using Reply = std::function<void(Result<T>)>;

struct SubmitAnswer {
  Json body;              // job_id, status, queue_position, links …
  JobId id;               // of the job, or of the batch
  bool replayed = false;  // same Idempotency-Key and body as before
};
// PATCH jobs/{id}: absent members stay as they are.
struct JobPatch {
  std::optional<Priority> priority;
  std::optional<bool> held, keep;
  std::optional<std::string> name;
  std::optional<std::vector<std::string>> tags;
};
// POST jobs/cancel: all that are given must fit.
struct CancelFilter {
  std::optional<JobStatus> status;
  std::string user, name, tag;
  std::optional<JobId> batch;
  std::optional<std::vector<JobId>> job_ids;
  std::string reason;
};
enum class WorkerAction : std::uint8_t { kDrain, kExclude, kReadmit };

class SchedulingBackend {
 public:
  virtual ~SchedulingBackend() = default;

  // jobs
  // All or none. The errors' pointers say which job.
  virtual void submit_batch(std::vector<SubmitRequest> requests, const std::string& caller,
                            const std::string& idempotency_key, const std::string& body_hash,
                            Reply<SubmitAnswer> reply) = 0;
  virtual void patch_job(const JobId& id, const JobPatch& patch, Reply<Json> reply) = 0;
  virtual void cancel_jobs(const CancelFilter& filter, Reply<Json> reply) = 0;
  virtual Result<Json> explain(const JobId& id) = 0;

  // queue and limits; answered when stored
  virtual void pause_queue(const std::string& reason, Reply<Json> reply) = 0;
  virtual void resume_queue(Reply<Json> reply) = 0;
  virtual Json limits() = 0;
  virtual void set_limits(const QueueLimits& limits, Reply<Json> reply) = 0;

  // cluster
  virtual void set_worker_aside(const std::string& id, WorkerAction action,
                                const std::string& reason, double seconds, Reply<Json> reply) = 0;
  virtual Json autoscale() = 0;
  virtual void set_autoscale(const Json& body, Reply<Json> reply) = 0;
  virtual Json autoscale_decisions(std::optional<std::int64_t> before, std::size_t limit) = 0;

  // what was learned
  virtual Json usage(bool by_operation, std::optional<WallTime> since) = 0;
  virtual Json recommendations(const std::string& operation) = 0;
  virtual Json fault_statistics() = 0;
};

}  // namespace polysome::api
