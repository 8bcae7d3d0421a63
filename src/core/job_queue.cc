#include "core/job_queue.h"

namespace polysome::core {

QueueKey key_of(const JobRun& job) {
  return {static_cast<int>(Priority::kCritical) - static_cast<int>(job.spec.priority),
          job.spec.sequence, job.spec.id};
}

void JobQueue::set_pending(JobRun& job, bool pending) {
  if (pending)
    pending_.insert({key_of(job), &job});
  else
    pending_.erase(key_of(job));
}

void JobQueue::set_runnable(JobRun& job, bool runnable) {
  if (job.in_runnable == runnable) return;
  job.in_runnable = runnable;
  if (runnable)
    runnable_.emplace(key_of(job), &job);
  else
    runnable_.erase(key_of(job));
}

int JobQueue::position(const JobRun& job) const {
  const QueueKey key = key_of(job);
  if (pending_.find(key) == pending_.end()) return 0;
  return static_cast<int>(pending_.order_of_key(key)) + 1;
}

std::size_t JobQueue::pending_above(const JobRun& job) const {
  return pending_.order_of_key(QueueKey{key_of(job).level, 0, JobId{}});
}

void JobQueue::each_pending(const std::function<bool(JobRun&)>& visit) const {
  for (const auto& [key, job] : pending_)
    if (!visit(*job)) return;
}

}  // namespace polysome::core
