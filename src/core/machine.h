// The whole state of the core in one place, so that each group of decisions (job_flow, task_flow,
// cluster_flow, job_scheduler, explain, invariants) is a file of functions over it. Owned by Core;
// one thread. Nothing here decides anything.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/autoscaler.h"
#include "core/core.h"
#include "core/job_queue.h"
#include "core/job_run.h"
#include "core/reservation.h"
#include "core/resource_manager.h"
#include "core/start_rate.h"
#include "core/timers.h"
#include "core/typical_durations.h"

namespace polysome::core {

// One attempt that a slot has: running or queued there.
struct Attempt {
  std::uint64_t n = 0;
  JobRun* job = nullptr;
  std::uint32_t stage = 0;
  std::uint32_t index = 0;
  Worker* worker = nullptr;
  int slot = 0;
  std::uint64_t grant = 0;
  int number = 1;
  bool start_inside = false;
  bool running = false;     // the slot said so
  bool taken_back = false;  // CancelTask was sent; the answer makes it ready again, uncharged
  MonoTime since = 0;       // assigned, then started
  std::uint64_t bytes = 0;
  double cpu_seconds = 0;   // as told so far, counted in the job's
  MonoTime held_since = 0;  // of one that is over: since when it had its slot for itself
  MonoTime moved = 0;       // started, or last told more bytes
  std::uint64_t twin = 0;   // the other attempt of this task, which runs elsewhere; 0: none
  bool superseded = false;  // its task is finished by another attempt; only its answer is awaited
  bool told_stalled = false;
};

struct ClusterWish {
  bool wanted = false;
  ClusterSpec spec;
  bool complete_once = false;  // all workers were ready since the last start
  int early_deaths = 0;        // in a row: workers that ended soon after their start
  MonoTime replace_after = 0;  // no replacement before
  std::string announced = "stopped";
};

// Jobs that ended, for dependents that come later; the oldest are forgotten.
class EndedJobs {
 public:
  static constexpr std::size_t kMost = 100'000;
  void add(JobId id, JobStatus status) {
    if (!status_.insert_or_assign(id, status).second) return;
    order_.push_back(id);
    if (order_.size() <= kMost) return;
    status_.erase(order_.front());
    order_.pop_front();
  }
  std::optional<JobStatus> find(JobId id) const {
    const auto it = status_.find(id);
    return it == status_.end() ? std::nullopt : std::optional(it->second);
  }

 private:
  std::unordered_map<JobId, JobStatus> status_;
  std::deque<JobId> order_;
};

struct Machine {
  Machine(Config c, std::uint64_t seed) : config(c), random(seed) {}

  Config config;
  std::mt19937_64 random;
  MonoTime now = 0;
  MonoTime awake = 0;   // time that passed without pauses of the service
  MonoTime served = 0;  // that part of it in which tasks could be placed
  bool serving = false;
  bool begun = false;

  std::uint64_t last_attempt = 0;
  std::uint32_t last_worker = 0;
  std::unordered_map<JobId, std::unique_ptr<JobRun>> jobs;
  std::unordered_map<std::uint64_t, Attempt> attempts;
  std::unordered_map<JobId, std::vector<JobId>> dependents;
  EndedJobs ended;
  JobQueue queue;
  ResourceManager resources;
  ClusterWish cluster;
  Timers timers;
  std::optional<std::string> paused;  // why no pending job starts
  QueueLimits limits;
  AutoscalePolicy autoscale;
  ScalingMemory scaling;
  TypicalDurations typical;
  FaultCounts faults;
  std::size_t running_jobs = 0;
  std::uint64_t ready_tasks = 0;
  bool rebalance_armed = false;
  bool watch_armed = false;
  std::optional<Reservation> reservation;
  TaskDuration planning;  // of all jobs' planners
  StartRate starts;

  // Of the current step.
  std::vector<Command> out;
  std::vector<JobId> touched;
  bool resize = false;  // the number of workers may have to change
  bool unwell = false;  // a worker's score rose, or one that could be used went

  JobRun* job(JobId id) const {
    const auto it = jobs.find(id);
    return it == jobs.end() ? nullptr : it->second.get();
  }
  AttemptId attempt_id(std::uint64_t n) const { return {config.epoch, n}; }
  // The attempt a message is about; nullptr when the core has given it up. Its worker was heard.
  Attempt* heard(AttemptId id) {
    if (id.epoch != config.epoch) return nullptr;
    const auto it = attempts.find(id.n);
    if (it == attempts.end()) return nullptr;
    it->second.worker->heard = now;
    return &it->second;
  }
  // Notes that a job has to be looked at before the step ends.
  void touch(JobRun& job) {
    if (job.touched) return;
    job.touched = true;
    touched.push_back(job.id());
  }
  double chance() { return static_cast<double>(random() >> 11) * 0x1.0p-53; }
};

struct Core::State : Machine {
  using Machine::Machine;
};

}  // namespace polysome::core
