// What goes to a slot and what comes back: names and numbers, never the data. Frames between
// service, supervisor and slot are a fixed header and a JSON payload (frames.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/ids.h"
#include "model/json.h"

namespace polysome {

// The states of a task; the one table of their transitions is may_change(TaskState, TaskState).
enum class TaskState : std::uint8_t { kWaiting, kReady, kAssigned, kRunning, kBackoff, kFinished };
std::string_view name(TaskState s);
bool may_change(TaskState from, TaskState to);

// One attempt of one task.
struct TaskSpec {
  TaskRef task;
  AttemptId attempt;
  int attempt_number = 1;  // of those that count, from 1
  std::string stage_name;
  std::string job_folder;     // absolute; outputs go to job_folder/stage_name/
  std::string fragment_file;  // name in job_folder; holds the stage's body
  std::uint32_t place = 0;    // of the stage in the fragment
  std::uint64_t grant = 0;    // bytes
  bool start_inside_quotes =
      false;                // true start state of the partition, when a first run was wrong
  std::uint32_t split = 1;  // work through the input in so many pieces, to need less memory

  Json to_json() const;
  static Result<TaskSpec> from_json(const Json& j);
};

// What an attempt reports when it is done.
struct TaskResult {
  AttemptId attempt;
  std::uint64_t rows = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t peak_memory = 0;
  double cpu_seconds = 0;
  double wall_seconds = 0;
  bool reused = false;        // taken over from the job that this one does again
  bool manifest = false;      // outputs were published as a manifest
  std::string fragment_file;  // of a planner: the fragment's file in the job folder
  // End states inside quotes, if started outside / inside (stages with borders).
  bool ends_inside_if_outside = false;
  bool ends_inside_if_inside = false;
  std::optional<Error> disputed;  // an error under an unconfirmed start state
  Json payload;                   // small answers; the final stage's is the job's result

  Json to_json() const;
  static Result<TaskResult> from_json(const Json& j);
};

struct TaskFailure {
  AttemptId attempt;
  Error error;
  std::uint64_t peak_memory = 0;
  double cpu_seconds = 0;
  std::uint64_t needed_memory = 0;  // out of memory: what it asked for, 0 when unknown

  Json to_json() const;
  static Result<TaskFailure> from_json(const Json& j);
};

struct TaskProgress {
  AttemptId attempt;
  std::uint64_t bytes = 0;
  std::uint64_t memory = 0;
  double cpu_seconds = 0;  // of the attempt so far

  Json to_json() const;
  static Result<TaskProgress> from_json(const Json& j);
};

}  // namespace polysome
