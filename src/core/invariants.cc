#include "core/invariants.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/explain.h"
#include "core/job_scheduler.h"

namespace polysome::core {
namespace {

class Checker {
 public:
  explicit Checker(const Machine& m) : m_(m) {}

  std::vector<std::string> run() {
    check_workers();
    check_attempts();
    std::uint64_t ready = 0;
    std::size_t running = 0, pending = 0;
    for (const auto& [id, job] : m_.jobs) {
      check_job(*job);
      ready += job->ready;
      if (job->status == JobStatus::kRunning) ++running;
      if (job->status == JobStatus::kPending) ++pending;
    }
    expect(ready == m_.ready_tasks, "ready tasks are miscounted");
    expect(running == m_.running_jobs, "running jobs are miscounted");
    expect(pending == m_.queue.pending(), "pending jobs are miscounted");
    check_users();
    check_order();
    check_reservation();
    check_nothing_idles();
    return std::move(broken_);
  }

 private:
  template <class... Args>
  void expect(bool holds, fmt::format_string<Args...> text, Args&&... args) {
    if (!holds) broken_.push_back(fmt::format(text, std::forward<Args>(args)...));
  }

  void check_workers() {
    std::uint32_t behind = 0;
    for (const auto& [n, worker] : m_.resources.workers()) {
      std::uint64_t granted = 0;
      int busy = 0;
      for (const auto& slot : worker.slots) {
        granted += slot.grant;
        expect((slot.job == nullptr) == slot.queue.empty(), "w{}: an empty slot has a job", n);
        expect(slot.queue.size() <= static_cast<std::size_t>(m_.config.prefetch) + 1,
               "w{}: {} attempts in one slot", n, slot.queue.size());
        if (slot.queue.empty()) continue;
        ++busy;
        behind += static_cast<std::uint32_t>(slot.queue.size()) - 1;
        for (const auto attempt : slot.queue)
          expect(m_.attempts.contains(attempt), "w{}: attempt {} is unknown", n, attempt);
      }
      expect(granted == worker.granted, "w{}: granted memory is miscounted", n);
      expect(granted <= worker.memory_limit, "w{}: {} bytes granted of {}", n, granted,
             worker.memory_limit);
      expect(busy == worker.busy, "w{}: busy slots are miscounted", n);
      check_aside(worker);
      expect(busy == 0 || worker.state == WorkerState::kReady ||
                 worker.state == WorkerState::kDraining,
             "w{}: has tasks though it starts or stops", n);
    }
    expect(behind == m_.resources.queued_behind(), "queued attempts are miscounted");
  }

  void check_attempts() {
    for (const auto& [n, a] : m_.attempts) {
      const auto& queue = a.worker->slots[static_cast<std::size_t>(a.slot)].queue;
      expect(std::ranges::count(queue, n) == 1, "attempt {} is not in its slot", n);
      if (a.superseded) {
        expect(a.taken_back && a.twin == 0, "attempt {} is of no use and not taken back", n);
        continue;
      }
      const auto& active = a.job->stages[a.stage].active;
      const auto it = active.find(a.index);
      expect(it != active.end() && (it->second == n || it->second == a.twin),
             "attempt {} is not one of its task's two", n);
      expect(!a.job->stages[a.stage].is_finished(a.index), "attempt {} of a finished task", n);
      if (a.twin != 0) check_twins(n, a);
    }
  }

  // A task has at most two attempts, and then on different workers.
  void check_twins(std::uint64_t n, const Attempt& a) {
    const auto it = m_.attempts.find(a.twin);
    expect(it != m_.attempts.end(), "attempt {}: its twin is gone", n);
    if (it == m_.attempts.end()) return;
    const Attempt& twin = it->second;
    expect(twin.twin == n && twin.job == a.job && twin.stage == a.stage && twin.index == a.index,
           "attempts {} and {} are no twins", n, a.twin);
    expect(twin.worker != a.worker, "attempts {} and {} are on one worker", n, a.twin);
  }

  // What is set aside gets nothing new; what is probed one attempt.
  void check_aside(const Worker& worker) {
    if (worker.aside == Aside::kNo) return;
    std::size_t since = 0;
    for (const auto& slot : worker.slots)
      since += static_cast<std::size_t>(
          std::ranges::count_if(slot.queue, [&](auto n) { return n > worker.aside_after; }));
    expect(since <= (worker.aside == Aside::kProbed ? 1U : 0U),
           "{}: is set aside and was given {} attempts", worker.id.text(), since);
    expect(since == 0 || worker.busy == 1, "{}: is probed with more than its probe",
           worker.id.text());
  }

