// jobs/{id}/explain: the plan as far as it is known, what the job holds, and why it waits.
#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

constexpr std::uint32_t kMostTasksLookedAt = 100'000;
constexpr std::size_t kMostTasksNamed = 100;

Json stage_json(const StageState& s, std::uint64_t default_grant) {
  const std::uint64_t grant = s.grant == 0 ? default_grant : s.grant;
  return {{"name", s.name},
          {"kind", s.kind.empty() ? Json() : Json(s.kind)},
          {"after", s.after},
          {"tasks", s.tasks_total},
          {"tasks_done", s.tasks_done},
          {"bytes", s.bytes_total},
          {"bytes_done", s.bytes_done},
          {"memory_per_task", format_bytes(grant)},
          {"memory_per_task_bytes", grant},
          {"peak_memory", format_bytes(s.peak_memory_bytes)},
          {"peak_memory_bytes", s.peak_memory_bytes},
          {"all_at_once", s.gang}};
}

}  // namespace

Result<Json> Engine::explain(const JobId& id) {
  POLYSOME_ASSIGN(const StoredJob job, find(id));
  const auto it = active_.find(id);
  const bool active = it != active_.end() && !it->second.ending;
  const ClusterSpec& cluster =
      core_->cluster().status == "stopped" ? config_.cluster : core_->cluster().spec;
  const std::uint64_t default_grant =
      job.spec.limits.memory_per_worker.value_or(cluster.memory_per_slot());

  Json stages = Json::array();
  std::uint64_t tasks = 0, done = 0, bytes = 0, widest = 0;
  for (const auto& s : job.state.stages) {
    stages.push_back(stage_json(s, default_grant));
    tasks += s.tasks_total;
    done += s.tasks_done;
    bytes = std::max(bytes, s.bytes_total);
    widest = std::max(widest, s.tasks_total);
  }
  Json running = Json::array();
  std::uint64_t running_tasks = 0;
  if (active && job.state.status == JobStatus::kRunning)
    for (const auto& t : core_->tasks(id, 0, kMostTasksLookedAt, nullptr)) {
      if (t.worker.empty()) continue;
      ++running_tasks;
      if (running.size() < kMostTasksNamed)
        running.push_back({{"task", fmt::format("{}/{}", t.stage, t.index)},
                           {"state", name(t.state)},
                           {"worker", t.worker},
                           {"attempt", t.attempt}});
    }
  // Before its planning task has run, a job's plan is that task.
  const bool planned = job.state.stages.size() > 1 || is_final(job.state.status);
  const auto& limits = job.spec.limits;
  Json depends = Json::array();
  for (const auto& d : job.spec.depends_on) {
    const auto other = find(d);
    depends.push_back(
        {{"job_id", d.text()}, {"status", other ? Json(name(other->state.status)) : Json()}});
  }
  const int position = active ? core_->queue_position(id) : 0;
  return Json{
      {"job_id", id.text()},
      {"operation", job.spec.operation},
      {"user", job.spec.user},
      {"status", name(job.state.status)},
      {"phase", name(job.state.phase)},
      {"priority", static_cast<int>(job.spec.priority)},
      {"priority_name", name(job.spec.priority)},
      {"queue_position", position > 0 ? Json(position) : Json()},
      {"waiting", job.state.waiting ? *job.state.waiting : Json()},
      {"depends_on", std::move(depends)},
      {"plan",
       {{"planned", planned},
        {"stages", std::move(stages)},
        {"tasks", tasks},
        {"tasks_done", done},
        {"bytes", bytes},
        {"most_tasks_at_once", widest}}},
      {"running_tasks", running_tasks},
      {"running", std::move(running)},
      {"ceilings",
       {{"max_cores", limits.max_cores ? Json(*limits.max_cores) : Json()},
        {"max_memory_bytes", limits.max_memory ? Json(*limits.max_memory) : Json()},
        {"n_workers", limits.n_workers ? Json(*limits.n_workers) : Json()},
        {"memory_per_worker_bytes",
         limits.memory_per_worker ? Json(*limits.memory_per_worker) : Json()}}},
      {"stall", job.state.stall ? *job.state.stall : Json()},
      {"eta", job.state.eta_seconds
                  ? Json{{"p50", *job.state.eta_seconds},
                         {"p90", job.state.eta_p90_seconds.value_or(*job.state.eta_seconds)}}
                  : Json()}};
}

}  // namespace polysome
