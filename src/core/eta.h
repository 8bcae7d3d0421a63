// When a job will be done: p50 and p90 of the time left. A model, not a ratio: what each stage
// still has to do, played over the cores the job has with the mean duration of its tasks (so the
// last wave counts as a wave), and around that the uncertainty of what was measured: the spread of
// durations in the bulk and in the last wave, few samples, a rate that changes, stages that have
// not begun. The spread is calibrated by eta_calibration_test.cc. Pure functions over plain values.
//
// A stalled task's rest grows with its age, so the ETA does too.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"

namespace polysome::core {

struct Machine;
struct JobRun;

// Tasks of one kind that are still to be done. Times in ms.
struct TasksAhead {
  std::uint64_t waiting = 0;  // not running
  std::vector<double> rests;  // of running ones: how long each is expected to go on
  double mean = 0, deviation = 0;
  std::uint32_t samples = 0;  // that mean and deviation rest on; 0: they are guessed
};
// Kinds of tasks that run side by side; the next level begins when they are done.
struct LevelAhead {
  std::vector<TasksAhead> kinds;
};
struct WorkAhead {
  std::vector<LevelAhead> levels;
  int cores = 1;      // the job's, side by side
  double faults = 0;  // part of its attempts that failed or were lost
  double drift = 0;   // how much its rate changed of late, as a part of it
};
struct Eta {
  double p50_seconds = 0, p90_seconds = 0;
};

// Expected time and its variance (ms, ms²) of one level.
struct LevelTime {
  double mean = 0, variance = 0;
};
LevelTime level_time(const LevelAhead& level, int cores, double faults = 0);
Eta estimate(const WorkAhead& work);

// How long a running task is expected to go on: by its own speed when it tells how far it is
// (`done`, a part of 1), else by how long others took; longer and longer when it outlives them.
double rest_ms(double age, double done, double mean, double deviation);

// nullopt until it means something: nothing runs, the plan is not complete, or too few tasks are
// done to tell their duration.
std::optional<Eta> eta_of(const Machine& m, const JobRun& job, MonoTime now);

}  // namespace polysome::core
