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

enum class Placed : std::uint8_t { kYes, kBlocked, kAtOwnCeiling };

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
  return obstacle == Obstacle::kOwnCeiling ? Placed::kAtOwnCeiling : Placed::kBlocked;
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
      if (placed == Placed::kYes) return placed;
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
  if (m.queue.runnable().empty()) {
    if (m.rebalance_armed || m.resources.queued_behind() == 0 || m.resources.idle_slots() == 0)
      return;
    m.rebalance_armed = true;
    m.timers.arm(m.now + kRebalanceMs, TimerKind::kRebalance);
    return;
  }
  if (!m.resources.any_takes_tasks()) return;
  Pass pass;
  pass.idle = m.resources.idle_slots();
  int blocked = 0;
  for (auto it = m.queue.runnable().begin(); it != m.queue.runnable().end();) {
    JobRun& job = *it->second;
    ++it;  // the job may leave the list
    if (m.paused && job.status == JobStatus::kPending) continue;
    Placed placed = Placed::kYes;
    while (job.in_runnable && placed == Placed::kYes) placed = place_one(m, pass, job);
    if (placed == Placed::kAtOwnCeiling && !job.slots.empty()) {
      job.parked = true;
      place_in_queue(m, job);
      // Until one of its attempts ends it could not use a worker kept for it.
      if (pass.keeper == &job) pass.kept.reset();
      job.kept_worker.reset();
    } else if (placed != Placed::kYes && ++blocked >= kMostBlockedLooks) {
      return;
    }
    // Without idle slots only the first job may queue behind its own tasks: one further back that
    // did would hold its slots against those before it.
    if (pass.idle == 0 && placed != Placed::kYes) return;
  }
}

void rebalance(Machine& m) {
  m.rebalance_armed = false;
  if (!m.queue.runnable().empty()) return;
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
