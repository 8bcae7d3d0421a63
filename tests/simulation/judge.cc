#include "judge.h"

#include <algorithm>

#include "core/core_story.h"

namespace polysome::simulation {
namespace {

using core::story::job_name;

std::string text(const TaskRef& task) {
  return fmt::format("{}/{}/{}", job_name(task.job), task.stage, task.index);
}

// The closed list of contract.md.
const std::set<std::string> kReasons{"cluster_stopped",
                                     "cluster_starting",
                                     "no_workers",
                                     "cores",
                                     "memory",
                                     "priority",
                                     "fair_share",
                                     "user_limit",
                                     "dependency",
                                     "held",
                                     "queue_paused",
                                     "backoff",
                                     "disk_full",
                                     "input_unavailable",
                                     "reserved_for_larger_job"};

// No job is old enough to be raised a level before this.
constexpr MonoTime kYoungMs = 120'000;

bool has_limits(const JobLimits& l) {
  return l.max_cores || l.max_memory || l.n_workers || l.memory_per_worker;
}

}  // namespace

void Judge::service_began(std::uint32_t epoch) {
  epoch_ = epoch;
  last_attempt_ = 0;
  last_worker_ = 0;
  started_.clear();
  aside_.clear();
}

void Judge::judge(const core::Event& event, const std::vector<core::Command>& commands,
                  const core::Core& core, MonoTime now) {
  store_.take(event, now);
  excluding_ = std::get_if<core::WorkerExcludeRequested>(&event);
  heard(event);
  began_.clear();
  for (const auto& command : commands)
    std::visit(
        [&](const auto& c) {
          using T = std::decay_t<decltype(c)>;
          if constexpr (std::is_same_v<T, core::JobChanged> ||
                        std::is_same_v<T, core::JobProgressed>)
            judge_job(c.job, core, now);
          else
            said(c);
        },
        command);
  if (!began_.empty()) judge_order(core, now);
  judge_gangs(commands);
  if (const auto* e = std::get_if<core::CancelRequested>(&event)) judge_cancelled(e->job);
  if (const auto* e = std::get_if<core::WorkerDrainRequested>(&event))
    if (aside_.contains(e->worker.n)) judge_drained(e->worker);
}

void Judge::heard(const core::Event& event) {
  AttemptId ended;
  if (const auto* e = std::get_if<core::TaskFinished>(&event)) {
    ended = e->result.attempt;
    const auto it = started_.find(ended);
    if (it != started_.end()) it->second.finished = true;
  }
  if (const auto* e = std::get_if<core::TaskFailed>(&event)) ended = e->failure.attempt;
  if (const auto* e = std::get_if<core::OutputLost>(&event)) ended = e->reader;
  if (const auto it = started_.find(ended); it != started_.end()) it->second.over = true;
  if (const auto* e = std::get_if<core::SlotLost>(&event))
    are_over([e](const Started& s) { return s.worker == e->worker && s.slot == e->slot; });
  if (const auto* e = std::get_if<core::WorkerLost>(&event))
    are_over([e](const Started& s) { return s.worker == e->worker; });
}

void Judge::said(const core::StartWorker& c) {
  expect(c.worker.n == ++last_worker_, "the numbers of workers have a gap");
  expect(c.slots >= 1 && c.memory_limit > 0, "{} is started with nothing", c.worker.text());
}

void Judge::said(const core::StartTask& c) {
  expect(c.attempt.epoch == epoch_ && c.attempt.n == ++last_attempt_,
         "the numbers of attempts have a gap");
  started_[c.attempt] = {
      .task = c.task, .worker = c.worker, .slot = c.slot, .inside = c.start_inside_quotes};
  const auto it = store_.jobs.find(c.task.job);
  if (it == store_.jobs.end()) return expect(false, "a task of a job that nobody submitted");
  const Kept& kept = it->second;
  const std::string name = text(c.task);
  expect(kept.ends == 0, "{} of a job that ended is started", name);
  expect(!kept.finished[c.task.stage].contains(c.task.index), "{} was finished already", name);
  expect(!kept.spec.held, "{} is started though its job is held", name);
  expect(!store_.paused || kept.shown == JobStatus::kRunning,
         "{} is started though the queue is paused", name);
  expect(!aside_.contains(c.worker.n), "{} is given to a worker that was set aside", name);
  expect(c.attempt_number <= kept.limits().max_attempts + 3, "{} is tried too often", name);
  for (const auto& before : kept.stages[c.task.stage].after)
    for (std::size_t i = 0; i < kept.stages.size(); ++i)
      expect(kept.stages[i].name != before || kept.finished[i].size() == kept.stages[i].tasks,
             "{} starts before {} is complete", name, before);
  for (const auto& d : kept.spec.depends_on)
    expect(store_.jobs.at(d).status == JobStatus::kCompleted, "{} did not wait for a job", name);
}

void Judge::said(const core::StopWorker& c) {
  if (c.force) are_over([&c](const Started& s) { return s.worker == c.worker; });
}

void Judge::said(const core::CancelTask& c) {
  const auto it = started_.find(c.attempt);
  if (it == started_.end()) return expect(false, "an attempt is cancelled that was never started");
  it->second.cancelled = true;
}

void Judge::said(const core::RecordTask& c) {
  const auto it = started_.find(c.attempt);
  if (it == started_.end()) return expect(false, "{} is recorded, but never started", text(c.task));
  expect(it->second.task == c.task, "{} is recorded by another task's attempt", text(c.task));
  expect(it->second.finished, "{} is recorded, but nobody finished it", text(c.task));
  expect(store_.jobs.at(c.task.job).ends == 0, "{} is recorded after its job's end", text(c.task));
  expect(store_.record(c, it->second.inside), "{} is recorded twice", text(c.task));
}

void Judge::said(const core::ForgetTask& c) { store_.forget(c); }

void Judge::said(const core::JobEnded& c) {
  const Kept& kept = store_.jobs.at(c.job);
  const std::string name = "job " + job_name(c.job);
  expect(kept.ends == 0, "{} ends twice", name);
  expect(is_final(c.status) && c.last.status == c.status, "{} ends as something else", name);
  if (c.status == JobStatus::kCancelled)
    expect(kept.cancelled || c.error->code != Code::kCancelled, "{} is cancelled unasked", name);
  if (c.status != JobStatus::kCompleted)
    expect(c.error && !c.error->message.empty(), "{} does not say why it failed", name);
  if (c.error) expect(c.error->message != "disputed", "{} fails by a disputed error", name);
  expect(c.last.progress >= kept.progress, "{} ends with less progress than before", name);
  if (c.status == JobStatus::kCompleted) {
    expect(c.result["job"] == job_name(c.job), "{} has another's result", name);
    for (std::size_t i = 0; i < kept.stages.size(); ++i) {
      expect(kept.finished[i].size() == kept.stages[i].tasks, "{} completes undone", name);
      if (!kept.stages[i].borders) continue;
      for (const auto& [index, inside] : kept.finished[i])
        expect(inside == truly_inside(kept, index), "{} completes on a wrong start", name);
    }
  }
  ++met_[fmt::format("a job {}", polysome::name(c.status))];
  store_.end(c.job, c.status);
}

void Judge::said(const core::Announce& c) {
  if (!c.data.contains("worker")) return;
  const auto id = WorkerId::parse(c.data["worker"].get<std::string>());
  if (!id) return expect(false, "{} names no worker", c.type);
  // What the core excludes by itself it may try with a probe.
  if (c.type == "worker.drained" || (c.type == "worker.excluded" && excluding_ != nullptr))
    aside_.insert(id->n);
  if (c.type == "worker.readmitted" || c.type == "worker.lost" || c.type == "worker.stopped")
    aside_.erase(id->n);
}

void Judge::said(const core::ScalingDecided& c) {
  expect(!c.reason.empty(), "the autoscaler gives no reason");
  const AutoscalePolicy& policy = store_.autoscale;
  expect(policy.enabled, "the autoscaler scales though it is off");
  const bool outside = c.to < policy.min_workers || c.to > policy.max_workers;
  expect(!outside || c.from == c.to, "the autoscaler leaves its limits");
  ++met_["ScalingDecided"];
}

void Judge::judge_job(JobId id, const core::Core& core, MonoTime now) {
  Kept& kept = store_.jobs.at(id);
  const auto view = core.job(id, now);
  // It may have ended by a later command of the same step.
  if (!view) return expect(kept.ends == 0, "something is told of a job after its end");
  const std::string name = "job " + job_name(id);
  expect(kept.ends == 0, "{} lives after its end", name);
  expect(view->progress >= kept.progress, "{} shows less progress than before", name);
  expect(view->progress < 100, "{} shows 100 before its end", name);
  kept.progress = view->progress;
  expect(view->status == kept.shown || may_change(kept.shown, view->status),
         "{} goes from {} to {}", name, polysome::name(kept.shown), polysome::name(view->status));
  if (kept.shown == JobStatus::kPending && view->status == JobStatus::kRunning)
    began_.push_back(id);
  kept.shown = view->status;
}

void Judge::judge_order(const core::Core& core, MonoTime now) {
  for (const auto id : began_) {
    const Kept& began = store_.jobs.at(id);
    if (!began.untouched() || has_limits(began.limits())) continue;
    // One that waited for memory may have had a worker kept since it was the first: it has failed
    // before, or the other could not start then.
    if (const auto view = core.job(id, now); !view || !view->attempts.empty()) continue;
    for (const auto& [other_id, other] : store_.jobs) {
      if (other.ends > 0 || other.shown != JobStatus::kPending || !other.untouched()) continue;
      if (other.spec.user != began.spec.user || has_limits(other.limits())) continue;
      if (other.changed > began.submitted || !other.spec.depends_on.empty()) continue;
      if (other.spec.held || other.cancelled || now - began.submitted > kYoungMs) continue;
      const bool before = other.spec.priority != began.spec.priority
                              ? other.spec.priority > began.spec.priority
                              : other.spec.sequence < began.spec.sequence;
      ++met_["two jobs compared"];
      if (!before) continue;
      const auto view = core.job(other_id, now);
      // One that failed already may need more than before, or a rest.
      if (!view || !view->waiting || !view->attempts.empty()) continue;
      expect(false, "job {} starts and passes job {}, which waits for {}", job_name(id),
             job_name(other_id), view->waiting->code);
    }
  }
}

void Judge::judge_cancelled(JobId id) {
  if (store_.jobs.at(id).ends > 0) return;
  for (const auto& [attempt, started] : started_)
    expect(started.task.job != id || started.over || started.cancelled,
           "job {} is cancelled, but its attempt {} goes on", job_name(id), attempt.text());
}

void Judge::judge_drained(WorkerId id) {
  std::set<int> running;  // the first attempt of a slot runs
  for (const auto& [attempt, started] : started_) {
    if (started.worker != id || started.over || running.insert(started.slot).second) continue;
    expect(started.cancelled, "{} is drained, but {} stays queued there", id.text(),
           attempt.text());
  }
}

void Judge::judge_gangs(const std::vector<core::Command>& commands) {
  for (const auto& command : commands) {
    const auto* start = std::get_if<core::StartTask>(&command);
    if (start == nullptr) continue;
    const Kept& kept = store_.jobs.at(start->task.job);
    const Stage& stage = kept.stages[start->task.stage];
    if (!stage.gang) continue;
    ++met_["a task of a gang"];
    std::size_t run = kept.finished[start->task.stage].size();
    for (const auto& [attempt, s] : started_)
      if (s.task.job == start->task.job && s.task.stage == start->task.stage && !s.over) ++run;
    expect(run == stage.tasks, "job {}: {} of a gang of {} begin", job_name(start->task.job), run,
           stage.tasks);
  }
}

void Judge::judge_everything(const core::Core& core, MonoTime now) {
  for (auto& b : core.broken_invariants()) broken.push_back(std::move(b));
  const auto active = core.active_jobs();
  std::size_t open = 0;
  for (const auto& [id, kept] : store_.jobs) {
    if (kept.ends > 0) continue;
    ++open;
    expect(std::ranges::binary_search(active, id), "job {} is lost", job_name(id));
  }
  expect(active.size() == open, "the core has jobs that nobody submitted");
  judge_queue(core, now);
  judge_cluster(core);
}

void Judge::judge_queue(const core::Core& core, MonoTime now) {
  int position = 0;
  const auto queue = core.queue(now, 1000);
  expect(queue.size() == core.pending_jobs(), "the queue shows others than the pending jobs");
  for (const auto& job : queue) {
    const std::string name = "job " + job_name(job.id);
    const Kept& kept = store_.jobs.at(job.id);
    expect(job.position == ++position && core.queue_position(job.id) == position,
           "{} has another position than it is shown", name);
    expect(job.priority == kept.spec.priority && job.user == kept.spec.user,
           "{} is shown as another's", name);
    const std::string& code = job.waiting.code;
    ++met_["waiting: " + code];
    expect(kReasons.contains(code), "{} waits for something unheard of: {}", name, code);
    expect(job.waiting.message.ends_with('.'), "{} is told no sentence: {}", name,
           job.waiting.message);
    expect((code == "held") == kept.spec.held || kept.cancelled, "{} waits for {}", name, code);
    expect(code != "queue_paused" || store_.paused, "{} waits for a queue that runs", name);
    expect(job.waiting.since <= now, "{} waits since tomorrow", name);
  }
}

void Judge::judge_cluster(const core::Core& core) {
  const auto cluster = core.cluster();
  const AutoscalePolicy& policy = store_.autoscale;
  if (policy.enabled && cluster.status == "running")
    expect(cluster.spec.n_workers >= policy.min_workers &&
               cluster.spec.n_workers <= policy.max_workers,
           "{} workers are wanted, of {} to {}", cluster.spec.n_workers, policy.min_workers,
           policy.max_workers);
  int used = 0;
  for (const auto& worker : cluster.workers) {
    used += worker.running_tasks;
    if (worker.status == "drained" || worker.status == "idle" || worker.status == "starting")
      expect(worker.running_tasks == 0, "{} is {} with tasks", worker.id.text(), worker.status);
    expect(worker.memory_limit > 0 && worker.threads > 0, "{} has nothing", worker.id.text());
    ++met_["worker " + worker.status];
  }
  expect(cluster.used_cores <= cluster.total_cores, "more cores are used than there are");
  expect(cluster.used_memory <= cluster.total_memory, "more memory is granted than there is");
  int cores = 0;
  std::uint64_t pending = 0, running = 0;
  for (const auto& user : core.users(0)) {
    cores += user.cores;
    pending += static_cast<std::uint64_t>(user.pending_jobs);
    running += static_cast<std::uint64_t>(user.running_jobs);
  }
  expect(cores == used, "the users' cores are not the cluster's");
  expect(pending == core.pending_jobs() && running == core.running_jobs(),
         "the users' jobs are not all jobs");
}

void Judge::judge_end(const core::Core& core) {
  for (const auto& [id, kept] : store_.jobs)
    expect(kept.ends == 1, "job {} ended {} times", job_name(id), kept.ends);
  expect(core.pending_jobs() == 0 && core.running_jobs() == 0, "jobs are left over");
  const auto cluster = core.cluster();
  expect(cluster.active_tasks == 0 && cluster.queued_tasks == 0, "tasks are left over");
}

}  // namespace polysome::simulation
