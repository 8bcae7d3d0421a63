#include "core/resource_manager.h"

#include <algorithm>

#include "core/job_queue.h"

namespace polysome::core {

Worker& ResourceManager::add(WorkerId id, int slots, std::uint64_t memory_limit, MonoTime now) {
  Worker& worker = workers_[id.n];
  worker.id = id;
  worker.slots.resize(static_cast<std::size_t>(std::max(slots, 1)));
  worker.memory_limit = memory_limit;
  worker.started = now;
  worker.heard = now;
  return worker;
}

Worker* ResourceManager::find(WorkerId id) {
  const auto it = workers_.find(id.n);
  return it == workers_.end() ? nullptr : &it->second;
}

int ResourceManager::idle_slots() const {
  int idle = 0;
  for (const auto& [n, worker] : workers_)
    if (worker.takes_tasks()) idle += worker.idle();
  return idle;
}

std::pair<int, std::uint64_t> ResourceManager::capacity() const {
  int slots = 0;
  std::uint64_t memory = 0;
  for (const auto& [n, worker] : workers_) {
    if (!worker.takes_tasks()) continue;
    slots += static_cast<int>(worker.slots.size());
    memory += worker.memory_limit;
  }
  return {slots, memory};
}

bool ResourceManager::any_takes_tasks() const {
  return std::ranges::any_of(workers_, [](const auto& w) { return w.second.takes_tasks(); });
}

std::uint64_t ResourceManager::most_grant(const ClusterSpec& spec, const JobRun& job) {
  const auto& user = job.owner->account.limits.max_memory;
  const std::uint64_t most = std::min(spec.memory_limit, user.value_or(spec.memory_limit));
  return std::min(most, job.spec.limits.max_memory.value_or(most));
}

std::uint64_t ResourceManager::grant_of(const ClusterSpec& spec, const JobRun& job,
                                        const StageRun& stage, const TaskTrouble* trouble) const {
  // What a plan or trouble asks for is tried with all a worker has; a caller's own request is not
  // cut.
  std::uint64_t grant = std::max(spec.memory_per_slot(), stage.grant);
  if (trouble != nullptr) grant = std::max(grant, trouble->grant);
  grant = std::min(grant, spec.memory_limit);
  grant = std::max(grant, job.spec.limits.memory_per_worker.value_or(0));
  // A ceiling is never what makes a job wait for ever: a gang's tasks share it.
  const std::uint64_t at_once = stage.gang ? std::max<std::uint32_t>(stage.tasks(), 1) : 1;
  for (const auto& most : {job.owner->account.limits.max_memory, job.spec.limits.max_memory})
    if (most) grant = std::min(grant, *most / at_once);
  return grant;
}

bool ResourceManager::may_use(const JobRun& job, const Worker& worker) const {
  const auto& limit = job.spec.limits.n_workers;
  return !limit || job.slots_on.contains(worker.id.n) ||
         job.slots_on.size() < static_cast<std::size_t>(std::max(*limit, 1));
}

Obstacle ResourceManager::ceiling(const JobRun& job, std::uint32_t tasks, std::uint64_t grant) {
  const auto cores = [tasks](std::size_t held, const std::optional<int>& most) {
    return most && held + tasks > static_cast<std::size_t>(std::max(*most, 1));
  };
  // One task alone is always let in: its grant was cut to the ceiling.
  const auto memory = [tasks, grant](bool holds, std::uint64_t held,
                                     const std::optional<std::uint64_t>& most) {
    return most && (holds || tasks > 1) && held + grant * tasks > *most;
  };
  const JobLimits& own = job.spec.limits;
  if (cores(job.slots.size(), own.max_cores) ||
      memory(!job.slots.empty(), job.memory_held, own.max_memory))
    return Obstacle::kOwnCeiling;
  const Account& user = job.owner->account;
  if (cores(static_cast<std::size_t>(user.cores), user.limits.max_cores) ||
      memory(user.cores > 0, user.memory, user.limits.max_memory))
    return Obstacle::kUserLimit;
  return Obstacle::kNone;
}

bool ResourceManager::others_could_take(const JobRun& job, std::uint64_t grant,
                                        std::uint32_t than) const {
  return std::ranges::any_of(workers_, [&](const auto& w) {
    const Worker& worker = w.second;
    return w.first != than && worker.takes_tasks() && worker.memory_limit >= grant &&
           may_use(job, worker);
  });
}

Fit ResourceManager::find(const JobRun& job, std::uint64_t grant, const Passage& door,
                          std::uint32_t avoid) const {
  Obstacle obstacle = ceiling(job, 1, grant);
  if (obstacle != Obstacle::kNone) return {nullptr, obstacle};
  obstacle = Obstacle::kCores;
  const Worker* best = nullptr;
  for (const auto& [n, worker] : workers_) {
    if (!worker.takes_tasks() || worker.idle() == 0) continue;
    if (n == avoid) {
      obstacle = std::max(obstacle, Obstacle::kAvoided);
    } else if (!may_use(job, worker)) {
      obstacle = std::max(obstacle, Obstacle::kWorkers);
    } else if (worker.free_memory() < grant) {
      obstacle = std::max(obstacle, Obstacle::kMemory);
    } else if (door.room(n, grant, 1) == 0) {
      obstacle = std::max(obstacle, Obstacle::kReserved);
    } else if (best == nullptr || worker.busy * static_cast<int>(best->slots.size()) <
                                      best->busy * static_cast<int>(worker.slots.size())) {
      best = &worker;
    }
  }
  if (best == nullptr) return {nullptr, obstacle};
  return {const_cast<Worker*>(best), Obstacle::kNone};
}

GangFit ResourceManager::find_gang(const JobRun& job, const Need& need, const Passage& door) const {
  if (const Obstacle obstacle = ceiling(job, need.tasks, need.grant); obstacle != Obstacle::kNone)
    return {{}, obstacle};
  std::vector<std::pair<Worker*, int>> rooms;
  int without_door = 0;
  for (const auto& [n, worker] : workers_) {
    if (!worker.takes_tasks() || worker.idle() == 0) continue;
    const std::uint64_t by_memory = worker.free_memory() / std::max<std::uint64_t>(need.grant, 1);
    const int room = static_cast<int>(
        std::min<std::uint64_t>(static_cast<std::uint64_t>(worker.idle()), by_memory));
    without_door += room;
    const int open = door.room(n, need.grant, room);
    if (open > 0) rooms.emplace_back(const_cast<Worker*>(&worker), open);
  }
  std::ranges::stable_sort(rooms, [&](const auto& a, const auto& b) {
    const bool a_used = job.slots_on.contains(a.first->id.n);
    const bool b_used = job.slots_on.contains(b.first->id.n);
    return a_used != b_used ? a_used : a.second > b.second;
  });
  const auto& limit = job.spec.limits.n_workers;
  std::size_t more = limit ? static_cast<std::size_t>(std::max(*limit, 1)) : rooms.size();
  more -= std::min(more, limit ? job.slots_on.size() : 0);
  GangFit fit;
  int left = static_cast<int>(need.tasks);
  for (const auto& [worker, room] : rooms) {
    if (left == 0) break;
    if (!job.slots_on.contains(worker->id.n) && more-- == 0) break;
    fit.places.emplace_back(worker, std::min(left, room));
    left -= fit.places.back().second;
  }
  if (left == 0) return fit;
  const bool reserved = without_door >= static_cast<int>(need.tasks) && !limit;
  return {{}, reserved ? Obstacle::kReserved : Obstacle::kGang};
}

std::optional<std::pair<Worker*, int>> ResourceManager::find_queue(
    const JobRun& job, std::uint32_t stage, std::uint64_t grant, std::size_t longest,
    const Reservation* reserved, std::uint32_t avoid) const {
  std::optional<std::pair<Worker*, int>> best;
  std::size_t length = longest;
  for (const auto& [worker, number] : job.slots) {
    const Slot& slot = worker->slots[static_cast<std::size_t>(number)];
    if (slot.queue.size() >= length || slot.stage != stage || slot.grant != grant) continue;
    if (!worker->takes_tasks() || worker->id.n == avoid) continue;
    if (reserved != nullptr && reserved->on(worker->id.n) != nullptr) continue;
    length = slot.queue.size();
    best = {worker, number};
    if (length == 1) break;
  }
  return best;
}

void ResourceManager::put(Worker& worker, int number, std::uint64_t attempt, JobRun& job,
                          std::uint32_t stage, std::uint64_t grant, MonoTime now) {
  Slot& slot = worker.slots[static_cast<std::size_t>(number)];
  slot.queue.push_back(attempt);
  if (slot.queue.size() > 1) {
    ++queued_behind_;
    return;
  }
  slot.job = &job;
  slot.stage = stage;
  slot.grant = grant;
  slot.front_since = now;
  ++worker.busy;
  worker.granted += grant;
  job.slots.emplace_back(&worker, number);
  ++job.slots_on[worker.id.n];
  job.memory_held += grant;
}

void ResourceManager::take(Worker& worker, int number, std::uint64_t attempt, MonoTime now) {
  Slot& slot = worker.slots[static_cast<std::size_t>(number)];
  const bool front = slot.queue.front() == attempt;
  slot.queue.erase(std::ranges::find(slot.queue, attempt));
  if (!slot.queue.empty()) {
    --queued_behind_;
    if (front) slot.front_since = now;
    return;
  }
  JobRun& job = *slot.job;
  const auto held = std::ranges::find(job.slots, std::pair(&worker, number));
  *held = job.slots.back();
  job.slots.pop_back();
  const auto on = job.slots_on.find(worker.id.n);
  if (--on->second == 0) job.slots_on.erase(on);
  job.memory_held -= slot.grant;
  worker.granted -= slot.grant;
  --worker.busy;
  slot.job = nullptr;
  slot.grant = 0;
}

}  // namespace polysome::core
