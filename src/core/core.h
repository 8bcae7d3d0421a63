// The decisions of the service as one pure state machine: step(Event, now) -> commands. Owns queue,
// placement, retries, cluster size and progress; holds no thread, lock, clock, file or log. The
// owner (daemon, simulation) calls it from one thread, in order, and carries out every command.
//
// Invariants (core/invariants.h checks them after each step in tests): an accepted job is never
// lost; final states are final; a task's result is used once; grants never exceed a worker's
// memory; a slot runs one task and queues at most four; every waiting job has a reason.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/events.h"
#include "core/job_view.h"

namespace polysome::core {

struct Config {
  std::uint32_t epoch = 1;             // first half of every AttemptId
  std::int64_t retry_delay_ms = 5000;  // backoff uniform(0, min(60 s, delay x 2^n))
  std::int64_t lease_ms = 30'000;      // a worker not heard of for this long is lost
  std::uint64_t machine_memory = 0;    // of all workers' machine, bytes; 0: unknown
  int prefetch = 4;  // tasks queued behind a slot's running one, when tasks are short
};

// A worker as cluster/status shows it.
struct WorkerView {
  WorkerId id;
  std::string status;  // starting, idle, busy, draining, drained, excluded, probed, stopping
  std::string reason;  // of a drain or exclusion
  std::optional<MonoTime> excluded_until;
  int pid = 0;
  int threads = 0;
  std::uint64_t memory_limit = 0, memory_used = 0;
  double cpu_percent = 0;
  int running_tasks = 0;
  std::uint64_t completed_tasks = 0, failures = 0;
  std::vector<std::pair<FaultClass, std::uint64_t>> faults;  // the failures, by class
  double score = 0;  // what they say of it (core/worker_health.h); 0: nothing
  MonoTime started = 0;
};
struct ClusterView {
  std::string status;  // stopped, starting, running, stopping
  ClusterSpec spec;    // as wanted
  std::vector<WorkerView> workers;
  int total_cores = 0, used_cores = 0;
  std::uint64_t total_memory = 0, used_memory = 0;
  std::uint64_t active_tasks = 0, queued_tasks = 0;
};
// What a user holds and has used; for resources/usage and queue/status.
struct UserView {
  std::string user;
  double weight = 1;
  double share = 0;         // of the cluster now: the larger of its parts of cores and memory
  double recent_usage = 0;  // dominant share x seconds, decayed by half in an hour
  int pending_jobs = 0, running_jobs = 0, cores = 0;
  std::uint64_t memory = 0;
};
// Counts since this service began (the daemon adds those of earlier ones).
struct FaultCounts {
  std::vector<std::pair<FaultClass, std::uint64_t>> by_class;  // failed attempts
  std::uint64_t retries = 0, gave_up = 0;
  std::uint64_t workers_lost = 0, slots_lost = 0, exclusions = 0, readmissions = 0;
  std::uint64_t stragglers_doubled = 0, stragglers_won = 0;  // second attempts, and those that won
};
struct QueuedJob {
  JobId id;
  Priority priority;
  std::string user;
  int position = 0;  // 1-based among pending jobs, in the order they would start
  Waiting waiting;
};
struct TaskView {
  std::string stage;
  std::uint32_t index = 0;
  TaskState state = TaskState::kWaiting;
  int attempt = 0;
  std::string worker;  // when assigned or running
  std::uint64_t bytes_done = 0;
};

class Core {
 public:
  Core(Config config, std::uint64_t seed);
  ~Core();
  Core(Core&&) noexcept;
  Core& operator=(Core&&) noexcept;

  [[nodiscard]] std::vector<Command> step(const Event& event, MonoTime now);
  // When the next Tick is due (backoff, lease, time-out); nullopt: nothing waits for time.
  std::optional<MonoTime> next_deadline() const;

  // Views; nullopt for jobs that ended (the daemon forgets them at JobEnded) or never were.
  std::optional<JobView> job(JobId id, MonoTime now) const;
  std::vector<TaskView> tasks(JobId id, std::uint32_t offset, std::uint32_t limit,
                              std::uint64_t* total) const;
  ClusterView cluster() const;
  std::vector<QueuedJob> queue(MonoTime now, std::size_t limit) const;
  int queue_position(JobId id) const;  // 0 when not pending
  std::size_t pending_jobs() const;
  std::size_t running_jobs() const;
  std::vector<JobId> active_jobs() const;
  const std::optional<std::string>& paused() const;  // the reason, while the queue is paused
  const QueueLimits& limits() const;
  const AutoscalePolicy& autoscale() const;
  std::vector<UserView> users(MonoTime now) const;
  std::vector<std::pair<std::string, double>> fair_usage(MonoTime now) const;  // for UsageKnown
  FaultCounts faults() const;

  // Tests only: throws nothing, answers with the broken invariants in words.
  std::vector<std::string> broken_invariants() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polysome::core
