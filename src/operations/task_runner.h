// Runs one attempt of a task in this process: finds the stage's body in its fragment, calls the
// operation, publishes nothing (the slot does). Owned by the slot process; its thread; keeps the
// DuckDB session of the last job for that job's next tasks.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "model/operation.h"
#include "model/task.h"

namespace polysome {

class Connections;

struct TaskContext {
  std::atomic<bool>* cancelled = nullptr;       // set by the control thread
  std::function<void(std::uint64_t)> progress;  // input bytes done so far; cheap, call often
  // The running query registers how to interrupt it; called from the control thread; empty to
  // clear.
  std::function<void(std::function<void()>)> set_interrupt;
  std::string scratch;                       // folder for spills, exists
  std::vector<std::string> read_roots;       // data folders; empty: whatever the process may read
  const Connections* connections = nullptr;  // to databases, by name
  std::uint64_t memory = 0;                  // grant in bytes; DuckDB gets 70 % of it
  std::uint64_t needed_memory = 0;           // set by a task that knows what it would take
};

struct TaskOutput {
  std::vector<OutputFile> files;  // written, not published
  TaskResult result;              // rows, bytes, borders, payload, fragment_file
  bool durable = true;  // fsync the files (final outputs, fragments); intermediates: false
};

class TaskRunner {
 public:
  TaskRunner();
  ~TaskRunner();
  // Lets go of what was kept for other jobs than this task's. False: something is kept for this
  // one.
  bool leave_other_jobs(const TaskSpec& spec);
  // What the first task of any job will need, while there is nothing else to do.
  void prepare_for_any();
  // Lets go of everything; called when no task has come for a while.
  void rest();
  Result<TaskOutput> run(const TaskSpec& spec, TaskContext& context);
  // Data service: {"kind": "result_page" | "result_text" | "inspect" …} (answers.h)
  Result<Json> answer(const Json& request, TaskContext& context);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Every operation's description, in the order people read them (`polysome-worker --describe`).
std::vector<OperationDescription> describe_operations();

}  // namespace polysome
