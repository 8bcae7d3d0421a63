// A job while it lives in the core: its stages as counters and cursors, what it holds of the
// cluster, how it will end. A task costs a bit of its stage; only tasks that are ready again,
// running or in trouble have entries of their own. Plain data, changed by job_flow, task_flow and
// job_scheduler.
//
// Invariant of a stage: fresh + again.size() + backing_off + active.size() + done == tasks.
#pragma once

#include <cmath>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/border_ledger.h"
#include "core/core.h"
#include "core/fault_tolerance.h"
#include "core/progress_monitor.h"
#include "core/task_duration.h"

namespace polysome::core {

struct Worker;
struct User;

struct StageRun {
  std::uint32_t number = 0;
  std::string name;
  StageKind kind = StageKind::kMap;
  std::string fragment_file;
  std::uint32_t place = 0;
  std::uint64_t grant = 0;
  bool final = false;
  bool can_split = false;
  std::uint32_t split = 1;            // of its tasks; more once several were short of memory
  std::uint32_t short_of_memory = 0;  // tasks that ran out of it
  bool gang = false;                  // all its tasks at once or none (gang.h)
  bool disbanding = false;            // of a gang: one has to be done again, so all come back

  std::vector<std::uint32_t> dependents;  // stages that start after this one
  std::uint32_t blockers = 0;             // stages before this one that are not complete
  bool complete = false;

  StageProgress progress;          // tasks, done, bytes
  std::uint64_t peak_memory = 0;   // most that an attempt of its tasks had
  std::uint32_t cursor = 0;        // every task never started is at or after it
  std::uint32_t fresh = 0;         // tasks never started and not finished
  std::list<std::uint32_t> again;  // ready once more, in order
  std::uint32_t backing_off = 0;
  std::unordered_map<std::uint32_t, std::uint64_t> active;  // task → number of its attempt
  std::unordered_map<std::uint32_t, TaskTrouble> trouble;
  std::vector<bool> finished;  // empty until one is
  std::unique_ptr<BorderLedger> borders;
  TaskDuration duration;
  std::uint64_t ready_counted = 0;  // of this stage in the job's `ready`

  std::uint32_t tasks() const { return progress.tasks; }
  std::uint64_t ready() const {
    const std::uint64_t n = blockers == 0 ? fresh + again.size() : 0;
    return gang && n < tasks() ? 0 : n;
  }
  bool is_finished(std::uint32_t i) const { return i < finished.size() && finished[i]; }
};

// A job's stages, which stay where they are as the plan grows. Small while there is one: a queue
// may hold hundreds of thousands of jobs that have not begun.
class StageList {
 public:
  StageRun& emplace_back() { return *at_.emplace_back(&runs_.emplace_back()); }
  StageRun& operator[](std::size_t i) { return *at_[i]; }
  const StageRun& operator[](std::size_t i) const { return *at_[i]; }
  std::size_t size() const { return at_.size(); }
  auto begin() { return runs_.begin(); }
  auto end() { return runs_.end(); }
  auto begin() const { return runs_.begin(); }
  auto end() const { return runs_.end(); }

 private:
  std::list<StageRun> runs_;
  std::vector<StageRun*> at_;
};

// The end a job is going to when its attempts have answered.
struct Ending {
  JobStatus status = JobStatus::kCompleted;
  std::optional<Error> error;
  FaultClass fault_class = FaultClass::kUser;
  std::string task;
  Json result;
};

// What was last told to the daemon, so that only changes are told.
struct Shown {
  JobStatus status = JobStatus::kPending;
  Phase phase = Phase::kWaiting;
  std::size_t stages = 0;
  bool operator==(const Shown&) const = default;
};

struct JobRun {
  JobSubmitted spec;
  User* owner = nullptr;  // in the queue
  JobStatus status = JobStatus::kPending;
  MonoTime waits_since = 0;  // pending, or without an attempt
  std::optional<MonoTime> started;
  std::set<JobId> unmet;  // of depends_on: not completed yet
  std::unique_ptr<Ending> ending;

  StageList stages;
  std::map<std::string, std::uint32_t> stage_numbers;
  std::set<std::uint32_t> ready_stages;
  std::uint32_t incomplete = 0;   // stages
  std::uint64_t ready = 0;        // tasks
  std::uint32_t active = 0;       // attempts
  std::uint32_t backing_off = 0;  // tasks

  // What it holds (changed by the resource manager only).
  std::vector<std::pair<Worker*, int>> slots;
  std::map<std::uint32_t, int> slots_on;  // worker → slots
  std::uint64_t memory_held = 0;
  int usual_cores = 0;  // slots it had when more tasks were ready than had one
  bool parked = false;  // at its own ceiling until one of its attempts ends

  MonoTime running_since = 0;  // valid while active > 0
  std::int64_t running_ms = 0;
  std::optional<MonoTime> timeout_armed;

  ProgressMonitor progress;
  Json warnings = Json::array();
  std::list<std::pair<AttemptRecord, MonoTime>> failures;  // the last 50
  std::optional<Code> last_failure;
  std::uint64_t peak_memory = 0, bytes_read = 0, reused_tasks = 0;
  double cpu_seconds = 0;
  std::uint64_t faults = 0;  // failed and lost attempts
  double held_ms = 0;        // slots' time of its finished tasks

  Shown shown;
  // Kept by the queue.
  bool in_runnable = false;
  MonoTime aged_ms = 0;                  // waited so far, without
  std::optional<MonoTime> waiting_from;  // the present wait, on the queue's clock
  bool touched = false;                  // by the current step
  bool progressed = false;

  JobId id() const { return spec.id; }
  // Can its ready tasks be placed at all?
  bool runnable() const { return ready > 0 && unmet.empty() && !ending && !parked && !spec.held; }
  std::string task_name(std::uint32_t stage, std::uint32_t index) const {
    return stages[stage].name + "/" + std::to_string(index);
  }
};

Phase phase_of(const JobRun& job);

}  // namespace polysome::core
