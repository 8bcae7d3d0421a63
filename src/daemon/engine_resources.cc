// What jobs used, what went wrong and what was learned from it: counted as it happens, stored from
// time to time, answered by resources/* and faults/statistics. Also which users had how much, so
// that a restart forgives nobody.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "daemon/engine.h"
#include "daemon/usage_report.h"

namespace polysome {
namespace {

constexpr double kUsageHalfLifeMs = 3'600'000;  // of the fair share's memory
constexpr WallTime kHourMs = 3'600'000;
constexpr WallTime kLearnFromMs = 90LL * 24 * kHourMs;

FaultClass class_of(const report::SlotLost& lost) {
  return lost.out_of_memory ? FaultClass::kOutOfMemory : FaultClass::kWorkerLost;
}

}  // namespace

Json expected_start_json(const std::optional<core::Waiting::Expected>& expected) {
  if (!expected) return {};
  const auto at = [](double seconds) {
    return Json(format_time(wall_now() + static_cast<WallTime>(seconds * 1000)));
  };
  return {{"p50", at(expected->p50_seconds)}, {"p90", at(expected->p90_seconds)}};
}

// What earlier services measured, and what of the plan the core does not keep.
void Engine::add_measured(const ActiveJob& job, JobState* state) {
  state->cpu_seconds += job.before.cpu_seconds;
  state->bytes_read += job.before.bytes_read;
  state->peak_memory_bytes = std::max(state->peak_memory_bytes, job.before.peak_memory);
  state->memory_gb_seconds = job.before.memory_gb_seconds + job.now.memory_gb_seconds;
  for (auto& stage : state->stages) {
    if (const auto it = job.before.stage_peaks.find(stage.name); it != job.before.stage_peaks.end())
      stage.peak_memory_bytes = std::max(stage.peak_memory_bytes, it->second);
    const auto planned = std::ranges::find(job.plan, stage.name, &Stage::name);
    if (planned == job.plan.end()) continue;
    stage.kind = name(planned->kind);
    stage.after = planned->after;
    stage.grant = planned->grant;
    stage.gang = planned->gang;
  }
}

void Engine::measure(const TaskResult& result, const TaskRef& task) {
  const auto it = active_.find(task.job);
  if (it == active_.end()) return;
  it->second.now.memory_gb_seconds +=
      static_cast<double>(result.peak_memory) / 1e9 * result.wall_seconds;
}

// Jobs of a batch get their own row with their first change.
void Engine::save(ActiveJob& job, const JobState& state) {
  if (!job.unwritten || job.row_sent) return store_.update_job(job.spec.id, state, {});
  job.row_sent = true;
  store_.put_job({job.spec, state, job.sequence},
                 [this, id = job.spec.id](const Status&) { row_written(id); });
}

void Engine::row_written(const JobId& id) {
  const auto it = active_.find(id);
  if (it == active_.end() || !it->second.unwritten) return;
  it->second.unwritten = false;
  --unwritten_;
}

void Engine::count_pending(ActiveJob& job, bool pending) {
  if (job.counted == pending) return;
  job.counted = pending;
  if (pending) {
    ++pending_;
    ++pending_of_[job.spec.user];
    return;
  }
  --pending_;
  const auto it = pending_of_.find(job.spec.user);
  if (it != pending_of_.end() && --it->second == 0) pending_of_.erase(it);
}

// Every attempt that failed, whatever the core makes of it. One that was told to stop did not, even
// if its process had to be ended for it. Those that ended with their slot or worker are forgotten.
void Engine::count_faults(const Report& report) {
  const auto failed = [&](const RunningAttempt& attempt, FaultClass what) {
    if (attempt.told_to_stop) return;
    const auto job = active_.find(attempt.task.job);
    faults_.attempt_failed(what, job == active_.end() ? "" : job->second.spec.operation,
                           attempt.worker.text());
  };
  if (const auto* r = std::get_if<report::TaskFailed>(&report)) {
    const auto it = running_.find(r->failure.attempt);
    if (it != running_.end() && r->failure.error.code != Code::kCancelled)
      failed(it->second, fault_class_of(r->failure.error.code));
  } else if (const auto* slot = std::get_if<report::SlotLost>(&report)) {
    // Those queued behind the one that ran did not fail: they had not begun.
    const RunningAttempt* oldest = nullptr;
    AttemptId first;
    for (const auto& [id, attempt] : running_)
      if (attempt.worker == slot->worker && attempt.slot == slot->slot &&
          (oldest == nullptr || id < first)) {
        oldest = &attempt;
        first = id;
      }
    if (oldest != nullptr) failed(*oldest, class_of(*slot));
    std::erase_if(running_, [&](const auto& attempt) {
      return attempt.second.worker == slot->worker && attempt.second.slot == slot->slot;
    });
  } else if (const auto* lost = std::get_if<report::WorkerLost>(&report)) {
    const auto cluster = core_->cluster();
    const auto w = std::ranges::find(cluster.workers, lost->worker, &core::WorkerView::id);
    const bool expected = w != cluster.workers.end() && w->status == "stopping";
    std::map<int, std::pair<AttemptId, const RunningAttempt*>> first;  // by slot
    for (const auto& [id, attempt] : running_) {
      if (attempt.worker != lost->worker) continue;
      auto [it, fresh] = first.try_emplace(attempt.slot, id, &attempt);
      if (!fresh && id < it->second.first) it->second = {id, &attempt};
    }
    if (!expected)
      for (const auto& [slot_number, attempt] : first)
        failed(*attempt.second, FaultClass::kWorkerLost);
    std::erase_if(running_,
                  [&](const auto& attempt) { return attempt.second.worker == lost->worker; });
  }
}

void Engine::note_usage(const ActiveJob& job, const JobState& end) {
  StoredUsage u;
  u.job = job.spec.id;
  u.ended_at = end.completed_at.value_or(wall_now());
  u.user = job.spec.user;
  u.operation = job.spec.operation;
  u.completed = end.status == JobStatus::kCompleted;
  u.cpu_seconds = end.cpu_seconds;
  u.memory_gb_seconds = end.memory_gb_seconds;
  const WallTime began = end.started_at.value_or(u.ended_at);
  u.seconds = static_cast<double>(std::max<WallTime>(0, u.ended_at - began)) / 1000;
  u.wait_seconds = static_cast<double>(std::max<WallTime>(0, began - job.spec.created_at)) / 1000;
  u.bytes_read = end.bytes_read;
  for (const auto& stage : end.stages) u.input_bytes = std::max(u.input_bytes, stage.bytes_total);
  u.peak_memory = end.peak_memory_bytes;
  store_.record_usage(u);
}

void Engine::restore_learned() {
  faults_.restore(store_.setting("faults").value_or(Json()));
  const auto stored = store_.setting("fair_usage");
  if (!stored || !stored->is_object()) return;
  const auto at = parse_time(stored->value("at", ""));
  const auto by_user = stored->find("by_user");
  if (!at || by_user == stored->end() || !by_user->is_object()) return;
  const double gone = static_cast<double>(std::max<WallTime>(0, wall_now() - *at));
  const double left = std::exp2(-gone / kUsageHalfLifeMs);
  core::UsageKnown known;
  for (const auto& [user, usage] : by_user->items())
    if (usage.is_number()) known.by_user.emplace_back(user, usage.get<double>() * left);
  handle(std::move(known));
}

void Engine::store_learned() {
  const auto counts = core_->faults();
  if (faults_.changed(counts)) store_.put_setting("faults", faults_.to_store(counts), {});
  Json by_user = Json::object();
  for (const auto& [user, usage] : core_->fair_usage(mono_now()))
    if (usage > 0) by_user[user] = usage;
  if (by_user.empty()) return;
  store_.put_setting("fair_usage",
                     {{"at", format_time(wall_now())}, {"by_user", std::move(by_user)}}, {});
}

Json Engine::fault_statistics() { return faults_.statistics(core_->faults()); }

Json Engine::usage(bool by_operation, std::optional<WallTime> since) {
  UsageReport report(by_operation);
  store_.each_usage(since.value_or(0), [&](const StoredUsage& u) { report.add(u); });
  return report.rows();
}

Json Engine::recommendations(const std::string& operation) {
  RunsLearned runs;
  store_.each_usage(wall_now() - kLearnFromMs, [&](const StoredUsage& u) {
    if (operation.empty() || u.operation == operation) runs.add(u);
  });
  const auto cluster = core_->cluster();
  Load load;
  load.running = cluster.status == "running" || cluster.status == "starting";
  const ClusterSpec& spec = load.running ? cluster.spec : config_.cluster;
  load.n_workers = load.running ? spec.n_workers : 0;
  load.threads_per_worker = spec.threads_per_worker;
  load.total_cores = cluster.total_cores;
  load.used_cores = cluster.used_cores;
  load.queued_tasks = cluster.queued_tasks;
  load.active_tasks = cluster.active_tasks;
  load.pending_jobs = pending_;
  load.autoscaled = core_->autoscale().enabled;
  double used = 0, total = 0;
  for (const auto& m : store_.metrics(wall_now() - kHourMs, 1000)) {
    used += m.fields.value("used_cores", 0.0);
    total += m.fields.value("total_cores", 0.0);
  }
  if (total > 0) load.recent_utilisation = used / total;
  return {{"operations", runs.operations(spec.memory_per_slot())},
          {"cluster", scaling_advice(load)}};
}

}  // namespace polysome
