#include "core/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/bytes.h"
#include "core/backfill.h"
#include "core/job_scheduler.h"

namespace polysome::core {
namespace {

using Expected = std::optional<Waiting::Expected>;

struct Reason {
  std::string code, message, unblocked_by;
  Expected expected = std::nullopt;
};

std::string plural(std::uint64_t n, std::string_view one) {
  return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

// "3.1 GB", for sentences.
std::string size(std::uint64_t bytes) {
  std::string text = format_bytes(bytes);
  text.insert(
      std::ranges::find_if(text, [](char c) { return c >= 'A' && c <= 'z'; }) - text.begin(), " ");
  return text;
}

// "about 2 min"
std::string about(double ms) {
  if (ms < 1500) return "about 1 s";
  if (ms < 90'000) return fmt::format("about {:.0f} s", ms / 1000);
  if (ms < 90 * 60'000.0) return fmt::format("about {:.0f} min", ms / 60'000);
  return fmt::format("about {:.0f} h", ms / 3'600'000);
}

// As lists show it.
std::string brief(JobId id) {
  const std::string text = id.text();
  return "…" + text.substr(text.size() - 8);
}

Waiting::Expected seconds(double p50_ms, double p90_ms) {
  return {p50_ms / 1000, std::max(p50_ms, p90_ms) / 1000};
}

// ---- before anything is placed ----

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
  const auto wanted = static_cast<std::uint64_t>(m.cluster.spec.n_workers);
  if (!m.cluster.wanted)
    return {"cluster_stopped",
            "The cluster is stopped. Start it: POST cluster/start, or polysome cluster start.",
            "cluster/start"};
  if (!m.cluster.complete_once)
    return {
        "cluster_starting",
        fmt::format("The cluster is starting; none of {} is ready yet.", plural(wanted, "worker")),
        "worker.ready"};
  std::uint64_t aside = 0;
  for (const auto& [n, worker] : m.resources.workers())
    if (worker.state == WorkerState::kReady) ++aside;
  if (aside > 0)
    return {"no_workers",
            fmt::format("{} of {} {} set aside (drained or excluded) and take no tasks. Take them "
                        "back: POST cluster/workers/ID/readmit, or scale the cluster up.",
                        aside, plural(wanted, "worker"), aside == 1 ? "is" : "are"),
            "worker.readmitted"};
  return {"no_workers",
          fmt::format("All {} are lost; new ones are being started (cluster/status shows them).",
                      plural(wanted, "worker")),
          "worker.ready"};
}

Reason backoff(const Machine& m, const JobRun& job) {
  MonoTime due = 0;
  for (const auto& stage : job.stages)
    for (const auto& [index, trouble] : stage.trouble)
      if (trouble.backing_off && (due == 0 || trouble.due < due)) due = trouble.due;
  const double left = static_cast<double>(std::max<MonoTime>(due - m.now, 0));
  const std::string again =
      fmt::format("{} will be tried again in {}", plural(job.backing_off, "task"), about(left));
  if (job.last_failure == Code::kDiskFull)
    return {"disk_full",
            fmt::format("{} ({}). Free space there.", job.failures.back().first.message, again),
            "time", seconds(left, left)};
  if (job.last_failure == Code::kIo)
    return {"input_unavailable", fmt::format("{} ({}).", job.failures.back().first.message, again),
            "time", seconds(left, left)};
  if (job.failures.empty()) return {"backoff", again + ".", "time", seconds(left, left)};
  std::string why = fmt::format("{}; it failed: {}", again, job.failures.back().first.message);
  if (!why.ends_with('.')) why += '.';
  return {"backoff", std::move(why), "time", seconds(left, left)};
}

// Of a task that failed: its worker has a slot, the others have none.
Reason avoided(const Machine& m, const JobRun& job, const Need& need) {
  const StageRun& stage = job.stages[need.stage];
  const std::uint32_t index = stage.again.front();
  const double left = static_cast<double>(stage.trouble.at(index).avoid_until - m.now);
  return {"backoff",
          fmt::format("{} failed on {} and waits for a slot of another worker; after {} it goes to "
                      "any.",
                      job.task_name(need.stage, index), WorkerId{need.avoid}.text(), about(left)),
          "task.finished"};
}

// ---- limits of the user ----

Reason running_jobs(const Account& user) {
  return {"user_limit",
          fmt::format("{} runs {}, and max_running_jobs is {}. It starts when one of them ends; "
                      "PUT resources/limits changes the limit.",
                      user.user, plural(user.running_jobs, "job"), *user.limits.max_running_jobs),
          "job.status"};
}

Reason user_holdings(const Account& user, const Need& need) {
  const auto& limits = user.limits;
  if (limits.max_cores && user.cores + static_cast<int>(need.tasks) > *limits.max_cores)
    return {"user_limit",
            fmt::format("{} uses {}, and max_cores is {}. It goes on when a task of theirs ends; "
                        "PUT resources/limits changes the limit.",
                        user.user, plural(static_cast<std::uint64_t>(user.cores), "core"),
                        *limits.max_cores),
            "task.finished"};
  return {
      "user_limit",
      fmt::format("Needs {}; {} uses {}, and max_memory is {}. It goes on when a task of theirs "
                  "ends; PUT resources/limits changes the limit.",
                  size(need.grant * need.tasks), user.user, size(user.memory),
                  size(limits.max_memory.value_or(0))),
      "task.finished"};
}

// ---- what the cluster has no room for ----

// " Next to end: job …1c2d3e4f, about 2 min." of a worker; empty when nothing is known.
std::string next_to_end(const Machine& m, const Worker& worker) {
  const Slot* next = nullptr;
  SlotEnd end;
  for (const auto& slot : worker.slots) {
    if (slot.queue.empty()) continue;
    const auto e = slot_end(m, slot);
    if (!e || (next != nullptr && e->likely >= end.likely)) continue;
    next = &slot;
    end = *e;
  }
  if (next == nullptr) return "";
  return fmt::format(" Next to end: job {}, {}.", brief(next->job->id()),
                     about(static_cast<double>(end.likely - m.now)));
}

Expected start_of(const Machine& m, const Reservation& reservation) {
  const auto late = late_start(m, reservation);
  if (!late) return std::nullopt;
  return seconds(static_cast<double>(*reservation.start - m.now),
                 static_cast<double>(*late - m.now));
}

// What would be reserved for this job if it were the first.
std::optional<Reservation> as_first(const Machine& m, const JobRun& job, const Need& need) {
  if (m.reservation && m.reservation->job == &job) return m.reservation;
  return reserve(m, const_cast<JobRun&>(job), need, nullptr);
}

Reason memory(const Machine& m, const JobRun& job, const Need& need) {
  const Worker* freest = nullptr;
  std::uint64_t largest = 0;
  for (const auto& [n, worker] : m.resources.workers()) {
    if (!worker.takes_tasks()) continue;
    largest = std::max(largest, worker.memory_limit);
    if (freest == nullptr || worker.free_memory() > freest->free_memory()) freest = &worker;
  }
  if (largest < need.grant)
    return {
        "memory",
        fmt::format("Needs {} on one worker; the largest has {}. Stop the cluster and start it "
                    "with a larger memory_limit, or submit the job with less memory_per_worker.",
                    size(need.grant), size(largest)),
        "cluster/start"};
  const auto reservation = as_first(m, job, need);
  return {"memory",
          fmt::format("Needs {} on one worker; the largest free is {} ({}).{}", size(need.grant),
                      size(freest->free_memory()), freest->id.text(), next_to_end(m, *freest)),
          "task.finished", reservation ? start_of(m, *reservation) : std::nullopt};
}

Reason gang(const Machine& m, const JobRun& job, const Need& need) {
  const int idle = m.resources.idle_slots();
  const int total = m.resources.capacity().first;
  const std::string needs =
      fmt::format("Needs {} slots at once with {} each", need.tasks, size(need.grant));
  const auto reservation = as_first(m, job, need);
  if (!reservation)
    return {"cores",
            fmt::format("{}; the cluster has {}{}, which can't hold that. Scale it up (POST "
                        "cluster/scale, or polysome cluster scale N) or start it with more threads "
                        "or memory a worker.",
                        needs, plural(static_cast<std::uint64_t>(total), "slot"),
                        job.spec.limits.n_workers
                            ? fmt::format(", and the job may use {}",
                                          plural(static_cast<std::uint64_t>(
                                                     std::max(*job.spec.limits.n_workers, 1)),
                                                 "worker"))
                            : ""),
            "cluster/scale"};
  return {"cores", fmt::format("{}; {} of {} are idle.", needs, idle, total), "task.finished",
          start_of(m, *reservation)};
}

Reason reserved(const Machine& m) {
  if (!m.reservation)
    return {"reserved_for_larger_job", "What is free is kept for a larger job before it.",
            "task.finished"};
  const Reservation& r = *m.reservation;
  std::string workers;
  for (const auto& spot : r.spots)
    workers += (workers.empty() ? "" : ", ") + WorkerId{spot.worker}.text();
  const std::string needs = r.need.tasks > 1 ? fmt::format("{} slots at once", r.need.tasks)
                                             : fmt::format("{} on one worker", size(r.need.grant));
  const std::string when =
      r.start ? fmt::format("has them in {}; this one's tasks might not be over by then",
                            about(static_cast<double>(*r.start - m.now)))
              : "comes first, and how long the tasks there take is not known yet";
  return {"reserved_for_larger_job",
          fmt::format("{} {} kept free for job {}, which is before it, needs {} and {}.", workers,
                      r.spots.size() == 1 ? "is" : "are", r.job->id().text(), needs, when),
          r.job->id().text()};
}

// ---- all slots are taken ----

// Slots' time that goes before a pending job: what running jobs of a higher level, and older ones
// of its own user and level, have ready. Mean and variance of the sum.
struct WorkAhead {
  double likely = 0, variance = 0;
  bool known = true;  // of each stage's tasks one at least has been seen
};
WorkAhead work_ahead(const Machine& m, const JobRun& job) {
  WorkAhead work;
  const int own = m.queue.level(job);
  for (const auto& [name, user] : m.queue.users())
    for (const auto& lane : user.lanes)
      for (const JobRun* other : lane.started) {
        const int level = m.queue.level(*other);
        const bool before = level > own || (level == own && other->owner == job.owner &&
                                            BySubmission{}(other, &job));
        if (!before) continue;
        for (const auto number : other->ready_stages) {
          const StageRun& stage = other->stages[number];
          const TaskDuration& duration = duration_of(m, stage);
          const auto tasks = static_cast<double>(stage.ready());
          work.known = work.known && duration.samples() > 0;
          work.likely += tasks * duration.mean_ms();
          work.variance += tasks * duration.deviation_ms() * duration.deviation_ms();
        }
      }
  return work;
}

// So many starts of jobs from now; for the first one, when what goes before it is done and a slot
// is free.
Expected turn(const Machine& m, const JobRun& job, int position) {
  const WorkAhead ahead = work_ahead(m, job);
  if (!ahead.known) return std::nullopt;
  if (ahead.likely == 0)
    if (const auto until = m.starts.until(position, m.now))
      return seconds(until->first, until->second);
  if (position > 1) return std::nullopt;
  std::optional<SlotEnd> first;
  for (const auto& [n, worker] : m.resources.workers())
    for (const auto& slot : worker.slots) {
      if (slot.queue.empty() || !worker.takes_tasks()) continue;
      const auto end = slot_end(m, slot);
      if (end && (!first || end->late < first->late)) first = end;
    }
  if (!first) return std::nullopt;
  const double slots = std::max(m.resources.capacity().first, 1);
  return seconds(static_cast<double>(first->likely - m.now) + ahead.likely / slots,
                 static_cast<double>(first->late - m.now) +
                     (ahead.likely + 1.2816 * std::sqrt(ahead.variance)) / slots);
}

Reason cores(const Machine& m, const JobRun& job) {
  int used = 0, total = 0;
  for (const auto& [n, worker] : m.resources.workers()) {
    used += worker.busy;
    total += static_cast<int>(worker.slots.size());
  }
  const int position = m.queue.position(job);
  const Expected expected = turn(m, job, std::max(position, 1));
  const std::string busy =
      fmt::format("{} of {} cores are in use by {}", used, total, plural(m.running_jobs, "job"));
  const JobQueue::Before before = m.queue.before(job);
  if (before.higher_jobs > 0)
    return {"priority",
            fmt::format("{} with a higher priority {} before it; {}.",
                        plural(before.higher_jobs, "job"), before.higher_jobs == 1 ? "is" : "are",
                        busy),
            "job.status", expected};
  const Account& user = job.owner->account;
  if (before.users > 0)
    return {"fair_share",
            fmt::format("{}; {} with a smaller share {} before {}, who holds {:.0f} % of the "
                        "cluster and had {:.0f} % of it lately.",
                        busy, plural(before.users, "user"), before.users == 1 ? "is" : "are",
                        user.user, 100 * m.queue.fair().share(user),
                        100 * m.queue.fair().usage(user) * std::numbers::ln2 / kUsageHalfLifeMs),
            "task.finished", expected};
  if (position > 1)
    return {"cores",
            fmt::format("{}; {} of the same priority {} before it.", busy,
                        plural(static_cast<std::uint64_t>(position - 1), "job"),
                        position == 2 ? "is" : "are"),
            "task.finished", expected};
  return {"cores", busy + "; it is the next to start.", "task.finished", expected};
}

Reason reason_of(const Machine& m, const JobRun& job) {
  if (job.spec.held)
    return {"held",
            fmt::format("Held. Release it: PATCH jobs/{} {{\"held\": false}}.", job.id().text()),
            "jobs/patch"};
  if (!job.unmet.empty()) return dependency(job);
  if (!m.cluster.wanted || !m.resources.any_takes_tasks()) return cluster_not_there(m);
  const bool pending = job.status == JobStatus::kPending;
  if (pending && m.paused)
    return {"queue_paused",
            fmt::format("The queue is paused{}. Resume it: POST queue/resume.",
                        m.paused->empty() ? "" : ": " + *m.paused),
            "queue/resume"};
  const auto need = next_need(m, job);
  if (!need) return backoff(m, job);
  if (!m.queue.may_go(job)) return running_jobs(job.owner->account);
  if (m.reservation && m.reservation->job == &job)
    return need->tasks > 1 ? gang(m, job, *need) : memory(m, job, *need);
  switch (obstacle_of(m, job, *need)) {
    case Obstacle::kUserLimit: return user_holdings(job.owner->account, *need);
    case Obstacle::kMemory: return memory(m, job, *need);
    case Obstacle::kGang: return gang(m, job, *need);
    case Obstacle::kReserved: return reserved(m);
    case Obstacle::kAvoided: return avoided(m, job, *need);
    case Obstacle::kNone:
    case Obstacle::kOwnCeiling:
    case Obstacle::kCores:
    case Obstacle::kWorkers: return cores(m, job);
  }
  return cores(m, job);
}

}  // namespace

Waiting explain(const Machine& m, const JobRun& job) {
  Reason reason = reason_of(m, job);
  return {std::move(reason.code), std::move(reason.message), job.waits_since,
          std::move(reason.unblocked_by), reason.expected};
}

}  // namespace polysome::core
