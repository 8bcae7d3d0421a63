// How many workers there should be: a pure function of what waits and runs, and of what it saw and
// decided before. The need is the work ahead (core-seconds by measured durations) over the time in
// which it should be done, at least what runs now, at most what can run side by side. Up: at once,
// as far as the need is measured. Down: only when the highest need of the last two minutes was
// lower, a quarter at a time, by draining, so no running task is killed. So a need that swings
// within two minutes moves nothing. Every change, and every change that limits forbid, is a
// decision with its reason and numbers.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "model/json.h"
#include "model/resources.h"

namespace polysome::core {

struct Machine;

struct ScalingRules {
  MonoTime look_ms = 1000;            // between two looks
  double drain_seconds = 30;          // the work ahead should be done within
  MonoTime up_pause_ms = 5'000;       // after a step up, before the next one up
  MonoTime down_window_ms = 120'000;  // the highest need of so long holds against a step down
  MonoTime down_pause_ms = 15'000;    // between two steps down
  MonoTime repeat_ms = 300'000;       // a wish that limits forbid is told again after so long
};

// What is seen of the cluster. Cores are slots; a task that takes the memory of two slots is two.
struct Load {
  double running_cores = 0;
  double waiting_cores = 0;         // that could run now if there were slots
  double running_core_seconds = 0;  // left of what runs
  double waiting_core_seconds = 0;
  double unmeasured_core_seconds =
      0;  // part of the waiting ones: of tasks whose like has never run
  std::uint64_t waiting_tasks = 0;
};

struct ScalingLimits {
  AutoscalePolicy policy;
  int slots_per_worker = 1;
  int set_aside = 0;  // workers that are drained, excluded or probed
  std::uint64_t worker_memory = 0, machine_memory = 0;  // 0: unknown
};

// What it remembers. Begins empty with each start of the cluster.
struct ScalingMemory {
  std::deque<std::pair<MonoTime, int>> needs;  // of the window, falling: the first is the highest
  std::optional<MonoTime> went_up, went_down;
  std::optional<std::pair<MonoTime, int>> forbidden;  // told last: when, wished
  std::optional<MonoTime> since;                      // the first look
  MonoTime next_look = 0;
  bool armed = false;
};

struct ScalingStep {
  int from = 0, to = 0;
  std::string reason;
  Json numbers = Json::object();
};

// Workers that the load needs, before any limit.
int needed_workers(const Load& load, const ScalingLimits& limits, const ScalingRules& rules);
// nullopt: stay, and nothing to say. to == from: it would, but can't.
std::optional<ScalingStep> decide(const Load& load, const ScalingLimits& limits,
                                  const ScalingRules& rules, int workers, MonoTime now,
                                  ScalingMemory& memory);

Load measure_load(const Machine& m);
// Looks when a look is due; arms the next one while there is something to see.
void scale_by_load(Machine& m);
void change_policy(Machine& m, const AutoscalePolicy& policy);
// The policy's bounds around a size that somebody asks for.
int within_policy(const Machine& m, int workers);

}  // namespace polysome::core
