#include "core/cluster_flow.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <tuple>
#include <utility>
#include <vector>

#include "core/job_flow.h"
#include "core/task_flow.h"

namespace polysome::core {
namespace {

// A worker that lived shorter than this counts as dying at its start.
constexpr MonoTime kEarlyDeathMs = 10'000;
constexpr MonoTime kFirstReplaceDelayMs = 500;
constexpr MonoTime kLongestReplaceDelayMs = 30'000;

void announce(Machine& m, std::string type, Json data) {
  m.out.push_back(Announce{std::move(type), std::move(data)});
}

bool counts(const Worker& worker) {
  return worker.state == WorkerState::kStarting || worker.state == WorkerState::kReady;
}

void stop_worker(Machine& m, Worker& worker, bool force) {
  worker.state = WorkerState::kStopping;
  worker.heard = m.now;  // from here its lease is the time it has to end
  m.out.push_back(StopWorker{worker.id, force});
}

void drain(Machine& m, Worker& worker) {
  if (worker.state == WorkerState::kStarting || worker.busy == 0)
    return stop_worker(m, worker, false);
  worker.state = WorkerState::kDraining;
  for (auto& slot : worker.slots)
    for (std::size_t i = 1; i < slot.queue.size(); ++i) take_back(m, m.attempts.at(slot.queue[i]));
}

void start_worker(Machine& m) {
  const ClusterSpec& spec = m.cluster.spec;
  const WorkerId id{++m.last_worker};
  m.resources.add(id, spec.threads_per_worker, spec.memory_limit, m.now);
  m.out.push_back(StartWorker{id, spec.threads_per_worker, spec.memory_limit});
}

void forget_worker(Machine& m, Worker& worker, bool by_kill, const std::string& why) {
  const bool expected = worker.state == WorkerState::kStopping;
  if (!expected) ++m.faults.workers_lost;
  if (!expected && m.cluster.wanted) {
    const bool early = m.now - worker.started < kEarlyDeathMs;
    m.cluster.early_deaths = early ? m.cluster.early_deaths + 1 : 0;
    if (m.cluster.early_deaths > 1) {
      const int doublings = std::min(m.cluster.early_deaths - 2, 10);
      m.cluster.replace_after =
          m.now + std::min(kFirstReplaceDelayMs << doublings, kLongestReplaceDelayMs);
      m.timers.arm(m.cluster.replace_after, TimerKind::kReplace);
    }
  }
  const WorkerId id = worker.id;
  give_up_attempts(m, worker, !expected, fmt::format("worker {} was lost: {}", id.text(), why));
  announce(m, expected ? "worker.stopped" : "worker.lost",
           {{"worker", id.text()}, {"by_kill", by_kill}, {"message", why}});
  m.resources.remove(id);
  m.resize = true;
  m.unwell = true;
}

// Those to drain first: not ready yet, then those set aside, then idle, then the least busy; of
// equals the youngest.
std::vector<Worker*> least_needed_first(Machine& m) {
  std::vector<Worker*> list;
  for (auto& [n, worker] : m.resources.workers())
    if (counts(worker)) list.push_back(&worker);
  std::ranges::sort(list, [](const Worker* a, const Worker* b) {
    const auto rank = [](const Worker* w) {
      return std::tuple(w->state != WorkerState::kStarting, w->aside == Aside::kNo, w->busy,
                        -static_cast<int>(w->id.n));
    };
    return rank(a) < rank(b);
  });
  return list;
}

void grow(Machine& m, int missing) {
  for (auto& [n, worker] : m.resources.workers()) {
    if (missing == 0) return;
    const bool fits =
        worker.memory_limit == m.cluster.spec.memory_limit &&
        worker.slots.size() == static_cast<std::size_t>(m.cluster.spec.threads_per_worker);
    if (worker.state != WorkerState::kDraining || !fits) continue;
    worker.state = WorkerState::kReady;
    --missing;
  }
  if (m.now < m.cluster.replace_after) return;
  for (; missing > 0; --missing) start_worker(m);
}

void set_aside(Machine& m, Worker& worker, Aside aside, const std::string& reason) {
  worker.aside = aside;
  worker.aside_reason = reason;
  worker.aside_until.reset();
  worker.aside_after = m.last_attempt;
  worker.health.probes = false;
  worker.health.probe.reset();
  m.unwell = true;
}

// Jobs' statuses depend on whether the cluster is wanted.
void touch_running_jobs(Machine& m) {
  std::vector<JobRun*> jobs;
  for (const auto& [id, job] : m.jobs)
    if (job->status == JobStatus::kRunning) jobs.push_back(job.get());
  std::ranges::sort(jobs, BySubmission{});
  for (JobRun* job : jobs) m.touch(*job);
}

}  // namespace

void start_cluster(Machine& m, const ClusterStarted& event) {
  if (m.cluster.wanted) return;
  m.cluster.wanted = true;
  m.cluster.spec = event.spec;
  m.cluster.spec.n_workers = within_policy(m, event.spec.n_workers);
  m.cluster.spec.threads_per_worker =
      std::clamp(event.spec.threads_per_worker, 1, kMaxThreadsPerWorker);
  m.cluster.complete_once = false;
  m.cluster.early_deaths = 0;
  m.cluster.replace_after = m.now;
  m.scaling = {};
  m.resize = true;
}

void stop_cluster(Machine& m, const ClusterStopped& event) {
  m.cluster.wanted = false;
  m.reservation.reset();  // on the next workers jobs stand in their order again
  m.resize = true;
  for (auto& [n, worker] : m.resources.workers()) {
    if (event.force) {
      give_up_attempts(m, worker, false, "");
      stop_worker(m, worker, true);
    } else if (counts(worker)) {
      drain(m, worker);
    }
  }
  touch_running_jobs(m);
}

void scale_cluster(Machine& m, const ClusterScaled& event) {
  scale_cluster(m, within_policy(m, event.n_workers));
  // A size that somebody asked for is left alone for as long as one that was needed.
  m.scaling.since = m.now;
}

void scale_cluster(Machine& m, int wanted) {
  if (wanted == m.cluster.spec.n_workers) return;
  announce(m, "cluster.scaled", {{"from", m.cluster.spec.n_workers}, {"to", wanted}});
  m.cluster.spec.n_workers = wanted;
  m.cluster.replace_after = m.now;
  m.resize = true;
}

void drain_worker(Machine& m, const WorkerDrainRequested& event) {
  Worker* worker = m.resources.find(event.worker);
  if (worker == nullptr || !counts(*worker) || worker->aside == Aside::kDrained) return;
  set_aside(m, *worker, Aside::kDrained, event.reason);
  for (auto& slot : worker->slots)
    for (std::size_t i = 1; i < slot.queue.size(); ++i) take_back(m, m.attempts.at(slot.queue[i]));
  announce(m, "worker.drained", {{"worker", event.worker.text()}, {"reason", event.reason}});
}

void exclude_worker(Machine& m, const WorkerExcludeRequested& event) {
  Worker* worker = m.resources.find(event.worker);
  if (worker == nullptr || !counts(*worker)) return;
  set_excluded(m, *worker, event.reason, event.for_ms);
}

void set_excluded(Machine& m, Worker& worker, const std::string& reason, std::int64_t for_ms) {
  set_aside(m, worker, Aside::kExcluded, reason);
  if (for_ms > 0) {
    worker.aside_until = m.now + for_ms;
    m.timers.arm(*worker.aside_until, TimerKind::kReadmit);
  }
  for (auto& slot : worker.slots)
    for (const auto n : slot.queue) take_back(m, m.attempts.at(n));
  ++m.faults.exclusions;
  Json data = {{"worker", worker.id.text()},
               {"reason", reason},
               {"score", worker.health.score_at(m.now)},
               {"faults", Json::object()}};
  for (const auto& [cls, n] : worker.health.faults()) data["faults"][std::string(name(cls))] = n;
  data["for_seconds"] = for_ms > 0 ? Json(static_cast<double>(for_ms) / 1000) : Json();
  announce(m, "worker.excluded", std::move(data));
}

void probe_worker(Machine& m, Worker& worker) {
  const std::string reason = worker.aside_reason;
  set_aside(m, worker, Aside::kProbed, reason);
  worker.health.probes = true;
  announce(m, "worker.probed", {{"worker", worker.id.text()}, {"reason", reason}});
}

void readmit_worker(Machine& m, WorkerId id) {
  Worker* worker = m.resources.find(id);
  if (worker == nullptr || worker->aside == Aside::kNo) return;
  if (worker->aside != Aside::kDrained) ++m.faults.readmissions;
  set_aside(m, *worker, Aside::kNo, "");
  worker->health.readmitted = m.now;
  announce(m, "worker.readmitted", {{"worker", id.text()}});
}

void readmit_due(Machine& m) {
  for (auto& [n, worker] : m.resources.workers()) {
    if (!worker.aside_until || *worker.aside_until > m.now) continue;
    if (worker.health.probes)
      probe_worker(m, worker);
    else
      readmit_worker(m, worker.id);
  }
}

void worker_ready(Machine& m, const WorkerReady& event) {
  Worker* worker = m.resources.find(event.worker);
  if (worker == nullptr) return;
  worker->pid = event.pid;
  if (worker->state != WorkerState::kStarting) return;
  worker->heard = m.now;
  worker->state = WorkerState::kReady;
  m.resize = true;
  announce(m, "worker.ready", {{"worker", event.worker.text()}, {"pid", event.pid}});
}

void worker_lost(Machine& m, const WorkerLost& event) {
  if (Worker* worker = m.resources.find(event.worker))
    forget_worker(m, *worker, event.by_kill, event.message);
}

void worker_heard(Machine& m, const WorkerHeard& event) {
  Worker* worker = m.resources.find(event.worker);
  if (worker == nullptr || worker->state == WorkerState::kStopping) return;
  note_silence(m, *worker, m.now - worker->heard);
  worker->heard = m.now;
  worker->memory_used = event.memory_used;
  worker->cpu_percent = event.cpu_percent;
}

void forgive_pause(Machine& m, MonoTime gap) {
  const auto later = [&](MonoTime& t) { t = std::min(m.now, t + gap); };
  for (auto& [n, worker] : m.resources.workers()) later(worker.heard);
  for (auto& [n, attempt] : m.attempts) {
    later(attempt.since);
    later(attempt.moved);
  }
}

void check_leases(Machine& m) {
  std::vector<WorkerId> silent;
  for (const auto& [n, worker] : m.resources.workers())
    if (m.now - worker.heard > m.config.lease_ms) silent.push_back(worker.id);
  for (const auto id : silent) {
    m.out.push_back(StopWorker{id, true});
    Worker& worker = *m.resources.find(id);
    forget_worker(
        m, worker, true,
        fmt::format("not heard of for {:.0f} s", static_cast<double>(m.now - worker.heard) / 1000));
  }
}

std::optional<MonoTime> next_lease_check(const Machine& m) {
  if (m.resources.workers().empty()) return std::nullopt;
  MonoTime due = m.now + m.config.lease_ms / 4;
  for (const auto& [n, worker] : m.resources.workers())
    due = std::min(due, worker.heard + m.config.lease_ms + 1);
  return due;
}

void resize_cluster(Machine& m) {
  if (!m.resize) return;
  m.resize = false;
  int have = 0, ready = 0;
  for (auto& [n, worker] : m.resources.workers()) {
    if (worker.state == WorkerState::kDraining && worker.busy == 0) stop_worker(m, worker, false);
    if (counts(worker)) ++have;
    if (worker.state == WorkerState::kReady) ++ready;
  }
  if (m.cluster.wanted) {
    const int wanted = m.cluster.spec.n_workers;
    if (have < wanted) grow(m, wanted - have);
    if (have > wanted)
      for (Worker* worker : least_needed_first(m) | std::views::take(have - wanted))
        drain(m, *worker);
    m.cluster.complete_once = m.cluster.complete_once || ready >= wanted;
  }
  const std::string status = cluster_status(m);
  if (status == m.cluster.announced) return;
  m.cluster.announced = status;
  announce(m, "cluster.status", {{"status", status}, {"n_workers", m.cluster.spec.n_workers}});
}

std::string cluster_status(const Machine& m) {
  if (m.cluster.wanted) return m.cluster.complete_once ? "running" : "starting";
  return m.resources.workers().empty() ? "stopped" : "stopping";
}

}  // namespace polysome::core
