// Workers, their slots and memory, and what jobs hold of them. A slot runs the front of its queue;
// the queue holds tasks of one stage of one job with one grant, which the slot holds while not
// empty. Ceilings of jobs are judged here, so that placement and explanation agree. Part of the
// machine.
//
// Invariants: a worker's `granted` is the sum of its slots' grants and never above memory_limit; a
// job's slots, slots_on and memory_held are sums over the slots it occupies.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/job_run.h"
#include "core/reservation.h"
#include "core/worker_health.h"

namespace polysome::core {

enum class WorkerState : std::uint8_t { kStarting, kReady, kDraining, kStopping };

struct Slot {
  std::vector<std::uint64_t> queue;  // numbers of attempts; the front runs
  JobRun* job = nullptr;
  std::uint32_t stage = 0;
  std::uint64_t grant = 0;
  MonoTime front_since = 0;
};

// A ready worker that takes no tasks until it is readmitted; one that is probed takes one task, and
// what becomes of it decides.
enum class Aside : std::uint8_t { kNo, kDrained, kExcluded, kProbed };

struct Worker {
  WorkerId id;
  WorkerState state = WorkerState::kStarting;
  Aside aside = Aside::kNo;
  std::string aside_reason;
  std::optional<MonoTime> aside_until;
  std::uint64_t aside_after = 0;  // attempts given to it since are beyond this number
  WorkerHealth health;
  std::vector<Slot> slots;
  int busy = 0;  // slots that are not empty
  std::uint64_t memory_limit = 0;
  std::uint64_t granted = 0;
  int pid = 0;
  std::uint64_t memory_used = 0;  // as measured by the supervisor
  double cpu_percent = 0;
  std::uint64_t completed = 0, failures = 0;
  MonoTime started = 0;
  MonoTime heard = 0;

  bool takes_tasks() const {
    return state == WorkerState::kReady &&
           (aside == Aside::kNo || (aside == Aside::kProbed && busy == 0));
  }
  // Slots that may be given a task.
  int idle() const {
    return aside == Aside::kProbed ? (busy == 0 ? 1 : 0) : static_cast<int>(slots.size()) - busy;
  }
  std::uint64_t free_memory() const { return memory_limit - granted; }
};

// Why a task can't be placed now; the first that holds, in this order.
enum class Obstacle : std::uint8_t {
  kNone,
  kOwnCeiling,  // max_cores or max_memory of its job
  kUserLimit,   // max_cores or max_memory of its user
  kCores,       // no idle slot
  kAvoided,     // an idle slot only on the worker where it just failed
  kWorkers,     // n_workers of its job: its workers have no idle slot
  kMemory,      // no worker with an idle slot has enough memory free
  kGang,        // too few idle slots with enough memory for all of them
  kReserved,    // the only ones that would do are kept for another job
};

struct Fit {
  Worker* worker = nullptr;
  Obstacle obstacle = Obstacle::kNone;
};

// Places for all tasks of a gang, and how many on each worker.
struct GangFit {
  std::vector<std::pair<Worker*, int>> places;
  Obstacle obstacle = Obstacle::kNone;
};

class ResourceManager {
 public:
  Worker& add(WorkerId id, int slots, std::uint64_t memory_limit, MonoTime now);
  void remove(WorkerId id) { workers_.erase(id.n); }
  Worker* find(WorkerId id);
  std::map<std::uint32_t, Worker>& workers() { return workers_; }
  const std::map<std::uint32_t, Worker>& workers() const { return workers_; }
  int idle_slots() const;                          // of workers that take tasks
  std::pair<int, std::uint64_t> capacity() const;  // slots and memory of those
  bool any_takes_tasks() const;

  // The least memory of a task of this stage, after what trouble it had; its job's max_memory and,
  // if nothing asks for more, the worker's limit cut it.
  std::uint64_t grant_of(const ClusterSpec& spec, const JobRun& job, const StageRun& stage,
                         const TaskTrouble* trouble) const;
  // The most a task of this job may get: a worker's memory, cut by the job's and user's ceilings.
  static std::uint64_t most_grant(const ClusterSpec& spec, const JobRun& job);

  // The worker on which the job's next task finds an idle slot and memory: the emptiest one, but
  // not number `avoid`.
  Fit find(const JobRun& job, std::uint64_t grant, const Passage& door,
           std::uint32_t avoid = 0) const;
  // Could another worker than this take a task of this grant, now or when it has room?
  bool others_could_take(const JobRun& job, std::uint64_t grant, std::uint32_t than) const;
  // On as few workers as will do.
  GangFit find_gang(const JobRun& job, const Need& need, const Passage& door) const;
  // n_workers of the job allows this worker beside those it uses.
  bool may_use(const JobRun& job, const Worker& worker) const;
  // The job's slot with the shortest queue that may take one more of this stage and grant.
  std::optional<std::pair<Worker*, int>> find_queue(const JobRun& job, std::uint32_t stage,
                                                    std::uint64_t grant, std::size_t longest,
                                                    const Reservation* reserved,
                                                    std::uint32_t avoid = 0) const;

  // Puts an attempt at the end of a slot's queue.
  void put(Worker& worker, int slot, std::uint64_t attempt, JobRun& job, std::uint32_t stage,
           std::uint64_t grant, MonoTime now);
  void take(Worker& worker, int slot, std::uint64_t attempt, MonoTime now);
  // Attempts queued behind a running one, in all slots.
  std::uint32_t queued_behind() const { return queued_behind_; }

 private:
  // What its own and its user's ceilings say to so much more; kNone: nothing.
  static Obstacle ceiling(const JobRun& job, std::uint32_t tasks, std::uint64_t grant);

  std::map<std::uint32_t, Worker> workers_;
  std::uint32_t queued_behind_ = 0;
};

}  // namespace polysome::core
