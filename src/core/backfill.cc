#include "core/backfill.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace polysome::core {
namespace {

// Of a duration's spread, added to its mean, before a task is trusted to be over.
constexpr double kDeviations = 3;
constexpr MonoTime kNever = std::numeric_limits<MonoTime>::max();

// A slot will be empty.
struct Leave {
  MonoTime at = kNever, late = kNever;
  std::size_t room = 0;
  std::uint64_t grant = 0;
};

// A worker that could hold the job, as it will be.
struct Room {
  const Worker* worker = nullptr;
  bool chosen_before = false;
  int idle = 0;
  std::uint64_t free = 0;
  std::vector<Leave> leaves;  // that were counted in

  int tasks(std::uint64_t grant) const {
    const std::uint64_t by_memory = grant == 0 ? UINT64_MAX : free / grant;
    return static_cast<int>(
        std::min<std::uint64_t>(static_cast<std::uint64_t>(std::max(idle, 0)), by_memory));
  }
};

std::vector<Room> rooms_for(const Machine& m, const JobRun& job, const Need& need,
                            const Reservation* before) {
  std::vector<Room> rooms;
  for (const auto& [n, worker] : m.resources.workers()) {
    if (!worker.takes_tasks() || worker.memory_limit < need.grant || n == need.avoid) continue;
    if (need.tasks == 1 && !m.resources.may_use(job, worker)) continue;
    rooms.push_back({&worker,
                     before != nullptr && before->on(n) != nullptr,
                     worker.idle(),
                     worker.free_memory(),
                     {}});
  }
  // A gang of a job with n_workers goes to so many of the largest.
  const auto& most = job.spec.limits.n_workers;
  if (need.tasks == 1 || !most || rooms.size() <= static_cast<std::size_t>(*most)) return rooms;
  std::ranges::stable_sort(rooms, [&](const Room& a, const Room& b) {
    const auto rank = [&](const Room& r) {
      return std::tuple(job.slots_on.contains(r.worker->id.n), r.chosen_before,
                        r.worker->slots.size(), r.worker->memory_limit);
    };
    return rank(a) > rank(b);
  });
  rooms.resize(static_cast<std::size_t>(std::max(*most, 1)));
  return rooms;
}

std::vector<Leave> leaves_of(const Machine& m, const std::vector<Room>& rooms) {
  std::vector<Leave> leaves;
  for (std::size_t i = 0; i < rooms.size(); ++i)
    for (const auto& slot : rooms[i].worker->slots) {
      if (slot.queue.empty()) continue;
      const auto end = slot_end(m, slot);
      leaves.push_back({end ? end->likely : kNever, end ? end->late : kNever, i, slot.grant});
    }
  // Of those that nothing is known of, the worker with most memory free is emptied first.
  std::ranges::stable_sort(leaves, [&](const Leave& a, const Leave& b) {
    const auto rank = [&](const Leave& l) {
      const Room& room = rooms[l.room];
      return std::tuple(l.at, !room.chosen_before, UINT64_MAX - room.free, room.worker->id.n);
    };
    return rank(a) < rank(b);
  });
  return leaves;
}

// Only what will surely be free then, or what the job itself waits for, counts as spare: not a slot
// that may be empty by then and that it does not need.
void keep_what_is_needed(Room& room, int tasks, std::uint64_t grant, MonoTime start) {
  for (const auto& leave : room.leaves) {
    if (leave.late <= start) continue;
    Room without = room;
    --without.idle;
    without.free -= leave.grant;
    if (without.tasks(grant) < tasks) continue;
    room.idle = without.idle;
    room.free = without.free;
  }
}

}  // namespace

Need need_of(const Machine& m, const JobRun& job, const StageRun& stage, bool again) {
  Need need{stage.number, again && !stage.gang, 1, 0, 0};
  const auto grant = [&](const TaskTrouble* trouble) {
    return m.resources.grant_of(m.cluster.spec, job, stage, trouble);
  };
  if (!stage.gang) {
    const auto trouble = again ? stage.trouble.find(stage.again.front()) : stage.trouble.end();
    if (trouble == stage.trouble.end()) {
      need.grant = grant(nullptr);
      return need;
    }
    const TaskTrouble& had = trouble->second;
    need.grant = grant(&had);
    if (had.avoid != 0 && m.now < had.avoid_until &&
        m.resources.others_could_take(job, need.grant, had.avoid))
      need.avoid = had.avoid;
    return need;
  }
  need.tasks = stage.tasks();
  need.grant = grant(nullptr);
  for (const auto& [index, trouble] : stage.trouble)
    need.grant = std::max(need.grant, grant(&trouble));
  return need;
}

