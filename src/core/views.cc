#include "core/views.h"

#include <algorithm>

#include "core/cluster_flow.h"
#include "core/eta.h"
#include "core/explain.h"
#include "core/stragglers.h"

namespace polysome::core {
namespace {

std::string worker_status(const Worker& worker) {
  switch (worker.state) {
    case WorkerState::kStarting: return "starting";
    case WorkerState::kReady:
      if (worker.aside == Aside::kExcluded) return "excluded";
      if (worker.aside == Aside::kProbed) return "probed";
      if (worker.aside == Aside::kDrained) return worker.busy > 0 ? "draining" : "drained";
      return worker.busy > 0 ? "busy" : "idle";
    case WorkerState::kDraining: return "draining";
    case WorkerState::kStopping: return "stopping";
  }
  return "stopping";
}

WorkerView view_worker(const Machine& m, const Worker& w) {
  WorkerView view;
  view.id = w.id;
  view.status = worker_status(w);
  view.reason = w.aside_reason;
  view.excluded_until = w.aside_until;
  view.pid = w.pid;
  view.threads = static_cast<int>(w.slots.size());
  view.memory_limit = w.memory_limit;
  view.memory_used = w.memory_used;
  view.cpu_percent = w.cpu_percent;
  view.running_tasks = w.busy;
  view.completed_tasks = w.completed;
  view.failures = w.failures;
  view.faults = w.health.faults();
  view.score = w.health.score_at(m.now);
  view.started = w.started;
  return view;
}

TaskView view_task(const Machine& m, const StageRun& stage, std::uint32_t index) {
  TaskView view;
  view.stage = stage.name;
  view.index = index;
  const auto trouble = stage.trouble.find(index);
  if (trouble != stage.trouble.end())
    view.attempt = trouble->second.counted + trouble->second.out_of_memory;
  if (const auto active = stage.active.find(index); active != stage.active.end()) {
    const Attempt& attempt = m.attempts.at(active->second);
    view.state = attempt.running ? TaskState::kRunning : TaskState::kAssigned;
    view.attempt = attempt.number;
    view.worker = attempt.worker->id.text();
    view.bytes_done = attempt.bytes;
  } else if (stage.is_finished(index)) {
    view.state = TaskState::kFinished;
  } else if (trouble != stage.trouble.end() && trouble->second.backing_off) {
    view.state = TaskState::kBackoff;
  } else {
    view.state = stage.blockers > 0 ? TaskState::kWaiting : TaskState::kReady;
  }
  return view;
}

}  // namespace

JobView view_job(const Machine& m, const JobRun& job, MonoTime now) {
  JobView view;
  view.status = job.status;
  view.phase = phase_of(job);
  view.progress = job.status == JobStatus::kCompleted ? 100 : job.progress.percent();
  if (const auto eta = eta_of(m, job, now)) {
    view.eta_seconds = eta->p50_seconds;
    view.eta_p90_seconds = eta->p90_seconds;
  }
  const StageRun* current = nullptr;
  for (const auto& stage : job.stages) {
    const StageProgress& p = stage.progress;
    view.stages.push_back({stage.name, p.tasks, p.done, p.bytes, p.bytes_done()});
    view.stages.back().peak_memory_bytes = stage.peak_memory;
    view.tasks_done += p.done;
    view.tasks_total += p.tasks;
    view.bytes_done += p.bytes_done();
    view.bytes_total += p.bytes;
    if (stage.complete) continue;
    if (current == nullptr || (current->active.empty() && !stage.active.empty())) current = &stage;
  }
  if (current != nullptr) view.current_stage = current->name;
  for (const auto& [record, at] : job.failures) {
    view.attempts.push_back(record);
    view.attempt_times.push_back(at);
  }
  view.peak_memory_bytes = job.peak_memory;
  view.bytes_read = job.bytes_read;
  view.cpu_seconds = job.cpu_seconds;
  view.stall = stall_of(m, job, now);
  if (!is_final(job.status) && job.active == 0 && !job.ending) view.waiting = explain(m, job);
  view.started = job.started;
  view.reused_tasks = job.reused_tasks;
  return view;
}

std::vector<TaskView> view_tasks(const Machine& m, const JobRun& job, std::uint64_t offset,
                                 std::uint32_t limit, std::uint64_t* total) {
  std::vector<TaskView> views;
  std::uint64_t first = 0;  // of the stage, counted over the job
  for (const auto& stage : job.stages) {
    const std::uint64_t from = std::max(offset, first) - first;
    for (std::uint64_t i = from; i < stage.tasks() && views.size() < limit; ++i)
      views.push_back(view_task(m, stage, static_cast<std::uint32_t>(i)));
    first += stage.tasks();
  }
  if (total != nullptr) *total = first;
  return views;
}

std::vector<UserView> view_users(const Machine& m) {
  std::vector<UserView> list;
  for (const auto& [name, user] : m.queue.users()) {
    const Account& account = user.account;
    UserView& view = list.emplace_back();
    view.user = name;
    view.weight = account.weight;
    view.share = m.queue.fair().share(account);
    view.recent_usage = m.queue.fair().usage(account) / 1000;
    view.pending_jobs = static_cast<int>(account.pending_jobs);
    view.running_jobs = static_cast<int>(account.running_jobs);
    view.cores = account.cores;
    view.memory = account.memory;
  }
  return list;
}

ClusterView view_cluster(const Machine& m) {
  ClusterView view;
  view.status = cluster_status(m);
  view.spec = m.cluster.spec;
  for (const auto& [n, worker] : m.resources.workers()) {
    view.workers.push_back(view_worker(m, worker));
    if (worker.state == WorkerState::kStopping || worker.state == WorkerState::kStarting) continue;
    view.total_cores += static_cast<int>(worker.slots.size());
    view.used_cores += worker.busy;
    view.total_memory += worker.memory_limit;
    view.used_memory += worker.granted;
  }
  view.active_tasks = m.attempts.size() - m.resources.queued_behind();
  view.queued_tasks = m.ready_tasks + m.resources.queued_behind();
  return view;
}

}  // namespace polysome::core
