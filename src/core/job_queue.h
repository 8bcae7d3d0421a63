// The order of jobs: by priority, then by submission. Two lists in that order: pending jobs (what
// people see as the queue; ranks in O(log n)) and runnable ones (those with tasks that could be
// placed now, pending or running). Part of the machine; holds no job, only keys and pointers.
#pragma once

#include <compare>
#include <cstdint>
#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>
#include <functional>
#include <map>

#include "core/job_run.h"

namespace polysome::core {

struct QueueKey {
  int level = 0;  // 0 is CRITICAL
  std::uint64_t sequence = 0;
  JobId id;
  auto operator<=>(const QueueKey&) const = default;
};
QueueKey key_of(const JobRun& job);

class JobQueue {
 public:
  using Runnable = std::map<QueueKey, JobRun*>;

  void set_pending(JobRun& job, bool pending);
  void set_runnable(JobRun& job, bool runnable);

  std::size_t pending() const { return pending_.size(); }
  // 1-based; 0 when the job is not pending.
  int position(const JobRun& job) const;
  // Pending jobs of a higher priority.
  std::size_t pending_above(const JobRun& job) const;
  const Runnable& runnable() const { return runnable_; }
  // Calls `visit` for pending jobs in order until it answers false.
  void each_pending(const std::function<bool(JobRun&)>& visit) const;

 private:
  using Pending = __gnu_pbds::tree<QueueKey, JobRun*, std::less<QueueKey>, __gnu_pbds::rb_tree_tag,
                                   __gnu_pbds::tree_order_statistics_node_update>;
  Pending pending_;
  Runnable runnable_;
};

}  // namespace polysome::core
