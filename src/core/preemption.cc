#include "core/preemption.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "core/task_flow.h"

namespace polysome::core {

bool may_preempt(const Machine& m, const JobRun& job) {
  return m.queue.base_level(job) == kHighestLevel;
}

void preempt_for(Machine& m, const JobRun& job) {
  if (m.resources.queued_behind() == 0) return;
  struct Victim {
    int level;
    Slot* slot;
  };
  std::vector<Victim> victims;
  for (auto& [n, worker] : m.resources.workers()) {
    if (!worker.takes_tasks()) continue;
    for (auto& slot : worker.slots) {
      if (slot.queue.size() < 2 || slot.job->ending) continue;
      const int level = m.queue.level(*slot.job);
      if (level < kHighestLevel) victims.push_back({level, &slot});
    }
  }
  // The lowest first; of equals those that have most behind them.
  std::ranges::stable_sort(victims, [](const Victim& a, const Victim& b) {
    return std::tuple(a.level, b.slot->queue.size()) < std::tuple(b.level, a.slot->queue.size());
  });
  std::uint64_t wanted = job.ready;
  if (job.spec.limits.max_cores) {
    const auto most = static_cast<std::uint64_t>(std::max(*job.spec.limits.max_cores, 1));
    wanted = std::min(wanted, most - std::min<std::uint64_t>(most, job.slots.size()));
  }
  for (const auto& victim : victims) {
    if (wanted-- == 0) return;
    for (std::size_t i = 1; i < victim.slot->queue.size(); ++i)
      take_back(m, m.attempts.at(victim.slot->queue[i]));
  }
}

}  // namespace polysome::core
