#include "core/job_scheduler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/backfill.h"
#include "core/preemption.h"
#include "core/stage_flow.h"
#include "core/task_flow.h"

namespace polysome::core {
namespace {

constexpr MonoTime kRebalanceMs = 100;
// Stages of one job that a pass tries; those behind wait for the next one.
constexpr std::size_t kStagesTried = 4;

struct Pass {
  int idle = 0;  // slots
  // The least that was refused for want of memory: a task that needs no less and takes no less long
  // is refused too, without a look at the workers.
  std::uint64_t refused_grant = std::numeric_limits<std::uint64_t>::max();
  double refused_ms = 0;
  bool preempting = false;  // a CRITICAL job took back what was queued behind running tasks
  bool freed =
      false;  // what was kept for a job no longer is, so others may fit that were set aside
};

enum class Placed : std::uint8_t { kYes, kBlocked, kAtOwnCeiling, kUserFull };

int first_idle(const Worker& worker) {
  const auto it = std::ranges::find_if(worker.slots, [](const Slot& s) { return s.queue.empty(); });
  return static_cast<int>(it - worker.slots.begin());
}

// A task, or a gang's tasks, of a stage go to these workers.
void start(Machine& m, Pass& pass, JobRun& job, StageRun& stage, const Need& need,
           const std::vector<std::pair<Worker*, int>>& places, const Passage& door) {
  bool disturbed = false;
  stage.disbanding = false;
  for (const auto& [worker, tasks] : places) {
    Reservation::Spot* spot = m.reservation ? m.reservation->on(worker->id.n) : nullptr;
    if (spot != nullptr && door.reservation == nullptr) disturbed = true;
    if (spot != nullptr && door.reservation != nullptr && !door.over_before) {
      spot->spare_slots -= tasks;
      spot->spare_memory -= need.grant * static_cast<std::uint64_t>(tasks);
    }
    for (int i = 0; i < tasks; ++i)
      start_attempt(m, *worker, first_idle(*worker), job, stage,
                    stage.gang ? !stage.again.empty() : need.again, need.grant);
    pass.idle -= tasks;
  }
  if (!m.reservation) return;
  const bool served = is_for(*m.reservation, job, need);
  pass.freed = pass.freed || served || disturbed;
  if (served)
    m.reservation.reset();
  else if (disturbed)
    m.reservation = reserve(m, *m.reservation->job, m.reservation->need, &*m.reservation);
}

// What stands in the way of a task for which there are idle slots; kNone: it was started.
Obstacle place_in_slots(Machine& m, Pass& pass, JobRun& job, StageRun& stage, const Need& need) {
  const Passage door = passage(m, job, need);
  if (stage.gang) {
    const GangFit fit = m.resources.find_gang(job, need, door);
    if (fit.obstacle == Obstacle::kNone) start(m, pass, job, stage, need, fit.places, door);
    return fit.obstacle;
  }
  const double longest =
      longest_ms(duration_of(m, stage)).value_or(std::numeric_limits<double>::max());
  if (need.grant >= pass.refused_grant && longest >= pass.refused_ms) return Obstacle::kReserved;
  const Fit fit = m.resources.find(job, need.grant, door, need.avoid);
  if (fit.worker != nullptr) {
    start(m, pass, job, stage, need, {{fit.worker, 1}}, door);
    return Obstacle::kNone;
  }
  const bool for_all = !job.spec.limits.n_workers && need.avoid == 0;
  if (for_all && fit.obstacle == Obstacle::kMemory && need.grant < pass.refused_grant) {
    pass.refused_grant = need.grant;
    pass.refused_ms = 0;
  } else if (for_all && fit.obstacle == Obstacle::kReserved && need.grant < pass.refused_grant) {
    pass.refused_grant = need.grant;
    pass.refused_ms = longest;
  }
  return fit.obstacle;
}

// Tries to place the next retried or the next fresh task of a stage, or all of a gang.
Placed try_place(Machine& m, Pass& pass, JobRun& job, StageRun& stage, bool again) {
  const Need need = need_of(m, job, stage, again);
  Obstacle obstacle = Obstacle::kCores;
  if (pass.idle > 0) {
    obstacle = place_in_slots(m, pass, job, stage, need);
    if (obstacle == Obstacle::kNone) return Placed::kYes;
  }
  const bool gives_way = pass.preempting && m.queue.level(job) < kHighestLevel;
  if (!stage.gang && !gives_way && m.config.prefetch > 0 && stage.duration.is_short()) {
    const auto longest = static_cast<std::size_t>(m.config.prefetch) + 1;
    const Reservation* reserved = passage(m, job, need).reservation;
    if (const auto found =
            m.resources.find_queue(job, stage.number, need.grant, longest, reserved, need.avoid)) {
      start_attempt(m, *found->first, found->second, job, stage, again, need.grant);
      return Placed::kYes;
    }
  }
  if ((obstacle == Obstacle::kMemory || obstacle == Obstacle::kGang) &&
      (!m.reservation || m.queue.outranks(job, *m.reservation->job)))
    m.reservation = reserve(m, job, need, nullptr);
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
      if (stage.gang) break;
    }
  }
  return only_ceilings ? Placed::kAtOwnCeiling : Placed::kBlocked;
}

