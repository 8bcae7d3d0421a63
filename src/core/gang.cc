#include "core/gang.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "core/stage_flow.h"
#include "core/task_flow.h"

namespace polysome::core {

namespace {

// As many as the cluster may have, and the job use.
std::uint64_t most_workers(const Machine& m, const JobRun& job) {
  const int cluster = m.autoscale.enabled
                          ? std::max(m.autoscale.max_workers, m.cluster.spec.n_workers)
                          : m.cluster.spec.n_workers;
  const int own = std::max(job.spec.limits.n_workers.value_or(kMaxWorkers), 1);
  return static_cast<std::uint64_t>(std::max(std::min(cluster, own), 1));
}

}  // namespace

std::uint64_t most_grant_of(const Machine& m, const JobRun& job, const StageRun& stage) {
  const std::uint64_t most = ResourceManager::most_grant(m.cluster.spec, job);
  if (!stage.gang) return most;
  const std::uint64_t workers = most_workers(m, job);
  const std::uint64_t on_one = (stage.tasks() + workers - 1) / workers;
  std::uint64_t grant = std::min(most, m.cluster.spec.memory_limit / on_one);
  for (const auto& limit : {job.owner->account.limits.max_memory, job.spec.limits.max_memory})
    if (limit) grant = std::min(grant, *limit / stage.tasks());
  return grant;
}

void disband_gang(Machine& m, JobRun& job, StageRun& stage) {
  if (!stage.gang || stage.disbanding || job.ending) return;
  stage.disbanding = true;
  std::vector<std::uint64_t> running;
  for (const auto& [index, n] : stage.active) running.push_back(n);
  std::ranges::sort(running);
  for (const auto n : running) take_back(m, m.attempts.at(n));
  for (std::uint32_t i = 0; i < stage.tasks(); ++i) {
    if (!stage.is_finished(i)) continue;
    forget_task(m, job, stage.number, i);
    m.out.push_back(ForgetTask{{job.id(), stage.number, i}});
  }
}

Status check_gangs(const Machine& m, const JobRun& job, const std::vector<Stage>& stages) {
  const ClusterSpec& spec = m.cluster.spec;
  const JobLimits& limits = job.spec.limits;
  const UserLimits& user = job.owner->account.limits;
  for (const auto& stage : stages) {
    if (!stage.gang) continue;
    StageRun run;
    run.grant = stage.grant;
    run.gang = true;
    run.progress.tasks = stage.tasks;
    const std::uint64_t grant =
        std::max<std::uint64_t>(m.resources.grant_of(spec, job, run, nullptr), 1);
    const std::uint64_t workers = most_workers(m, job);
    const std::uint64_t on_one =
        std::min(static_cast<std::uint64_t>(spec.threads_per_worker), spec.memory_limit / grant);
    std::uint64_t most = workers * on_one;
    std::string by = fmt::format("{} {} with {} threads and {} each", workers,
                                 workers == 1 ? "worker" : "workers", spec.threads_per_worker,
                                 format_bytes(spec.memory_limit));
    const auto cut = [&](std::uint64_t limit, std::string_view name) {
      if (limit >= most) return;
      most = limit;
      by = name;
    };
    if (limits.max_cores) cut(static_cast<std::uint64_t>(*limits.max_cores), "the job's max_cores");
    if (user.max_cores) cut(static_cast<std::uint64_t>(*user.max_cores), "the user's max_cores");
    if (stage.tasks <= most) continue;
    return fail(Code::kInvalid,
                fmt::format("stage \"{}\" needs {} tasks at once with {} each; at most {} can run "
                            "at once ({})",
                            stage.name, stage.tasks, format_bytes(grant), most, by),
                "Scale the cluster up (polysome cluster scale N), start it with more threads or "
                "memory a worker, or raise the limit that is named.");
  }
  return {};
}

}  // namespace polysome::core
