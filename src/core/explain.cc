#include "core/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "core/job_scheduler.h"

namespace polysome::core {
namespace {

std::string plural(std::uint64_t n, std::string_view one) {
  return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

struct Reason {
  std::string code, message, unblocked_by;
};

Reason dependency(const JobRun& job) {
  const std::string first = job.unmet.begin()->text();
  if (job.unmet.size() == 1)
    return {"dependency", fmt::format("Waits for job {} to complete.", first), first};
  return {"dependency",
          fmt::format("Waits for {} to complete; one of them is {}.",
                      plural(job.unmet.size(), "job"), first),
          first};
}

Reason cluster_not_there(const Machine& m) {
  if (!m.cluster.wanted)
    return {"cluster_stopped",
            "The cluster is stopped. Start it: POST cluster/start, or polysome cluster start.",
            "cluster/start"};
  if (!m.cluster.complete_once)
    return {"cluster_starting",
            fmt::format("The cluster is starting; none of {} is ready yet.",
                        plural(static_cast<std::uint64_t>(m.cluster.spec.n_workers), "worker")),
            "worker.ready"};
  return {"no_workers",
          fmt::format("All {} are lost; new ones are being started (cluster/status shows them).",
                      plural(static_cast<std::uint64_t>(m.cluster.spec.n_workers), "worker")),
          "worker.ready"};
}

Reason memory(const Machine& m, std::uint64_t grant) {
  const Worker* freest = nullptr;
  std::uint64_t largest = 0;
  for (const auto& [n, worker] : m.resources.workers()) {
    if (!worker.takes_tasks()) continue;
    largest = std::max(largest, worker.memory_limit);
    if (freest == nullptr || worker.free_memory() > freest->free_memory()) freest = &worker;
  }
  if (largest < grant)
    return {
        "memory",
        fmt::format("Needs {} on one worker; the largest has {}. Stop the cluster and start it "
                    "with a larger memory_limit, or submit the job with less memory_per_worker.",
                    format_bytes(grant), format_bytes(largest)),
        "cluster/start"};
  return {"memory",
          fmt::format("Needs {} on one worker; the largest free is {} ({}).", format_bytes(grant),
                      format_bytes(freest->free_memory()), freest->id.text()),
          "task.finished"};
}

Reason cores(const Machine& m, const JobRun& job) {
  int used = 0, total = 0;
  for (const auto& [n, worker] : m.resources.workers()) {
    used += worker.busy;
    total += static_cast<int>(worker.slots.size());
  }
  const std::size_t above = m.queue.pending_above(job);
  const int before = m.queue.position(job) - 1;
  const std::string busy =
      fmt::format("{} of {} cores are in use by {}", used, total, plural(m.running_jobs, "job"));
  if (above > 0)
    return {"priority",
            fmt::format("{} with a higher priority {} before it; {}.", plural(above, "job"),
                        above == 1 ? "is" : "are", busy),
            "job.status"};
  if (before > 0)
    return {
        "cores",
        fmt::format("{}; {} of the same priority {} before it.", busy,
                    plural(static_cast<std::uint64_t>(before), "job"), before == 1 ? "is" : "are"),
        "task.finished"};
  return {"cores", busy + "; it is the next to start.", "task.finished"};
}

Reason kept(const Machine& m) {
  if (m.kept)
    return {"reserved_for_larger_job",
            fmt::format("{} is kept free for job {}, which is before it and needs more memory.",
                        m.kept->second.text(), m.kept->first.text()),
            m.kept->first.text()};
  return {"reserved_for_larger_job", "What is free is kept for a larger job before it.", ""};
}

Reason reason_of(const Machine& m, const JobRun& job) {
  if (job.spec.held)
    return {"held",
            fmt::format("Held. Release it: PATCH jobs/{} {{\"held\": false}}.", job.id().text()),
            "jobs/patch"};
  if (!job.unmet.empty()) return dependency(job);
  if (!m.cluster.wanted || !m.resources.any_takes_tasks()) return cluster_not_there(m);
  if (m.paused)
    return {"queue_paused",
            fmt::format("The queue is paused{}. Resume it: POST queue/resume.",
                        m.paused->empty() ? "" : ": " + *m.paused),
            "queue/resume"};
  const auto grant = next_grant(m, job);
  if (!grant)
    return {"backoff",
            fmt::format("{} failed and will be tried again soon.", plural(job.backing_off, "task")),
            "time"};
  const Fit fit = m.resources.find(job, *grant, std::nullopt);
  if (fit.worker == nullptr && fit.obstacle == Obstacle::kMemory) return memory(m, *grant);
  if (fit.worker == nullptr) return cores(m, job);
  return kept(m);
}

}  // namespace

Waiting explain(const Machine& m, const JobRun& job) {
  Reason reason = reason_of(m, job);
  return {std::move(reason.code), std::move(reason.message), job.pending_since,
          std::move(reason.unblocked_by), std::nullopt};
}

}  // namespace polysome::core