const TaskDuration& duration_of(const Machine& m, const StageRun& stage) {
  const bool general = stage.kind == StageKind::kPlanner && stage.duration.samples() == 0;
  return general ? m.planning : stage.duration;
}

std::optional<double> longest_ms(const TaskDuration& duration) {
  if (duration.samples() == 0) return std::nullopt;
  // A few that happened to take the same time say little of the next one.
  const double unsure = duration.mean_ms() * std::pow(0.8, duration.samples() - 1);
  return duration.mean_ms() + kDeviations * std::max(duration.deviation_ms(), unsure);
}

std::optional<SlotEnd> slot_end(const Machine& m, const Slot& slot) {
  const TaskDuration& duration = duration_of(m, slot.job->stages[slot.stage]);
  if (duration.samples() == 0) return std::nullopt;
  const double mean = duration.mean_ms();
  const double passed = static_cast<double>(m.now - slot.front_since);
  const double behind = mean * static_cast<double>(slot.queue.size() - 1);
  const double longest = *longest_ms(duration);
  return SlotEnd{m.now + static_cast<MonoTime>(std::max(mean - passed, 0.0) + behind),
                 m.now + static_cast<MonoTime>(std::max(longest - passed, 0.0) + behind)};
}

std::optional<Reservation> reserve(const Machine& m, JobRun& job, const Need& need,
                                   const Reservation* before) {
  std::vector<Room> rooms = rooms_for(m, job, need, before);
  int room = 0;
  for (const auto& r : rooms) room += r.tasks(need.grant);
  const auto wanted = static_cast<int>(need.tasks);
  MonoTime start = m.now;
  if (room < wanted) {
    for (const auto& leave : leaves_of(m, rooms)) {
      Room& r = rooms[leave.room];
      r.leaves.push_back(leave);
      room -= r.tasks(need.grant);
      ++r.idle;
      r.free += leave.grant;
      room += r.tasks(need.grant);
      start = leave.at;
      if (room >= wanted) break;
    }
    if (room < wanted) return std::nullopt;
  }
  std::ranges::stable_sort(rooms, [&](const Room& a, const Room& b) {
    const auto rank = [&](const Room& r) {
      return std::tuple(std::min(r.tasks(need.grant), wanted), r.chosen_before, r.free);
    };
    return rank(a) > rank(b);
  });
  Reservation reservation{&job, need, std::nullopt, {}};
  if (start != kNever) reservation.start = start;
  int left = wanted;
  for (auto& r : rooms) {
    const int tasks = std::min(left, r.tasks(need.grant));
    if (tasks == 0) break;
    left -= tasks;
    keep_what_is_needed(r, tasks, need.grant, start);
    reservation.spots.push_back({r.worker->id.n, tasks, r.idle - tasks,
                                 r.free - need.grant * static_cast<std::uint64_t>(tasks)});
  }
  return reservation;
}

std::optional<MonoTime> late_start(const Machine& m, const Reservation& reservation) {
  if (!reservation.start) return std::nullopt;
  MonoTime late = *reservation.start;
  for (const auto& spot : reservation.spots) {
    const auto it = m.resources.workers().find(spot.worker);
    if (it == m.resources.workers().end()) return std::nullopt;
    for (const auto& slot : it->second.slots) {
      if (slot.queue.empty()) continue;
      const auto end = slot_end(m, slot);
      if (end && end->likely <= *reservation.start) late = std::max(late, end->late);
    }
  }
  return late;
}

bool is_for(const Reservation& r, const JobRun& job, const Need& need) {
  if (r.job != &job || need.stage > r.need.stage) return false;
  return need.stage < r.need.stage || need.again || !r.need.again;
}

Passage passage(const Machine& m, const JobRun& job, const Need& need) {
  Passage p;
  if (!m.reservation || is_for(*m.reservation, job, need)) return p;
  if (m.queue.outranks(job, *m.reservation->job)) return p;
  p.reservation = &*m.reservation;
  if (!p.reservation->start) return p;
  const auto longest = longest_ms(duration_of(m, job.stages[need.stage]));
  p.over_before = longest && static_cast<double>(m.now) + *longest <=
                                 static_cast<double>(*p.reservation->start);
  return p;
}

}  // namespace polysome::core
