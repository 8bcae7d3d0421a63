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
  grant = std::min(grant, job.owner->account.limits.max_memory.value_or(grant));
  return std::min(grant, job.spec.limits.max_memory.value_or(grant));
}

bool ResourceManager::may_use(const JobRun& job, const Worker& worker) const {
  const auto& limit = job.spec.limits.n_workers;
  return !limit || job.slots_on.contains(worker.id.n) ||
         job.slots_on.size() < static_cast<std::size_t>(std::max(*limit, 1));
}

Fit ResourceManager::find(const JobRun& job, std::uint64_t grant,
                          std::optional<WorkerId> kept) const {
  const auto& limits = job.spec.limits;
  if (limits.max_cores &&
      job.slots.size() >= static_cast<std::size_t>(std::max(*limits.max_cores, 1)))
    return {nullptr, Obstacle::kOwnCeiling};
  if (limits.max_memory && !job.slots.empty() && job.memory_held + grant > *limits.max_memory)
    return {nullptr, Obstacle::kOwnCeiling};
  const Account& user = job.owner->account;
  if (user.limits.max_cores && user.cores >= *user.limits.max_cores)
    return {nullptr, Obstacle::kUserLimit};
  if (user.limits.max_memory && user.cores > 0 && user.memory + grant > *user.limits.max_memory)
    return {nullptr, Obstacle::kUserLimit};
  const Worker* best = nullptr;
  Obstacle obstacle = Obstacle::kCores;
  for (const auto& [n, worker] : workers_) {
    if (!worker.takes_tasks() || worker.idle() == 0) continue;
    if (!may_use(job, worker)) {
      obstacle = std::max(obstacle, Obstacle::kWorkers);
    } else if (worker.free_memory() < grant) {
      obstacle = std::max(obstacle, Obstacle::kMemory);
    } else if (kept == worker.id) {
      obstacle = std::max(obstacle, Obstacle::kKept);
    } else if (best == nullptr || worker.busy * static_cast<int>(best->slots.size()) <
                                      best->busy * static_cast<int>(worker.slots.size())) {
      best = &worker;
    }
  }
  if (best == nullptr) return {nullptr, obstacle};
  return {const_cast<Worker*>(best), Obstacle::kNone};
}

std::optional<std::pair<Worker*, int>> ResourceManager::find_queue(
    const JobRun& job, std::uint32_t stage, std::uint64_t grant, std::size_t longest,
    std::optional<WorkerId> kept) const {
  std::optional<std::pair<Worker*, int>> best;
  std::size_t length = longest;
  for (const auto& [worker, number] : job.slots) {
    const Slot& slot = worker->slots[static_cast<std::size_t>(number)];
    if (slot.queue.size() >= length || slot.stage != stage || slot.grant != grant) continue;
    if (!worker->takes_tasks() || kept == worker->id) continue;
    length = slot.queue.size();
    best = {worker, number};
    if (length == 1) break;
  }
  return best;
}

std::optional<WorkerId> ResourceManager::worker_to_keep(const JobRun& job,
                                                        std::uint64_t grant) const {
  const auto good = [&](const Worker& w) {
    return w.takes_tasks() && w.memory_limit >= grant && may_use(job, w);
  };
  if (job.kept_worker) {
    const auto it = workers_.find(job.kept_worker->n);
    if (it != workers_.end() && good(it->second)) return job.kept_worker;
  }
  const Worker* best = nullptr;
  for (const auto& [n, worker] : workers_)
    if (good(worker) && (best == nullptr || worker.free_memory() > best->free_memory()))
      best = &worker;
  return best == nullptr ? std::nullopt : std::optional(best->id);
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
