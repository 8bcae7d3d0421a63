#include "core/job_flow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/stage_flow.h"
#include "core/views.h"

namespace polysome::core {
namespace {

void set_status(Machine& m, JobRun& job, JobStatus status) {
  if (job.status == status) return;
  assert(may_change(job.status, status));
  m.queue.set_runnable(job, false);  // pending and running jobs are in different lists
  if (job.status == JobStatus::kPending) m.queue.set_pending(job, false);
  if (job.status == JobStatus::kRunning) {
    --m.running_jobs;
    m.queue.set_running(job, false);
  }
  job.status = status;
  if (status == JobStatus::kRunning) {
    ++m.running_jobs;
    m.queue.set_running(job, true);
  }
  if (status == JobStatus::kPending) {
    job.waits_since = m.now;
    m.queue.set_pending(job, true);
  }
  place_in_queue(m, job);
}

// nullptr when the id is known already: a repeated event changes nothing.
JobRun* add_job(Machine& m, const JobSubmitted& event, double progress) {
  if (m.jobs.contains(event.id) || m.ended.find(event.id)) return nullptr;
  auto& job = *(m.jobs[event.id] = std::make_unique<JobRun>());
  job.spec = event;
  m.queue.adopt(job);
  job.waits_since = m.now;
  job.progress = ProgressMonitor(progress);
  m.queue.set_pending(job, true);
  m.touch(job);
  return &job;
}

void end_as_cancelled(Machine& m, JobRun& job, Error error) {
  Ending ending;
  ending.status = JobStatus::kCancelled;
  ending.error = std::move(error);
  begin_ending(m, job, std::move(ending));
}

void dependency_failed(Machine& m, JobRun& job, JobId dependency, JobStatus status) {
  end_as_cancelled(m, job,
                   Error(Code::kDependencyFailed,
                         fmt::format("job {}, which this one depends on, {}", dependency.text(),
                                     status == JobStatus::kFailed ? "failed" : "was cancelled"),
                         "Submit both again when the cause is mended."));
}

void wait_for_dependencies(Machine& m, JobRun& job) {
  for (const auto& dependency : job.spec.depends_on) {
    const auto status = m.ended.find(dependency);
    if (status == JobStatus::kCompleted) continue;
    if (status) {
      dependency_failed(m, job, dependency, *status);
      return;
    }
    if (job.unmet.insert(dependency).second) m.dependents[dependency].push_back(job.id());
  }
}

void end_job(Machine& m, JobRun& job) {
  const JobId id = job.id();
  Ending ending = *std::move(job.ending);
  if (ending.status == JobStatus::kCompleted) m.typical.add_job(job.held_ms);
  set_status(m, job, ending.status);
  if (m.reservation && m.reservation->job == &job) m.reservation.reset();
  for (auto& stage : job.stages) m.ready_tasks -= stage.ready_counted;
  for (const auto& dependency : job.unmet) {
    const auto waiting = m.dependents.find(dependency);
    if (waiting == m.dependents.end()) continue;
    std::erase(waiting->second, id);
    if (waiting->second.empty()) m.dependents.erase(waiting);
  }
  m.out.push_back(JobEnded{id, ending.status, std::move(ending.error), ending.fault_class,
                           std::move(ending.task), std::move(ending.result),
                           std::move(job.warnings), view_job(m, job, m.now)});
  m.jobs.erase(id);
  dependency_known(m, id, ending.status);
}

}  // namespace

Phase phase_of(const JobRun& job) {
  if (is_final(job.status)) return Phase::kDone;
  if (job.ending && job.ending->status == JobStatus::kCancelled) return Phase::kCancelling;
  if (job.status == JobStatus::kPending) return job.spec.held ? Phase::kHeld : Phase::kWaiting;
  if (job.active == 0 && job.ready == 0 && job.backing_off > 0) return Phase::kRetrying;
  return job.stages.size() == 1 ? Phase::kPlanning : Phase::kRunning;
}

void submit_job(Machine& m, const JobSubmitted& event) {
  JobRun* job = add_job(m, event, 0);
  if (job == nullptr) return;
  job->shown = {JobStatus::kPending, phase_of(*job), 1};
  wait_for_dependencies(m, *job);
  if (const auto added = append_stages(m, *job, {root_stage()}); !added)
    fail_job(m, *job, added.error(), FaultClass::kInternal, "");
}

void restore_job(Machine& m, const JobRestored& event) {
  JobRun* job = add_job(m, event.job, event.progress);
  if (job == nullptr) return;
  job->warnings = event.warnings;
  std::vector<Stage> stages;
  stages.reserve(event.stages.size() + 1);
  for (const auto& s : event.stages) stages.push_back(s.stage);
  if (stages.empty()) stages.push_back(root_stage());
  // A job that had got anywhere had its dependencies met.
  const bool begun =
      std::ranges::any_of(event.stages, [](const auto& s) { return !s.finished.empty(); });
  if (!begun) wait_for_dependencies(m, *job);
  if (const auto added = append_stages(m, *job, stages); !added) {
    fail_job(m, *job, added.error(), FaultClass::kInternal, "");
    return;
  }
  for (std::uint32_t i = 0; i < event.stages.size(); ++i) {
    const bool later_began = std::ranges::any_of(
        job->stages[i].dependents, [&](auto d) { return !event.stages[d].finished.empty(); });
    restore_stage(m, *job, i, event.stages[i], later_began);
  }
  if (event.result) {
    set_status(m, *job, JobStatus::kRunning);
    Ending ending;
    ending.result = *event.result;
    begin_ending(m, *job, std::move(ending));
  } else if (event.cancelling) {
    end_as_cancelled(m, *job, Error(Code::kCancelled, "the job was cancelled"));
  } else if (job->incomplete == 0) {
    fail_job(m, *job, Error(Code::kInternal, "the plan came to its end without a final stage"),
             FaultClass::kInternal, "");
  }
}

void cancel_job(Machine& m, const CancelRequested& event) {
  JobRun* job = m.job(event.job);
  if (job == nullptr) return;
  end_as_cancelled(
      m, *job,
      Error(Code::kCancelled, event.reason.empty() ? "the job was cancelled"
                                                   : "the job was cancelled: " + event.reason));
}

void patch_job(Machine& m, const JobPatched& event) {
  JobRun* job = m.job(event.job);
  if (job == nullptr || job->ending) return;
  // The key of both lists holds the priority: out, changed, in again.
  m.queue.set_runnable(*job, false);
  if (job->status == JobStatus::kPending) m.queue.set_pending(*job, false);
  if (event.priority) job->spec.priority = *event.priority;
  if (event.held) job->spec.held = *event.held;
  if (job->status == JobStatus::kPending) m.queue.set_pending(*job, true);
  place_in_queue(m, *job);
  m.touch(*job);
}

void dependency_known(Machine& m, JobId dependency, JobStatus status) {
  if (!is_final(status)) return;
  m.ended.add(dependency, status);
  const auto waiting = m.dependents.find(dependency);
  if (waiting == m.dependents.end()) return;
  const std::vector<JobId> ids = std::move(waiting->second);
  m.dependents.erase(waiting);
  for (const auto& id : ids) {
    JobRun* job = m.job(id);
    if (job == nullptr || job->unmet.erase(dependency) == 0) continue;
    m.touch(*job);
    if (status == JobStatus::kCompleted)
      place_in_queue(m, *job);
    else
      dependency_failed(m, *job, dependency, status);
  }
}

void begin_ending(Machine& m, JobRun& job, Ending ending) {
  m.touch(job);
  if (job.ending) return;
  job.ending = std::make_unique<Ending>(std::move(ending));
  place_in_queue(m, job);
  for (const auto& [worker, number] : job.slots)
    for (const auto n : worker->slots[static_cast<std::size_t>(number)].queue)
      if (!m.attempts.at(n).superseded)  // else it was told already
        m.out.push_back(CancelTask{worker->id, number, m.attempt_id(n)});
}

void fail_job(Machine& m, JobRun& job, Error error, FaultClass fault_class, std::string task) {
  std::uint64_t done = 0, total = 0;
  for (const auto& stage : job.stages) {
    if (stage.kind == StageKind::kPlanner) continue;
    done += stage.progress.done;
    total += stage.tasks();
  }
  if (done > 0)
    error.message += fmt::format(" ({} of {} tasks were done and are kept)", done, total);
  Ending ending;
  ending.status = JobStatus::kFailed;
  ending.error = std::move(error);
  ending.fault_class = fault_class;
  ending.task = std::move(task);
  begin_ending(m, job, std::move(ending));
}

void attempts_began(Machine& m, JobRun& job) {
  set_status(m, job, JobStatus::kRunning);
  if (!job.started) {
    job.started = m.now;
    m.starts.note(m.now, m.queue.pending() > 0);
  }
  job.running_since = m.now;
  const auto& timeout = job.spec.limits.timeout_ms;
  if (!timeout) return;
  const MonoTime due = m.now + std::max<std::int64_t>(*timeout - job.running_ms, 0);
  if (job.timeout_armed && *job.timeout_armed <= due) return;
  job.timeout_armed = due;
  m.timers.arm(due, TimerKind::kJobTimeout, {job.id(), 0, 0});
}

void attempts_ended(Machine& m, JobRun& job) {
  job.running_ms += m.now - job.running_since;
  job.waits_since = m.now;
}

void timeout_due(Machine& m, JobId id) {
  JobRun* job = m.job(id);
  if (job == nullptr || !job->timeout_armed || *job->timeout_armed > m.now) return;
  job->timeout_armed.reset();
  if (job->active == 0) return;  // armed again when its next attempt begins
  const std::int64_t timeout = *job->spec.limits.timeout_ms;
  const std::int64_t ran = job->running_ms + (m.now - job->running_since);
  if (ran < timeout) {
    job->timeout_armed = m.now + timeout - ran;
    m.timers.arm(*job->timeout_armed, TimerKind::kJobTimeout, {id, 0, 0});
    return;
  }
  fail_job(m, *job,
           Error(Code::kTimeout,
                 fmt::format("the job ran {:.1f} s; timeout_seconds allows {:.1f}",
                             static_cast<double>(ran) / 1000, static_cast<double>(timeout) / 1000),
                 "Retry it with a larger timeout_seconds; finished tasks are not run again."),
           FaultClass::kTimeout, "");
}

void settle_jobs(Machine& m) {
  // Ending a job may touch others (its dependents), also ones looked at before it.
  for (bool ended = true; ended;) {
    ended = false;
    for (std::size_t i = 0; i < m.touched.size(); ++i) {
      JobRun* job = m.job(m.touched[i]);
      if (job == nullptr || job->active > 0) continue;
      if (job->ending) {
        end_job(m, *job);
        ended = true;
      } else if (job->status == JobStatus::kRunning && !m.cluster.wanted) {
        set_status(m, *job, JobStatus::kPending);
      }
    }
  }
}

void tell_changes(Machine& m) {
  for (const auto& id : m.touched) {
    JobRun* job = m.job(id);
    if (job == nullptr) continue;
    job->touched = false;
    const Shown shown{job->status, phase_of(*job), job->stages.size()};
    if (shown != job->shown)
      m.out.push_back(JobChanged{id});
    else if (job->progressed)
      m.out.push_back(JobProgressed{id});
    job->shown = shown;
    job->progressed = false;
  }
  m.touched.clear();
}

}  // namespace polysome::core