// The job that a reservation was made for was the first in the queue then: it keeps that turn, and
// when there is room it goes before all of its level.
void honour_reservation(Machine& m, Pass& pass) {
  if (!m.reservation) return;
  const Reservation before = *m.reservation;
  JobRun& job = *before.job;
  StageRun& stage = job.stages[before.need.stage];
  const bool again = !stage.again.empty();  // these go first
  m.reservation.reset();
  if (!job.in_runnable || !m.queue.may_go(job) || stage.ready() == 0) return;
  const auto is_before = [&](const Lane& lane) {
    return lane.head != nullptr && m.queue.outranks(*lane.head, job);
  };
  if (!is_before(*m.queue.first()) && std::ranges::none_of(job.owner->lanes, is_before) &&
      place_in_slots(m, pass, job, stage, need_of(m, job, stage, again)) == Obstacle::kNone)
    return;
  m.reservation = reserve(m, job, need_of(m, job, stage, again), &before);
}

// Could one more task of this slot's job run elsewhere at once?
bool could_move(const Machine& m, const Slot& slot) {
  return !slot.job->ending && m.resources.find(*slot.job, slot.grant, {}).worker != nullptr;
}

// Sets aside what can't be placed now. False: nothing further back can be either.
bool set_aside(Machine& m, Pass& pass, Lane& lane, Placed placed) {
  JobRun& job = *lane.head;
  if (placed == Placed::kAtOwnCeiling && !job.slots.empty()) {
    job.parked = true;  // until one of its attempts ends
    if (m.reservation && m.reservation->job == &job) {
      m.reservation.reset();
      pass.freed = true;
    }
    place_in_queue(m, job);
    return pass.idle > 0;
  }
  if (placed == Placed::kBlocked && may_preempt(m, job)) {
    preempt_for(m, job);
    pass.preempting = true;
  }
  // Without idle slots only the first job may queue behind its own tasks: one further back that
  // did would hold its slots against those before it.
  if (pass.idle == 0) return false;
  if (placed == Placed::kUserFull)
    m.queue.skip_lane(lane);
  else
    m.queue.skip_head(lane);
  return true;
}

void place_in_order(Machine& m, Pass& pass) {
  pass.freed = false;
  int looks = 0;
  while (Lane* lane = m.queue.first()) {
    // One task at a time: with each its user's share grows, and another may be the next.
    const Placed placed = place_one(m, pass, *lane->head);
    if (placed == Placed::kYes) continue;
    if (!set_aside(m, pass, *lane, placed) || ++looks == kMostBlockedLooks) break;
  }
  m.queue.end_pass();
}

// Each time a reservation is gone or made anew, a job was placed: it ends.
void place_freed(Machine& m, Pass& pass) {
  while (pass.freed && pass.idle > 0) {
    pass = {.idle = pass.idle};
    place_in_order(m, pass);
  }
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
  if (pass.idle > 0) honour_reservation(m, pass);
  place_in_order(m, pass);
  place_freed(m, pass);
}

void place_job(Machine& m, JobId id) {
  JobRun* job = m.job(id);
  if (job == nullptr || !m.resources.any_takes_tasks()) return;
  Pass pass;
  pass.idle = m.resources.idle_slots();
  if (pass.idle == 0 && !may_preempt(m, *job)) return;
  Placed placed = Placed::kYes;
  while (placed == Placed::kYes && job->in_runnable && m.queue.may_go(*job))
    placed = place_one(m, pass, *job);
  if (placed == Placed::kBlocked && may_preempt(m, *job)) preempt_for(m, *job);
  place_freed(m, pass);
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

std::optional<Need> next_need(const Machine& m, const JobRun& job) {
  if (job.ready_stages.empty()) return std::nullopt;
  const StageRun& stage = job.stages[*job.ready_stages.begin()];
  return need_of(m, job, stage, !stage.again.empty());
}

Obstacle obstacle_of(const Machine& m, const JobRun& job, const Need& need) {
  const StageRun& stage = job.stages[need.stage];
  const Passage door = passage(m, job, need);
  return stage.gang ? m.resources.find_gang(job, need, door).obstacle
                    : m.resources.find(job, need.grant, door, need.avoid).obstacle;
}

}  // namespace polysome::core
