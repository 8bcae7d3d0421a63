// How far a job is: stages weigh by their bytes, finished and running tasks count what they have
// read. Progress never falls and stays under 100 until the job completed. How long it will take is
// eta.h's. Plain values inside a job.
#pragma once

#include <cstdint>

namespace polysome::core {

// Weight of a task of a stage whose bytes are unknown.
inline constexpr std::uint64_t kTaskWeight = 1'000'000;

// What of a stage counts in progress. `weighs` is false for planners: before the plan is known
// there is nothing to be a part of.
struct StageProgress {
  bool weighs = true;
  std::uint32_t tasks = 0;
  std::uint32_t done = 0;
  std::uint64_t bytes = 0;           // of all tasks, as planned
  std::uint64_t bytes_finished = 0;  // by finished tasks
  std::uint64_t bytes_running = 0;   // by running ones, so far
  std::uint64_t counted = 0;         // weight already in the job's sum

  std::uint64_t bytes_done() const;
  std::uint64_t weight() const;
  std::uint64_t weight_done() const;
  // What a finished task counts when it told nothing.
  std::uint64_t share() const { return tasks == 0 ? 0 : bytes / tasks; }
};

class ProgressMonitor {
 public:
  explicit ProgressMonitor(double progress = 0) : shown_(progress) {}

  void stage_added(StageProgress& stage);
  // Takes a stage's change into the job's sums. O(1).
  void stage_changed(StageProgress& stage);

  double percent() const { return shown_; }

 private:
  void raise();

  std::uint64_t total_ = 0, done_ = 0;
  double shown_ = 0;
};

}  // namespace polysome::core
