// What the store and the files of a simulated service hold: jobs, their plans, finished tasks, ends
// and what people had set. A service that is killed comes back with this; the newest changes may be
// lost, as their commits are not waited for. Owned by a Life; plain data.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/core.h"

namespace polysome::simulation {

// The stages that a job's planners give.
struct Shape {
  std::vector<Stage> first;   // of the root planner
  std::vector<Stage> second;  // of a stage named "plan1"
};

struct Kept {
  core::JobSubmitted spec;
  Shape shape;
  MonoTime submitted = 0;
  MonoTime changed = 0;  // by people, last
  bool cancelled = false, poisoned = false;
  std::vector<Stage> stages;
  std::vector<std::map<std::uint32_t, bool>> finished;  // index → started inside quotes
  double progress = 0;
  JobStatus shown = JobStatus::kPending;  // as last told
  int ends = 0;
  JobStatus status = JobStatus::kPending;  // of the end

  bool untouched() const { return finished.size() == 1 && finished[0].empty(); }
  const JobLimits& limits() const { return spec.limits; }
};

// How a partition of a stage with borders ends, by how it starts (outside, inside quotes).
std::pair<bool, bool> ends_of(const Kept& kept, std::uint32_t index);
bool truly_inside(const Kept& kept, std::uint32_t index);
std::uint64_t hash(std::uint64_t a, std::uint64_t b);

class Store {
 public:
  std::map<JobId, Kept> jobs;
  // What people had set.
  std::optional<std::string> paused;
  QueueLimits limits;
  AutoscalePolicy autoscale;

  Kept& add(const core::JobSubmitted& spec, Shape shape, MonoTime now);
  // Notes what an event asks for.
  void take(const core::Event& event, MonoTime now);

  // false: it was recorded before.
  bool record(const core::RecordTask& command, bool inside);
  void forget(const core::ForgetTask& command);
  // Commits all before it.
  void end(JobId job, JobStatus status);

  // The service is killed: the newest `most` changes that nothing was committed after are lost.
  void lose_newest(std::uint64_t most);
  core::JobRestored restored(const Kept& kept, MonoTime now) const;

 private:
  struct Change {
    TaskRef task;
    bool finished = true, inside = false;
  };
  void undo(const Change& change);

  std::deque<Change> uncommitted_;
};

}  // namespace polysome::simulation