  // Those that are not in their stage's `active`: second ones, and superseded ones.
  std::uint32_t extra_attempts(const JobRun& job) const {
    std::uint32_t extra = 0;
    for (const auto& [worker, number] : job.slots)
      for (const auto n : worker->slots[static_cast<std::size_t>(number)].queue) {
        const Attempt& a = m_.attempts.at(n);
        if (a.superseded || (a.twin != 0 && a.twin < n)) ++extra;
      }
    return extra;
  }

  void check_job(const JobRun& job) {
    const std::string id = job.id().text();
    expect(!is_final(job.status), "{}: ended but still there", id);
    expect(!job.ending || job.active > 0, "{}: has nothing to wait for and does not end", id);
    expect(job.status == JobStatus::kRunning || job.active == 0, "{}: pending with attempts", id);
    expect((m_.queue.position(job) > 0) == (job.status == JobStatus::kPending),
           "{}: is wrongly in or out of the queue", id);
    expect(job.in_runnable == job.runnable(), "{}: is wrongly among the runnable", id);
    expect(job.waiting_from.has_value() == (job.in_runnable && job.slots.empty()),
           "{}: ages wrongly or not", id);
    expect(!job.waiting_from || *job.waiting_from <= m_.queue.served(), "{}: ages from later on",
           id);
    expect(!job.parked || !job.slots.empty(), "{}: parked with nothing to wait for", id);
    expect(job.progress.percent() < 100, "{}: progress of 100 before its end", id);
    std::uint64_t ready = 0;
    std::uint32_t active = extra_attempts(job), backing_off = 0, incomplete = 0;
    for (const auto& stage : job.stages) {
      check_stage(id, job, stage);
      ready += stage.ready();
      active += static_cast<std::uint32_t>(stage.active.size());
      backing_off += stage.backing_off;
      incomplete += stage.complete ? 0 : 1;
    }
    expect(ready == job.ready, "{}: ready tasks are miscounted", id);
    expect(active == job.active, "{}: attempts are miscounted", id);
    expect(backing_off == job.backing_off, "{}: backing off is miscounted", id);
    expect(incomplete == job.incomplete && (incomplete > 0 || job.ending),
           "{}: complete stages are miscounted", id);
    expect(job.ready + job.active + job.backing_off > 0 || job.ending, "{}: is stuck", id);
    check_ceilings(id, job);
    if (job.status != JobStatus::kPending) return;
    const Waiting waiting = explain(m_, job);
    expect(!waiting.code.empty() && !waiting.message.empty(), "{}: waits without a reason", id);
  }

  void check_stage(const std::string& id, const JobRun& job, const StageRun& stage) {
    const std::uint64_t sum = stage.fresh + stage.again.size() + stage.backing_off +
                              stage.active.size() + stage.progress.done;
    expect(sum == stage.tasks(), "{} {}: {} of {} tasks accounted for", id, stage.name, sum,
           stage.tasks());
    const auto finished = static_cast<std::uint32_t>(std::ranges::count(stage.finished, true));
    expect(finished == stage.progress.done, "{} {}: finished tasks are miscounted", id, stage.name);
    expect(stage.complete == (stage.progress.done == stage.tasks()),
           "{} {}: wrongly complete or not", id, stage.name);
    std::uint32_t blockers = 0;
    for (const auto& before : job.stages)
      if (!before.complete && std::ranges::count(before.dependents, stage.number) > 0) ++blockers;
    expect(blockers == stage.blockers, "{} {}: blockers are miscounted", id, stage.name);
    if (stage.gang && !job.ending) check_gang(id, stage);
    std::uint64_t running = 0;
    for (const auto& [index, n] : stage.active) running += m_.attempts.at(n).bytes;
    expect(running == stage.progress.bytes_running, "{} {}: bytes are miscounted", id, stage.name);
  }

  // A gang runs whole or not at all; while it disbands, what still runs has been taken back.
  void check_gang(const std::string& id, const StageRun& stage) {
    if (stage.active.empty()) return;
    if (!stage.disbanding) {
      expect(stage.active.size() + stage.progress.done == stage.tasks(),
             "{} {}: {} of a gang of {} run", id, stage.name, stage.active.size(), stage.tasks());
      return;
    }
    for (const auto& [index, n] : stage.active) {
      const Attempt& a = m_.attempts.at(n);
      expect(a.taken_back, "{} {}: half a gang runs on", id, stage.name);
    }
  }

