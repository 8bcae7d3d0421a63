#include "core/stragglers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "core/task_flow.h"

namespace polysome::core {
namespace {

constexpr MonoTime kWatchMs = 1000;
// A second attempt costs a slot and a start: shorter tasks are not worth it.
constexpr double kLeastAgeMs = 2000;
constexpr double kTimesMedian = 3;
constexpr double kTimesP95 = 1.5;
// What is left of the first must be so much longer than a whole new attempt.
constexpr double kRestOverNew = 1.5;
// A part read below this says nothing about speed.
constexpr double kLeastPart = 0.05;

constexpr std::uint32_t kStallSamples = 5;
constexpr double kStallTimesP95 = 5;
constexpr MonoTime kLeastStallMs = 30'000;
constexpr MonoTime kStallUnknownMs = 600'000;

// Tasks of a kind that may be run twice: parts of a stage, alone in what they write.
bool may_have_twin(const StageRun& stage) {
  return !stage.final && !stage.gang && stage.kind != StageKind::kPlanner &&
         stage.kind != StageKind::kSingle;
}

SlowTask slow_task(const Machine& m, const Attempt& a) {
  const StageRun& stage = a.job->stages[a.stage];
  SlowTask task;
  task.age = static_cast<double>(m.now - a.since);
  task.median = stage.duration.median_ms();
  task.p95 = stage.duration.quantile_ms(0.95);
  if (stage.progress.share() > 0)
    task.done =
        std::min(1.0, static_cast<double>(a.bytes) / static_cast<double>(stage.progress.share()));
  return task;
}

struct Candidate {
  double rest = 0;
  Attempt* attempt = nullptr;
};

std::vector<Candidate> candidates(Machine& m) {
  std::vector<Candidate> list;
  for (auto& [n, a] : m.attempts) {
    if (!a.running || a.taken_back || a.superseded || a.twin != 0) continue;
    if (a.job->ending || a.job->spec.held) continue;
    const StageRun& stage = a.job->stages[a.stage];
    if (stage.duration.samples() < kStragglerSamples || !may_have_twin(stage)) continue;
    const SlowTask task = slow_task(m, a);
    if (pays_twice(task)) list.push_back({expected_rest_ms(task), &a});
  }
  std::ranges::sort(list, [](const Candidate& a, const Candidate& b) {
    return a.rest != b.rest ? a.rest > b.rest : a.attempt->n < b.attempt->n;
  });
  return list;
}

void double_stragglers(Machine& m) {
  // What waits for a slot goes first.
  if (m.queue.has_runnable() || m.resources.idle_slots() == 0) return;
  std::size_t twins = 0;
  std::map<const JobRun*, std::size_t> of_job;
  for (const auto& [n, a] : m.attempts)
    if (a.twin != 0 && a.twin < n) ++twins, ++of_job[a.job];
  for (const auto& [rest, first] : candidates(m)) {
    if (twins >= kMostTwins) return;
    if (of_job[first->job] >= kMostTwinsOfJob) continue;
    Reservation first_worker;  // its own worker is closed to the second attempt
    first_worker.spots.push_back({.worker = first->worker->id.n});
    const Fit fit = m.resources.find(*first->job, first->grant, {&first_worker, false});
    if (fit.worker == nullptr || fit.worker->aside != Aside::kNo) continue;
    const auto idle =
        std::ranges::find_if(fit.worker->slots, [](const Slot& s) { return s.queue.empty(); });
    start_twin(m, *first, *fit.worker, static_cast<int>(idle - fit.worker->slots.begin()));
    ++twins, ++of_job[first->job];
  }
}

bool stalled(const Attempt& a, MonoTime now) {
  return a.running && !a.taken_back && !a.job->ending &&
         now - a.moved >= stall_after_ms(a.job->stages[a.stage].duration);
}

Stall describe(const Attempt& a, MonoTime now) {
  const StageRun& stage = a.job->stages[a.stage];
  Stall stall;
  stall.task = a.job->task_name(a.stage, a.index);
  stall.worker = a.worker->id.text();
  stall.since = a.moved;
  const auto quiet = static_cast<double>(now - a.moved) / 1000;
  stall.message =
      stage.duration.samples() >= kStallSamples
          ? fmt::format(
                "{} on {} has shown no progress for {:.0f} s; the others of its stage took "
                "{:.1f} s (19 of 20 at most {:.1f} s).",
                stall.task, stall.worker, quiet, stage.duration.median_ms() / 1000,
                stage.duration.quantile_ms(0.95) / 1000)
          : fmt::format("{} on {} has shown no progress for {:.0f} s.", stall.task, stall.worker,
                        quiet);
  if (a.twin != 0) stall.message += " It is being run a second time on another worker.";
  return stall;
}

void tell_stalls(Machine& m) {
  std::vector<Attempt*> fresh;
  for (auto& [n, a] : m.attempts)
    if (!a.told_stalled && stalled(a, m.now)) fresh.push_back(&a);
  std::ranges::sort(fresh, {}, &Attempt::n);
  for (Attempt* a : fresh) {
    a->told_stalled = true;
    const Stall stall = describe(*a, m.now);
    m.out.push_back(Announce{"job.stalled",
                             {{"job_id", a->job->id().text()},
                              {"task", stall.task},
                              {"worker", stall.worker},
                              {"quiet_seconds", static_cast<double>(m.now - a->moved) / 1000},
                              {"message", stall.message}}});
    a->job->progressed = true;
    m.touch(*a->job);
  }
}

}  // namespace

double expected_rest_ms(const SlowTask& task) {
  if (task.done < kLeastPart) return task.age;
  return task.age * (1 - task.done) / task.done;
}

bool pays_twice(const SlowTask& task) {
  return task.age >= kLeastAgeMs && task.age > kTimesMedian * task.median &&
         task.age > kTimesP95 * task.p95 &&
         expected_rest_ms(task) > kRestOverNew * std::max(task.median, kLeastAgeMs / 2);
}

MonoTime stall_after_ms(const TaskDuration& duration) {
  if (duration.samples() < kStallSamples) return kStallUnknownMs;
  return std::max(kLeastStallMs,
                  static_cast<MonoTime>(kStallTimesP95 * duration.quantile_ms(0.95)));
}

void watch_tasks(Machine& m) {
  m.watch_armed = false;
  double_stragglers(m);
  tell_stalls(m);
}

void arm_watch(Machine& m) {
  if (m.watch_armed || m.attempts.empty()) return;
  m.watch_armed = true;
  m.timers.arm(m.now + kWatchMs, TimerKind::kWatch);
}

std::optional<Stall> stall_of(const Machine& m, const JobRun& job, MonoTime now) {
  const Attempt* longest = nullptr;
  for (const auto& [worker, number] : job.slots) {
    const auto& queue = worker->slots[static_cast<std::size_t>(number)].queue;
    if (queue.empty()) continue;
    const Attempt& a = m.attempts.at(queue.front());
    if (stalled(a, now) && (longest == nullptr || a.moved < longest->moved)) longest = &a;
  }
  return longest == nullptr ? std::nullopt : std::optional(describe(*longest, now));
}

}  // namespace polysome::core
