#include "core/autoscaler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/cluster_flow.h"
#include "core/machine.h"

namespace polysome::core {
namespace {

// Of physical memory, what workers may be given (contract.md, Submit).
constexpr double kMemoryPart = 0.9;
// A task of whose like nothing is known.
constexpr double kUnknownMs = 1000;
// At most this part of the workers goes in one step down.
constexpr int kDownPart = 4;

double round2(double x) { return std::round(x * 100) / 100; }

std::string workers_text(int n) { return fmt::format("{} worker{}", n, n == 1 ? "" : "s"); }

int memory_bound(const ScalingLimits& limits) {
  if (limits.machine_memory == 0 || limits.worker_memory == 0) return kMaxWorkers;
  const double fit = kMemoryPart * static_cast<double>(limits.machine_memory) /
                     static_cast<double>(limits.worker_memory);
  return std::max(1, static_cast<int>(std::min(fit, 1e6)));
}

// The need of the window's highest look. Older and lower ones are forgotten.
int remember(ScalingMemory& memory, MonoTime now, int need, const ScalingRules& rules) {
  while (!memory.needs.empty() && memory.needs.back().second <= need) memory.needs.pop_back();
  memory.needs.emplace_back(now, need);
  while (now - memory.needs.front().first > rules.down_window_ms) memory.needs.pop_front();
  return memory.needs.front().second;
}

Json numbers_of(const Load& load, const ScalingLimits& limits, const ScalingRules& rules,
                int needed, int highest) {
  return {{"waiting_tasks", load.waiting_tasks},
          {"waiting_core_seconds", round2(load.waiting_core_seconds)},
          {"unmeasured_core_seconds", round2(load.unmeasured_core_seconds)},
          {"running_cores", round2(load.running_cores)},
          {"running_core_seconds", round2(load.running_core_seconds)},
          {"could_use_cores", round2(load.running_cores + load.waiting_cores)},
          {"target_drain_seconds", rules.drain_seconds},
          {"cores_per_worker", limits.slots_per_worker},
          {"set_aside", limits.set_aside},
          {"needed_workers", needed},
          {"highest_need_in_window", highest},
          {"window_seconds", static_cast<double>(rules.down_window_ms) / 1000},
          {"min", limits.policy.min_workers},
          {"max", limits.policy.max_workers}};
}

std::string work_ahead(const Load& load, const ScalingRules& rules) {
  return fmt::format(
      "{} task{} wait{} ({:.0f} core-seconds) and {:.0f} core{} busy; to be done in "
      "{:.0f} s",
      load.waiting_tasks, load.waiting_tasks == 1 ? "" : "s", load.waiting_tasks == 1 ? "s" : "",
      load.waiting_core_seconds, load.running_cores, load.running_cores == 1 ? " is" : "s are",
      rules.drain_seconds);
}

class Decider {
 public:
  Decider(const Load& load, const ScalingLimits& limits, const ScalingRules& rules, int workers,
          MonoTime now, ScalingMemory& memory)
      : load_(load), limits_(limits), rules_(rules), from_(workers), now_(now), memory_(memory) {
    needed_ = needed_workers(load, limits, rules);
    by_memory_ = memory_bound(limits);
    least_ = limits.policy.min_workers;
    most_ = std::max(least_, std::min(limits.policy.max_workers, by_memory_));
    highest_ = remember(memory, now, needed_, rules);
  }

  std::optional<ScalingStep> step() {
    if (from_ < least_ || from_ > limits_.policy.max_workers) return into_policy();
    if (needed_ > from_) return from_ < most_ ? up() : forbidden();
    if (std::max(highest_, least_) < from_) return down();
    return std::nullopt;
  }

 private:
  ScalingStep to(int workers, std::string reason) const {
    return {from_, workers, std::move(reason),
            numbers_of(load_, limits_, rules_, needed_, highest_)};
  }

  ScalingStep into_policy() {
    (from_ < least_ ? memory_.went_up : memory_.went_down) = now_;
    return to(std::clamp(from_, least_, limits_.policy.max_workers),
              fmt::format("The policy asks for {} to {}.", least_,
                          workers_text(limits_.policy.max_workers)));
  }

  std::optional<ScalingStep> up() {
    if (memory_.went_up && now_ - *memory_.went_up < rules_.up_pause_ms) return std::nullopt;
    int target = std::min(needed_, most_);
    // What was never measured may be wrong by far: at most twice as many then, and look again.
    const bool guessed = load_.unmeasured_core_seconds * 2 > load_.waiting_core_seconds;
    if (guessed) target = std::min(target, from_ * 2);
    memory_.went_up = now_;
    std::string reason =
        work_ahead(load_, rules_) + fmt::format(" that needs {}.", workers_text(needed_));
    if (target < needed_ && target == most_) reason += " " + bound_text();
    if (target < needed_ && target < most_)
      reason += " Such tasks have not run before, so at most twice as many at once.";
    return to(target, std::move(reason));
  }

  std::string bound_text() const {
    if (by_memory_ < limits_.policy.max_workers && most_ == std::max(least_, by_memory_))
      return fmt::format("The memory of the machine allows {}.", workers_text(most_));
    return fmt::format("The policy allows at most {}.", workers_text(most_));
  }

