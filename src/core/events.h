// What goes into the core and what comes out. Events are past tense and complete: every thing that
// can happen in production is one of them, so simulation can play it. Commands are imperative; the
// daemon carries them out. No clock, no I/O: `now` comes with each step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "core/job_view.h"
#include "model/ids.h"
#include "model/job.h"
#include "model/plan.h"
#include "model/resources.h"
#include "model/task.h"

namespace polysome::core {

// ---- events ----

struct JobSubmitted {
  JobId id;
  Priority priority = Priority::kNormal;
  std::string user;
  JobLimits limits;
  std::vector<JobId> depends_on;
  std::uint64_t sequence = 0;  // order of submission; restored jobs keep theirs
  bool held = false;           // waits until somebody releases it
  std::int64_t waited_ms = 0;  // restored: for how long it has been there already (ageing)
};

// Finished tasks as [first, last] ranges of indexes.
using TaskRanges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

struct RestoredStage {
  Stage stage;
  TaskRanges finished;
  std::uint64_t bytes_done = 0;
  // Of finished tasks of a stage with borders: what they reported, and whether theirs was the rerun
  // that started inside quotes.
  struct BorderEnd {
    std::uint32_t index = 0;
    bool started_inside = false;
    bool ends_inside_if_outside = false;
    bool ends_inside_if_inside = false;
  };
  std::vector<BorderEnd> borders;
};
// A job that was not at its end when the service went: its plan so far and what is finished (never
// run again). Stages are in plan order and begin with the root planner's stage. `progress` never
// falls.
struct JobRestored {
  JobSubmitted job;
  std::vector<RestoredStage> stages;  // without the root stage when nothing had been planned
  double progress = 0;
  bool cancelling = false;
  std::optional<Json> result;     // payload of the final task, when that was finished already
  Json warnings = Json::array();  // of the fragments published so far
};
struct CancelRequested {
  JobId job;
  std::string reason;
};
// PATCH jobs/{id}: absent members stay as they are.
struct JobPatched {
  JobId job;
  std::optional<Priority> priority;
  std::optional<bool> held;
};
// While the queue is paused no pending job starts; running ones go on.
struct QueuePaused {
  std::string reason;
};
struct QueueResumed {};
struct LimitsChanged {
  QueueLimits limits;
};
// What users had used when the last service ended, decayed to now (Core::fair_usage), so that a
// restart forgives nobody. Unit: dominant share of the cluster x milliseconds.
struct UsageKnown {
  std::vector<std::pair<std::string, double>> by_user;
};
// A job of `depends_on` that had ended before this service started (so the core does not know it).
// Before or after the job that depends on it.
struct DependencyKnown {
  JobId job;
  JobStatus status;
};

struct ClusterStarted {
  ClusterSpec spec;
};
struct ClusterStopped {
  bool force = false;
};
struct ClusterScaled {
  int n_workers = 0;
};

struct AutoscaleChanged {
  AutoscalePolicy policy;
};

// cluster/workers/{id}/drain: running tasks end, no new ones come; it stays, idle, until
// readmitted.
struct WorkerDrainRequested {
  WorkerId worker;
  std::string reason;
};
// cluster/workers/{id}/exclude: as drained, but its tasks move away at once. for_ms 0: until
// readmitted.
struct WorkerExcludeRequested {
  WorkerId worker;
  std::string reason;
  std::int64_t for_ms = 0;
};
struct WorkerReadmitRequested {
  WorkerId worker;
};

struct WorkerReady {
  WorkerId worker;
  int pid = 0;
};
// The supervisor is gone. by_kill: SIGKILL or no evidence (blames nobody); else its own crash.
struct WorkerLost {
  WorkerId worker;
  bool by_kill = false;
  std::string message;
};
// A slot's process ended with an attempt running or queued; a new process is starting in its place.
struct SlotLost {
  WorkerId worker;
  int slot = 0;
  bool by_kill = false;
  bool out_of_memory = false;
  std::string message;
  // What the attempt that ran had used by then.
  std::uint64_t peak_memory = 0;
  double cpu_seconds = 0;
};
// Supervisor's once-a-second report.
struct WorkerHeard {
  WorkerId worker;
  std::uint64_t memory_used = 0;
  double cpu_percent = 0;
};

struct TaskStarted {
  AttemptId attempt;
};
struct TaskProgressed {
  AttemptId attempt;
  std::uint64_t bytes = 0;
  std::uint64_t memory = 0;
  double cpu_seconds = 0;  // of the attempt so far
};
struct TaskFinished {
  TaskResult result;
  std::optional<Fragment> fragment;
};
struct TaskFailed {
  TaskFailure failure;
};
// An input that a finished task had given is lost or wrong: it becomes ready again, not charged.
// The reader's attempt ends with it (no TaskFailed is due) and is done again when the input is
// back.
struct OutputLost {
  AttemptId reader;
  TaskRef task;
  std::string message;
};
struct Tick {};

using Event =
    std::variant<JobSubmitted, JobRestored, CancelRequested, JobPatched, QueuePaused, QueueResumed,
                 LimitsChanged, UsageKnown, DependencyKnown, ClusterStarted, ClusterStopped,
                 ClusterScaled, AutoscaleChanged, WorkerDrainRequested, WorkerExcludeRequested,
                 WorkerReadmitRequested, WorkerReady, WorkerLost, SlotLost, WorkerHeard,
                 TaskStarted, TaskProgressed, TaskFinished, TaskFailed, OutputLost, Tick>;

// ---- commands ----

struct StartWorker {
  WorkerId worker;
  int slots = 0;
  std::uint64_t memory_limit = 0;
};
struct StopWorker {
  WorkerId worker;
  bool force = false;
};
struct StartTask {
  WorkerId worker;
  int slot = 0;
  TaskRef task;
  AttemptId attempt;
  int attempt_number = 1;
  std::uint64_t grant = 0;
  bool start_inside_quotes = false;
  std::uint32_t split = 1;  // into so many pieces it is to cut its work, to need less memory
  // of the stage, for the TaskSpec
  std::string stage_name;
  std::string fragment_file;
  std::uint32_t place = 0;
};
// Interrupt (or drop, if still queued) an attempt; the slot answers TaskFailed with code cancelled,
// or is killed after 500 ms.
struct CancelTask {
  WorkerId worker;
  int slot = 0;
  AttemptId attempt;
};
// A finished task was accepted: remember it (the journal collapses them to ranges).
struct RecordTask {
  TaskRef task;
  AttemptId attempt;
  std::uint64_t bytes = 0;
  bool planned = false;
};
// Finished tasks of these stages must be done again (OutputLost, wrong border state).
struct ForgetTask {
  TaskRef task;
};
// Something that the API shows of this job changed (status, phase, stages); progress alone: see
// below.
struct JobChanged {
  JobId job;
};
struct JobProgressed {
  JobId job;
};
// The end: commit, then tell. `result` is the final task's payload of a completed job.
struct JobEnded {
  JobId job;
  JobStatus status = JobStatus::kCompleted;
  std::optional<Error> error;  // failed or cancelled: why
  FaultClass fault_class = FaultClass::kUser;
  std::string task;  // of a failure: "scan/17"
  Json result;
  Json warnings = Json::array();
  JobView last;  // as it was at the end
};
// An event for clients that is not about a job: cluster.status, cluster.scaled, worker.ready,
// worker.lost, worker.stopped.
struct Announce {
  std::string type;
  Json data;
};

// The autoscaler changed the number of workers (or says why it can't). Kept for
// cluster/autoscale/decisions.
struct ScalingDecided {
  int from = 0, to = 0;
  std::string reason;             // a sentence
  Json numbers = Json::object();  // what it rests on
};

using Command = std::variant<StartWorker, StopWorker, StartTask, CancelTask, RecordTask, ForgetTask,
                             JobChanged, JobProgressed, JobEnded, Announce, ScalingDecided>;

}  // namespace polysome::core
