// Where tasks run. The core decides what runs where; an Executor makes it happen and reports. All
// calls and all reports are on the loop's thread. Implementations: local (worker processes on this
// machine), later dask.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "base/result.h"
#include "model/ids.h"
#include "model/json.h"
#include "model/task.h"

namespace polysome {

// What an executor reports. The daemon turns these into core events one to one.
namespace report {
struct WorkerReady {
  WorkerId worker;
  int pid = 0;
};
struct WorkerLost {
  WorkerId worker;
  bool by_kill = false;
  std::string message;
};  // also after a stop
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
struct WorkerHeard {
  WorkerId worker;
  std::uint64_t memory_used = 0;
  double cpu_percent = 0;
};
struct TaskStarted {
  WorkerId worker;
  AttemptId attempt;
};
struct TaskProgressed {
  WorkerId worker;
  TaskProgress progress;
};
struct TaskFinished {
  WorkerId worker;
  TaskResult result;
};
struct TaskFailed {
  WorkerId worker;
  TaskFailure failure;
};
struct TaskLogged {
  WorkerId worker;
  std::string level, message, attempt;
};
}  // namespace report
using Report = std::variant<report::WorkerReady, report::WorkerLost, report::SlotLost,
                            report::WorkerHeard, report::TaskStarted, report::TaskProgressed,
                            report::TaskFinished, report::TaskFailed, report::TaskLogged>;

class Executor {
 public:
  using Sink = std::function<void(Report)>;
  virtual ~Executor() = default;

  virtual void start_worker(WorkerId worker, int slots, std::uint64_t memory_limit) = 0;
  // Graceful: the worker ends when its running tasks have ended; force: at once. Ends in
  // WorkerLost.
  virtual void stop_worker(WorkerId worker, bool force) = 0;
  virtual void start_task(WorkerId worker, int slot, const TaskSpec& spec) = 0;
  virtual void cancel_task(WorkerId worker, int slot, AttemptId attempt) = 0;

  // A question as the data service answers them ({"kind": kind, ...body}), to the slot that a task
  // has finished in last: it may still have open what the answer needs. False: there is no such
  // slot, and `reply` is never called; else it is called once, never from within ask(), with
  // kInternal or kOutOfMemory when the slot dies.
  using Reply = std::function<void(Result<Json>)>;
  virtual bool ask(const std::string& kind, Json body, Reply reply) = 0;
};

}  // namespace polysome