  std::optional<ScalingStep> forbidden() {
    const int wished = std::min(needed_, kMaxWorkers);
    if (memory_.forbidden && memory_.forbidden->second >= wished &&
        now_ - memory_.forbidden->first < rules_.repeat_ms)
      return std::nullopt;
    memory_.forbidden = {now_, wished};
    return to(from_, work_ahead(load_, rules_) +
                         fmt::format(" that needs {}. ", workers_text(needed_)) + bound_text());
  }

  std::optional<ScalingStep> down() {
    const auto recent = [&](const std::optional<MonoTime>& t, MonoTime pause) {
      return t && now_ - *t < pause;
    };
    if (recent(memory_.went_up, rules_.down_window_ms) ||
        recent(memory_.went_down, rules_.down_pause_ms) || !seen_long_enough())
      return std::nullopt;
    const int lowest = std::max(highest_, least_);
    const int target = std::max(lowest, from_ - std::max(1, from_ / kDownPart));
    memory_.went_down = now_;
    return to(target, fmt::format("For {:.0f} s no more than {} {} needed; at most a quarter goes "
                                  "at once.",
                                  static_cast<double>(rules_.down_window_ms) / 1000,
                                  workers_text(std::max(highest_, 1)),
                                  std::max(highest_, 1) == 1 ? "was" : "were"));
  }

  // The first look of all must be a window ago.
  bool seen_long_enough() const {
    return memory_.since && now_ - *memory_.since >= rules_.down_window_ms;
  }

