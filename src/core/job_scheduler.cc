#include "core/job_scheduler.h"

#include <algorithm>
#include <bit>

#include "core/stage_flow.h"
#include "core/task_flow.h"

namespace polysome::core {
namespace {

constexpr MonoTime kRebalanceMs = 100;
// Stages of one job that a pass tries; those behind wait for the next one.
constexpr std::size_t kStagesTried = 4;

struct Pass {
  int idle = 0;                  // slots
  std::optional<WorkerId> kept;  // for the first job that needs more memory than is free
  const JobRun* keeper = nullptr;
};

enum class Placed : std::uint8_t { kYes, kBlocked, kAtOwnCeiling, kUserFull };

int first_idle(const Worker& worker) {
  const auto it = std::ranges::find_if(worker.slots, [](const Slot& s) { return s.queue.empty(); });
  return static_cast<int>(it - worker.slots.begin());
}

const TaskTrouble* trouble_of_next(const StageRun& stage, bool again) {
  if (!again || stage.trouble.empty()) return nullptr;
  const auto it = stage.trouble.find(stage.again.front());
  return it == stage.trouble.end() ? nullptr : &it->second;
}

// Tries to place the next retried or the next fresh task of a stage.
Placed try_place(Machine& m, Pass& pass, JobRun& job, StageRun& stage, bool again) {
  const std::uint64_t grant =
      m.resources.grant_of(m.cluster.spec, job, stage, trouble_of_next(stage, again));
  Obstacle obstacle = Obstacle::kCores;
  if (pass.idle > 0) {
    const Fit fit = m.resources.find(job, grant, pass.kept);
    if (fit.worker != nullptr) {
      if (job.kept_worker == fit.worker->id) job.kept_worker.reset();
      start_attempt(m, *fit.worker, first_idle(*fit.worker), job, stage, again, grant);
      --pass.idle;
      return Placed::kYes;
    }
    obstacle = fit.obstacle;
  }
  if (m.config.prefetch > 0 && stage.duration.is_short()) {
    const auto longest = static_cast<std::size_t>(m.config.prefetch) + 1;
    if (const auto found = m.resources.find_queue(job, stage.number, grant, longest, pass.kept)) {
      start_attempt(m, *found->first, found->second, job, stage, again, grant);
      return Placed::kYes;
    }
  }
  if (obstacle == Obstacle::kMemory && !pass.kept) {
    job.kept_worker = m.resources.worker_to_keep(job, grant);
    pass.kept = job.kept_worker;
    pass.keeper = &job;
  }
  if (obstacle == Obstacle::kOwnCeiling) return Placed::kAtOwnCeiling;
  const Account& user = job.owner->account;
  const bool full = user.limits.max_cores && user.cores >= *user.limits.max_cores;
  return obstacle == Obstacle::kUserLimit && full ? Placed::kUserFull : Placed::kBlocked;
}

Placed place_one(Machine& m, Pass& pass, JobRun& job) {
  bool only_ceilings = true;
  std::size_t tried = 0;
  for (const auto number : job.ready_stages) {
    if (tried++ == kStagesTried) break;
    StageRun& stage = job.stages[number];
    for (const bool again : {true, false}) {
      if (again ? stage.again.empty() : stage.fresh == 0) continue;
      const Placed placed = try_place(m, pass, job, stage, again);
      if (placed == Placed::kYes || placed == Placed::kUserFull) return placed;
      only_ceilings = only_ceilings && placed == Placed::kAtOwnCeiling;
    }
  }
  return only_ceilings ? Placed::kAtOwnCeiling : Placed::kBlocked;
}

// Could one more task of this slot's job run elsewhere at once?
bool could_move(const Machine& m, const Slot& slot) {
  return !slot.job->ending &&
         m.resources.find(*slot.job, slot.grant, std::nullopt).worker != nullptr;
}

}  // namespace

void place_tasks(Machine& m) {
  const auto [cores, memory] = m.resources.capacity();
  if (cores > 0) m.queue.set_capacity(cores, memory);
  if (!m.queue.has_runnable()) {
    if (m.rebalance_armed || m.resources.queued_behind() == 0 || m.resources.idle_slots() == 0)
      return;
    m.rebalance_armed = true;
    m.timers.arm(m.now + kRebalanceMs, TimerKind::kRebalance);
    return;
  }
  if (cores == 0) return;
  Pass pass;
  pass.idle = m.resources.idle_slots();
  int blocked = 0;
  while (Lane* lane = m.queue.first()) {
    JobRun& job = *lane->head;
    const Placed placed = place_one(m, pass, job);
    // One slot at a time: with each its user's share grows, and another may be the next.
    if (placed == Placed::kYes) continue;
    if (placed == Placed::kAtOwnCeiling && !job.slots.empty()) {
      job.parked = true;
      place_in_queue(m, job);
      // Until one of its attempts ends it could not use a worker kept for it.
      if (pass.keeper == &job) pass.kept.reset();
      job.kept_worker.reset();
      if (pass.idle == 0) break;
      continue;
    }
    // Without idle slots only the first job may queue behind its own tasks: one further back that
    // did would hold its slots against those before it.
    if (pass.idle == 0 || ++blocked >= kMostBlockedLooks) break;
    if (placed == Placed::kUserFull)
      m.queue.skip_lane(*lane);
    else
      m.queue.skip_head(*lane);
  }
  m.queue.end_pass();
  m.kept.reset();
  if (pass.kept) m.kept = {pass.keeper->id(), *pass.kept};
}

void rebalance(Machine& m) {
  m.rebalance_armed = false;
  if (m.queue.has_runnable()) return;
  int idle = m.resources.idle_slots();
  for (auto& [n, worker] : m.resources.workers()) {
    for (auto& slot : worker.slots) {
      if (slot.queue.size() < 2 || m.now - slot.front_since < kRebalanceMs) continue;
      if (!could_move(m, slot)) continue;
      for (std::size_t i = slot.queue.size(); i-- > 1 && idle > 0; --idle)
        take_back(m, m.attempts.at(slot.queue[i]));
    }
  }
}

std::optional<std::uint64_t> next_grant(const Machine& m, const JobRun& job) {
  if (job.ready_stages.empty()) return std::nullopt;
  const StageRun& stage = job.stages[*job.ready_stages.begin()];
  return m.resources.grant_of(m.cluster.spec, job, stage,
                              trouble_of_next(stage, !stage.again.empty()));
}

}  // namespace polysome::core
