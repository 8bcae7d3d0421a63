// How far a job is, as the API shows it. Plain values, made by the core on request and with its
// end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/job.h"

namespace polysome::core {

struct Waiting {
  std::string code;     // cluster_stopped, cluster_starting, no_workers, cores, memory, priority,
                        // dependency, backoff …
  std::string message;  // a sentence with numbers and the way out
  MonoTime since = 0;
  std::string unblocked_by;
  // When it will probably start, as seconds from now; absent until measured rates say something.
  struct Expected {
    double p50_seconds = 0, p90_seconds = 0;
  };
  std::optional<Expected> expected_start;
};
// A running task that has shown no progress for much longer than others of its stage took.
struct Stall {
  std::string task;    // "scan/17"
  std::string worker;  // "w3"
  MonoTime since = 0;
  std::string message;
};
struct JobView {
  JobStatus status = JobStatus::kPending;
  Phase phase = Phase::kWaiting;
  double progress = 0;
  std::optional<double> eta_seconds;      // p50
  std::optional<double> eta_p90_seconds;  // together with eta_seconds
  std::optional<Stall> stall;
  std::vector<StageState> stages;
  std::vector<AttemptRecord> attempts;  // `at` is left 0; see attempt_times
  std::vector<MonoTime> attempt_times;
  std::uint64_t peak_memory_bytes = 0, bytes_read = 0;
  double cpu_seconds = 0;
  std::optional<Waiting> waiting;   // when pending
  std::optional<MonoTime> started;  // first task started
  std::string current_stage;
  std::uint64_t tasks_done = 0, tasks_total = 0, bytes_done = 0, bytes_total = 0;
  std::uint64_t reused_tasks = 0;
};

}  // namespace polysome::core
