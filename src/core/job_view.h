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
};
struct JobView {
  JobStatus status = JobStatus::kPending;
  Phase phase = Phase::kWaiting;
  double progress = 0;
  std::optional<double> eta_seconds;
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
