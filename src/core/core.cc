#include "core/core.h"

#include <algorithm>
#include <utility>

#include "core/autoscaler.h"
#include "core/cluster_flow.h"
#include "core/explain.h"
#include "core/invariants.h"
#include "core/job_flow.h"
#include "core/job_scheduler.h"
#include "core/machine.h"
#include "core/stragglers.h"
#include "core/task_flow.h"
#include "core/views.h"
#include "core/worker_health.h"

namespace polysome::core {
namespace {

void apply(Machine& m, const JobSubmitted& e) { submit_job(m, e); }
void apply(Machine& m, const JobRestored& e) { restore_job(m, e); }
void apply(Machine& m, const CancelRequested& e) { cancel_job(m, e); }
void apply(Machine& m, const JobPatched& e) { patch_job(m, e); }
void apply(Machine& m, const QueuePaused& e) {
  m.paused = e.reason;
  m.queue.set_paused(true);
}
void apply(Machine& m, const QueueResumed&) {
  m.paused.reset();
  m.queue.set_paused(false);
}
void apply(Machine& m, const LimitsChanged& e) {
  m.limits = e.limits;
  m.queue.set_limits(e.limits);
}
void apply(Machine& m, const UsageKnown& e) {
  for (const auto& [user, usage] : e.by_user) m.queue.set_usage(user, usage);
}
void apply(Machine& m, const DependencyKnown& e) { dependency_known(m, e.job, e.status); }
void apply(Machine& m, const ClusterStarted& e) { start_cluster(m, e); }
void apply(Machine& m, const ClusterStopped& e) { stop_cluster(m, e); }
void apply(Machine& m, const ClusterScaled& e) { scale_cluster(m, e); }
void apply(Machine& m, const AutoscaleChanged& e) { change_policy(m, e.policy); }
void apply(Machine& m, const WorkerDrainRequested& e) { drain_worker(m, e); }
void apply(Machine& m, const WorkerExcludeRequested& e) { exclude_worker(m, e); }
void apply(Machine& m, const WorkerReadmitRequested& e) { readmit_worker(m, e.worker); }
void apply(Machine& m, const WorkerReady& e) { worker_ready(m, e); }
void apply(Machine& m, const WorkerLost& e) { worker_lost(m, e); }
void apply(Machine& m, const SlotLost& e) { slot_lost(m, e); }
void apply(Machine& m, const WorkerHeard& e) { worker_heard(m, e); }
void apply(Machine& m, const TaskStarted& e) { task_started(m, e); }
void apply(Machine& m, const TaskProgressed& e) { task_progressed(m, e); }
void apply(Machine& m, const TaskFinished& e) { task_finished(m, e); }
void apply(Machine& m, const TaskFailed& e) { task_failed(m, e); }
void apply(Machine& m, const OutputLost& e) { output_lost(m, e); }
void apply(Machine&, const Tick&) {}

// True: there was one.
bool handle_due_timers(Machine& m) {
  bool any = false;
  while (const auto timer = m.timers.take_due(m.now)) {
    any = true;
    switch (timer->kind) {
      case TimerKind::kBackoff: backoff_over(m, *timer); break;
      case TimerKind::kJobTimeout: timeout_due(m, timer->task.job); break;
      case TimerKind::kReplace: m.resize = true; break;
      case TimerKind::kRebalance: rebalance(m); break;
      case TimerKind::kReadmit: readmit_due(m); break;
      case TimerKind::kAvoided: break;  // placement looks at the time
      case TimerKind::kWatch: watch_tasks(m); break;
      case TimerKind::kAutoscale: m.scaling.armed = false; break;  // it looks in each step
    }
  }
  return any;
}

// Events after which nothing can be placed that could not before, but for a job just submitted.
bool changes_nothing_for_others(const Event& event) {
  return std::holds_alternative<JobSubmitted>(event) ||
         std::holds_alternative<WorkerHeard>(event) || std::holds_alternative<TaskStarted>(event) ||
         std::holds_alternative<TaskProgressed>(event);
}

// While there are workers a step is due at least each quarter of a lease (next_lease_check): a much
// longer gap is a pause of the service. Nobody is blamed for it, nor charged, and nobody ages.
// True: time changed the queue.
bool pass_time(Machine& m, MonoTime now) {
  const MonoTime passed = m.begun ? std::max<MonoTime>(now - m.now, 0) : 0;
  const bool paused = passed > m.config.lease_ms / 3;
  m.now = m.begun ? m.now + passed : now;
  m.begun = true;
  if (paused) forgive_pause(m, passed);
  if (!paused || m.resources.workers().empty()) {
    m.awake += passed;
    if (m.serving) m.served += passed;
  }
  return m.queue.set_time(m.awake, m.served);
}

}  // namespace

Core::Core(Config config, std::uint64_t seed) : state_(std::make_unique<State>(config, seed)) {}
Core::~Core() = default;
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;

std::vector<Command> Core::step(const Event& event, MonoTime now) {
  Machine& m = *state_;
  bool all = pass_time(m, now);
  std::visit([&m](const auto& e) { apply(m, e); }, event);
  all = handle_due_timers(m) || all;
  check_leases(m);
  settle_jobs(m);
  judge_workers(m);
  scale_by_load(m);
  all = all || m.resize || !changes_nothing_for_others(event);
  resize_cluster(m);
  if (all)
    place_tasks(m);
  else if (const auto* submitted = std::get_if<JobSubmitted>(&event))
    place_job(m, submitted->id);
  m.serving = !m.paused && m.resources.any_takes_tasks();
  arm_watch(m);
  tell_changes(m);
  return std::exchange(m.out, {});
}

std::optional<MonoTime> Core::next_deadline() const {
  const auto timer = state_->timers.next();
  const auto lease = next_lease_check(*state_);
  if (!timer || !lease) return timer ? timer : lease;
  return std::min(*timer, *lease);
}

std::optional<JobView> Core::job(JobId id, MonoTime now) const {
  const JobRun* job = state_->job(id);
  if (job == nullptr) return std::nullopt;
  return view_job(*state_, *job, now);
}

std::vector<TaskView> Core::tasks(JobId id, std::uint32_t offset, std::uint32_t limit,
                                  std::uint64_t* total) const {
  if (total != nullptr) *total = 0;
  const JobRun* job = state_->job(id);
  if (job == nullptr) return {};
  return view_tasks(*state_, *job, offset, limit, total);
}

ClusterView Core::cluster() const { return view_cluster(*state_); }

std::vector<QueuedJob> Core::queue(MonoTime, std::size_t limit) const {
  std::vector<QueuedJob> list;
  if (limit == 0) return list;
  state_->queue.each_pending([&](const JobRun& job) {
    list.push_back({job.id(), job.spec.priority, job.spec.user, static_cast<int>(list.size()) + 1,
                    explain(*state_, job)});
    return list.size() < limit;
  });
  return list;
}

int Core::queue_position(JobId id) const {
  const JobRun* job = state_->job(id);
  return job == nullptr ? 0 : state_->queue.position(*job);
}

std::size_t Core::pending_jobs() const { return state_->queue.pending(); }
std::size_t Core::running_jobs() const { return state_->running_jobs; }

std::vector<JobId> Core::active_jobs() const {
  std::vector<JobId> ids;
  ids.reserve(state_->jobs.size());
  for (const auto& [id, job] : state_->jobs) ids.push_back(id);
  std::ranges::sort(ids);
  return ids;
}

const std::optional<std::string>& Core::paused() const { return state_->paused; }
const QueueLimits& Core::limits() const { return state_->limits; }
const AutoscalePolicy& Core::autoscale() const { return state_->autoscale; }
std::vector<UserView> Core::users(MonoTime) const { return view_users(*state_); }
std::vector<std::pair<std::string, double>> Core::fair_usage(MonoTime) const {
  std::vector<std::pair<std::string, double>> usage;
  for (const auto& [name, user] : state_->queue.users())
    usage.emplace_back(name, state_->queue.fair().usage(user.account));
  return usage;
}
FaultCounts Core::faults() const { return state_->faults; }

std::vector<std::string> Core::broken_invariants() const {
  return core::broken_invariants(*state_);
}

}  // namespace polysome::core