  // What is kept for a job is kept for one that waits for it, on workers there are.
  void check_reservation() {
    if (!m_.reservation) return;
    const Reservation& r = *m_.reservation;
    expect(std::ranges::any_of(m_.jobs, [&](const auto& j) { return j.second.get() == r.job; }),
           "a reservation for a job that is gone");
    std::uint32_t tasks = 0;
    for (const auto& spot : r.spots) {
      tasks += static_cast<std::uint32_t>(spot.tasks);
      expect(spot.spare_slots >= 0, "w{}: fewer than no slots to spare", spot.worker);
    }
    expect(tasks == r.need.tasks, "a reservation for {} of {} tasks", tasks, r.need.tasks);
  }

  void check_ceilings(const std::string& id, const JobRun& job) {
    const JobLimits& limits = job.spec.limits;
    std::uint64_t memory = 0;
    std::map<std::uint32_t, int> on;
    for (const auto& [worker, number] : job.slots) {
      const Slot& slot = worker->slots[static_cast<std::size_t>(number)];
      expect(slot.job == &job, "{}: counts a slot that is not its own", id);
      memory += slot.grant;
      ++on[worker->id.n];
    }
    expect(memory == job.memory_held && on == job.slots_on, "{}: holdings are miscounted", id);
    expect(!limits.max_cores || job.slots.size() <= static_cast<std::size_t>(*limits.max_cores),
           "{}: {} cores, max_cores {}", id, job.slots.size(), limits.max_cores.value_or(0));
    expect(!limits.max_memory || memory <= *limits.max_memory, "{}: {} bytes, max_memory {}", id,
           memory, limits.max_memory.value_or(0));
    expect(!limits.n_workers || on.size() <= static_cast<std::size_t>(*limits.n_workers),
           "{}: {} workers, n_workers {}", id, on.size(), limits.n_workers.value_or(0));
  }

  // What users hold is what their jobs hold; limits are kept, except by what was held before.
  void check_users() {
    struct Sum {
      std::size_t pending = 0, running = 0;
      int cores = 0;
      std::uint64_t memory = 0;
    };
    std::map<std::string, Sum> sums;
    for (const auto& [id, job] : m_.jobs) {
      Sum& sum = sums[job->spec.user];
      if (job->status == JobStatus::kPending) ++sum.pending;
      if (job->status == JobStatus::kRunning) ++sum.running;
      sum.cores += static_cast<int>(job->slots.size());
      sum.memory += job->memory_held;
    }
    for (const auto& [name, user] : m_.queue.users()) {
      const Account& a = user.account;
      const Sum sum = sums[name];
      expect(sum.pending == a.pending_jobs && sum.running == a.running_jobs,
             "user {}: jobs are miscounted", name);
      expect(sum.cores == a.cores && sum.memory == a.memory, "user {}: holdings are miscounted",
             name);
      expect(a.used >= 0, "user {}: negative usage", name);
      if (a.limits.max_cores)
        expect(a.cores <= std::max(*a.limits.max_cores, a.excused_cores),
               "user {}: {} cores, max_cores {}", name, a.cores, *a.limits.max_cores);
      if (a.limits.max_memory)
        expect(a.memory <= std::max(*a.limits.max_memory, a.excused_memory),
               "user {}: {} bytes, max_memory {}", name, a.memory, *a.limits.max_memory);
    }
  }

  // No lane stands before one of a higher level or, within a level, of a smaller share; and what
  // waits longest is never below the level that its wait earned.
  void check_order() {
    const Lane* before = nullptr;
    for (const Lane* lane : m_.queue.order()) {
      const JobRun& head = *lane->head;
      expect(head.in_runnable, "{}: heads a lane but can't run", head.id().text());
      if (before != nullptr)
        expect(before->level > lane->level ||
                   (before->level == lane->level && before->rank <= lane->rank),
               "{}: stands before its turn", before->head->id().text());
      expect(m_.queue.age(head) < kLongestAgeingMs || m_.queue.level(head) == kHighestLevel,
             "{}: waited {} ms and is not at the top", head.id().text(), m_.queue.age(head));
      before = lane;
    }
  }

  // Work-conserving: the first runnable job's next task fits nowhere that is not kept for another,
  // or it would have been placed.
  void check_nothing_idles() {
    const Lane* first = m_.queue.first();
    if (first == nullptr) return;
    const JobRun& job = *first->head;
    const auto need = next_need(m_, job);
    expect(need.has_value(), "{}: runnable without a ready task", job.id().text());
    if (need)
      expect(obstacle_of(m_, job, *need) != Obstacle::kNone, "{}: could run, but does not",
             job.id().text());
  }

  const Machine& m_;
  std::vector<std::string> broken_;
};

}  // namespace

std::vector<std::string> broken_invariants(const Machine& m) { return Checker(m).run(); }

}  // namespace polysome::core
