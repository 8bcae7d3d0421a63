// Running tasks that take too long. A straggler is run a second time on another worker when that
// pays: its stage has enough samples, it has run far longer than they did and longer than a new
// attempt is expected to, and a slot is idle that nobody waits for. The first to publish wins (one
// manifest a task); the other is cancelled and charged to nobody. A stalled task has shown no
// progress for much longer than others of its stage took: it is named, once.
//
// Looked at once a second while tasks run. Durations of tasks are the only thing it learns from.
#pragma once

#include <optional>

#include "core/machine.h"

namespace polysome::core {

inline constexpr std::uint32_t kStragglerSamples = 20;
inline constexpr std::size_t kMostTwins = 4;       // in the cluster
inline constexpr std::size_t kMostTwinsOfJob = 2;  // of one job

// What a decision about one running task rests on. Times in ms; median and p95 of its stage.
struct SlowTask {
  double age = 0;
  double median = 0, p95 = 0;
  double done = 0;  // part of its bytes that it has read; 0: unknown
};
// How long it will go on: by its own speed if it tells, else as long again as it has run.
double expected_rest_ms(const SlowTask& task);
bool pays_twice(const SlowTask& task);
// Without progress for so long, a task has stalled; by its stage's durations if known.
MonoTime stall_after_ms(const TaskDuration& duration);

// Doubles stragglers and tells stalls; arms the next look.
void watch_tasks(Machine& m);
void arm_watch(Machine& m);
// The job's task that has stalled longest.
std::optional<Stall> stall_of(const Machine& m, const JobRun& job, MonoTime now);

}  // namespace polysome::core
