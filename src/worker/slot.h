// A slot process: runs one attempt at a time on its main thread, under its grant and inside its
// sandbox, publishes what it wrote and reports. Whatever a task does short of killing the process
// ends in a TaskFailure of that task. What to run is given by the program (operations' TaskRunner)
// or a test.
#pragma once

#include <functional>

#include "operations/task_runner.h"
#include "worker/options.h"

namespace polysome {

struct SlotWork {
  // Before a task, outside its account: true when the process keeps nothing of the task's job.
  std::function<bool(const TaskSpec&)> prepare = [](const TaskSpec&) { return true; };
  // The slot is new and no work has come yet: time to prepare for it.
  std::function<void()> idle = [] {};
  // No work has come for a while.
  std::function<void()> rest = [] {};
  std::function<Result<TaskOutput>(const TaskSpec&, TaskContext&)> run;
  std::function<Result<Json>(const Json&, TaskContext&)> answer;
};

// The exit status of a slot that ran out of memory where nothing could catch it.
inline constexpr int kExitOutOfMemory = 77;

// Ends the process when the supervisor says so or is gone; returns the exit status when the slot
// could not be set up.
int run_slot(const WorkerOptions& options, SlotWork work);

}  // namespace polysome