  const Load& load_;
  const ScalingLimits& limits_;
  const ScalingRules& rules_;
  int from_, needed_ = 0, highest_ = 0, by_memory_ = 0, least_ = 0, most_ = 0;
  MonoTime now_;
  ScalingMemory& memory_;
};

// ---- what is seen ----

// A task of this stage, in ms; by its stage, else by stages of that name of other jobs.
std::pair<double, bool> expected_ms(const Machine& m, const StageRun& stage) {
  if (stage.duration.samples() > 0) return {stage.duration.mean_ms(), true};
  const auto known = m.typical.find(stage.name);
  return known ? std::pair(*known, true) : std::pair(kUnknownMs, false);
}

// In slots: a task that takes more memory than a slot's part keeps others out.
double cores_of(const Machine& m, const JobRun& job, const StageRun& stage) {
  const double per_slot =
      static_cast<double>(std::max<std::uint64_t>(m.cluster.spec.memory_per_slot(), 1));
  const auto grant = static_cast<double>(m.resources.grant_of(m.cluster.spec, job, stage, nullptr));
  return std::clamp(grant / per_slot, 1.0, static_cast<double>(m.cluster.spec.threads_per_worker));
}

// How many more tasks of a job may run beside those that do.
double room_of(const Machine& m, const JobRun& job, double grant) {
  const JobLimits& limits = job.spec.limits;
  double room = 1e9;
  const auto held = static_cast<double>(job.slots.size());
  if (limits.max_cores) room = std::min(room, *limits.max_cores - held);
  if (limits.max_memory)
    room = std::min(
        room, (static_cast<double>(*limits.max_memory) - static_cast<double>(job.memory_held)) /
                  std::max(grant, 1.0));
  if (limits.n_workers)
    room = std::min(
        room, static_cast<double>(*limits.n_workers) * m.cluster.spec.threads_per_worker - held);
  return std::max(room, job.slots.empty() ? 1.0 : 0.0);
}

// `most` cores: what its user may still have.
void add_waiting(const Machine& m, const JobRun& job, double most, Load& load) {
  const double before = load.waiting_cores;
  for (const auto number : job.ready_stages) {
    const StageRun& stage = job.stages[number];
    auto [ms, measured] = expected_ms(m, stage);
    // What its plan will bring is not known: as much as others'.
    if (job.stages.size() == 1) ms = std::max(ms, m.typical.job().value_or(ms));
    const double cores = cores_of(m, job, stage);
    const auto tasks = static_cast<double>(stage.ready());
    const double grant = cores * static_cast<double>(m.cluster.spec.memory_per_slot());
    load.waiting_tasks += stage.ready();
    load.waiting_cores += cores * std::min(tasks, room_of(m, job, grant));
    const double seconds = tasks * cores * ms / 1000;
    load.waiting_core_seconds += seconds;
    if (!measured) load.unmeasured_core_seconds += seconds;
  }
  load.waiting_cores = std::min(load.waiting_cores, before + most);
}

// As soon as every worker that there may be has its time full, the rest makes no difference.
bool is_enough(const Machine& m, const Load& load) {
  const double cores = static_cast<double>(kMaxWorkers) * m.cluster.spec.threads_per_worker;
  return load.waiting_cores > cores &&
         load.waiting_core_seconds > cores * ScalingRules().drain_seconds &&
         load.unmeasured_core_seconds < load.waiting_core_seconds / 2;
}

// A user's jobs that placement would look at: running ones, and as many more as may start.
void add_waiting(const Machine& m, const User& user, Load& load) {
  const Account& account = user.account;
  double room = 1e9;
  if (account.limits.max_cores) room = std::max(0, *account.limits.max_cores - account.cores);
  std::size_t may_start = m.paused ? 0 : SIZE_MAX;
  if (account.limits.max_running_jobs && !m.paused)
    may_start = static_cast<std::size_t>(std::max<std::int64_t>(
        0, *account.limits.max_running_jobs - static_cast<std::int64_t>(account.running_jobs)));
  const double before = load.waiting_cores;
  for (const auto& lane : user.lanes) {
    for (const JobRun* job : lane.started)
      add_waiting(m, *job, before + room - load.waiting_cores, load);
    for (const JobRun* job : lane.waiting) {
      if (may_start == 0 || is_enough(m, load)) break;
      --may_start;
      add_waiting(m, *job, before + room - load.waiting_cores, load);
    }
  }
}

// Work that waits behind running tasks in their slots is waiting work too.
void add_running(const Machine& m, Load& load) {
  for (const auto& [n, worker] : m.resources.workers()) {
    for (const auto& slot : worker.slots) {
      if (slot.queue.empty()) continue;
      const StageRun& stage = slot.job->stages[slot.stage];
      const double cores = cores_of(m, *slot.job, stage);
      const auto [ms, measured] = expected_ms(m, stage);
      const double age = static_cast<double>(m.now - slot.front_since);
      load.running_cores += cores;
      // One that has run longer than others did goes on for half as long again.
      load.running_core_seconds += cores * std::max(ms - age, measured ? age / 2 : age) / 1000;
      const auto behind = static_cast<double>(slot.queue.size() - 1);
      load.waiting_core_seconds += behind * cores * ms / 1000;
      load.waiting_cores += behind * cores;
      load.waiting_tasks += slot.queue.size() - 1;
    }
  }
}

ScalingLimits limits_of(const Machine& m) {
  ScalingLimits limits;
  limits.policy = m.autoscale;
  limits.slots_per_worker = m.cluster.spec.threads_per_worker;
  limits.worker_memory = m.cluster.spec.memory_limit;
  limits.machine_memory = m.config.machine_memory;
  for (const auto& [n, worker] : m.resources.workers())
    if (worker.state == WorkerState::kReady && worker.aside != Aside::kNo) ++limits.set_aside;
  return limits;
}

void look(Machine& m) {
  const ScalingRules rules;
  m.scaling.next_look = m.now + rules.look_ms;
  const int workers = m.cluster.spec.n_workers;
  auto step = decide(measure_load(m), limits_of(m), rules, workers, m.now, m.scaling);
  if (!step) return;
  if (step->to != step->from) scale_cluster(m, step->to);
  m.out.push_back(
      ScalingDecided{step->from, step->to, std::move(step->reason), std::move(step->numbers)});
}

}  // namespace

int needed_workers(const Load& load, const ScalingLimits& limits, const ScalingRules& rules) {
  const double parallel = load.running_cores + load.waiting_cores;
  const double by_work =
      (load.running_core_seconds + load.waiting_core_seconds) / rules.drain_seconds;
  const double cores = std::max(load.running_cores, std::min(parallel, by_work));
  // A hair less than a whole worker is none more.
  const double workers = std::ceil(cores / limits.slots_per_worker - 1e-6);
  const double least = load.waiting_tasks > 0 ? 1 : 0;
  return static_cast<int>(std::min(std::max(workers, least), 1e6)) + limits.set_aside;
}

std::optional<ScalingStep> decide(const Load& load, const ScalingLimits& limits,
                                  const ScalingRules& rules, int workers, MonoTime now,
                                  ScalingMemory& memory) {
  if (!memory.since) memory.since = now;
  return Decider(load, limits, rules, workers, now, memory).step();
}

Load measure_load(const Machine& m) {
  Load load;
  add_running(m, load);
  for (const auto& [name, user] : m.queue.users()) {
    add_waiting(m, user, load);
    if (is_enough(m, load)) break;
  }
  return load;
}

void scale_by_load(Machine& m) {
  ScalingMemory& memory = m.scaling;
  if (!m.autoscale.enabled || !m.cluster.wanted) return;
  if (m.now >= memory.next_look) look(m);
  // At rest the next event wakes it.
  const bool at_rest = m.attempts.empty() && !m.queue.has_runnable() &&
                       m.cluster.spec.n_workers <= m.autoscale.min_workers;
  if (memory.armed || at_rest) return;
  memory.armed = true;
  m.timers.arm(memory.next_look, TimerKind::kAutoscale);
}

void change_policy(Machine& m, const AutoscalePolicy& policy) {
  if (m.autoscale == policy) return;
  m.autoscale = policy;
  m.scaling.forbidden.reset();
  m.scaling.next_look = m.now;
}

int within_policy(const Machine& m, int workers) {
  const int n = std::clamp(workers, 1, kMaxWorkers);
  return m.autoscale.enabled ? std::clamp(n, m.autoscale.min_workers, m.autoscale.max_workers) : n;
}

}  // namespace polysome::core
