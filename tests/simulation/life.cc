#include "life.h"

#include <fmt/format.h>

#include <array>

#include "core/core_story.h"
#include "world.h"

namespace polysome::simulation {
namespace {

constexpr MonoTime kChaosMs = 20'000;
// In a calm world every job ends within this: the waiting bound of a small queue.
constexpr MonoTime kCalmMs = 3'600'000;
constexpr int kMostSteps = 100'000;

constexpr std::array kKinds{"JobSubmitted",
                            "JobRestored",
                            "CancelRequested",
                            "JobPatched",
                            "QueuePaused",
                            "QueueResumed",
                            "LimitsChanged",
                            "UsageKnown",
                            "DependencyKnown",
                            "ClusterStarted",
                            "ClusterStopped",
                            "ClusterScaled",
                            "AutoscaleChanged",
                            "WorkerDrainRequested",
                            "WorkerExcludeRequested",
                            "WorkerReadmitRequested",
                            "WorkerReady",
                            "WorkerLost",
                            "SlotLost",
                            "WorkerHeard",
                            "TaskStarted",
                            "TaskProgressed",
                            "TaskFinished",
                            "TaskFailed",
                            "OutputLost",
                            "Tick"};
static_assert(kKinds.size() == std::variant_size_v<core::Event>);

std::string detail(const core::Event& event) {
  struct Writer {
    std::string operator()(const core::JobSubmitted& e) const {
      return fmt::format(" {} of {}, {}{}", core::story::job_name(e.id), e.user, name(e.priority),
                         e.held ? ", held" : "");
    }
    std::string operator()(const core::JobRestored& e) const {
      return " " + core::story::job_name(e.job.id);
    }
    std::string operator()(const core::CancelRequested& e) const {
      return " " + core::story::job_name(e.job);
    }
    std::string operator()(const core::JobPatched& e) const {
      return fmt::format(" {}{}{}", core::story::job_name(e.job),
                         e.priority ? fmt::format(" {}", name(*e.priority)) : "",
                         e.held ? fmt::format(" held={}", *e.held) : "");
    }
    std::string operator()(const core::LimitsChanged& e) const {
      return " " + e.limits.to_json().dump();
    }
    std::string operator()(const core::AutoscaleChanged& e) const {
      return " " + e.policy.to_json().dump();
    }
    std::string operator()(const core::ClusterStarted& e) const {
      return fmt::format(" {} workers of {} slots", e.spec.n_workers, e.spec.threads_per_worker);
    }
    std::string operator()(const core::ClusterStopped& e) const { return e.force ? " force" : ""; }
    std::string operator()(const core::ClusterScaled& e) const {
      return fmt::format(" {}", e.n_workers);
    }
    std::string operator()(const core::WorkerDrainRequested& e) const {
      return " " + e.worker.text();
    }
    std::string operator()(const core::WorkerExcludeRequested& e) const {
      return fmt::format(" {} for {} ms", e.worker.text(), e.for_ms);
    }
    std::string operator()(const core::WorkerReadmitRequested& e) const {
      return " " + e.worker.text();
    }
    std::string operator()(const core::WorkerReady& e) const { return " " + e.worker.text(); }
    std::string operator()(const core::WorkerLost& e) const {
      return fmt::format(" {} by_kill={}", e.worker.text(), e.by_kill);
    }
    std::string operator()(const core::SlotLost& e) const {
      return fmt::format(" {}.{} by_kill={} out_of_memory={}", e.worker.text(), e.slot, e.by_kill,
                         e.out_of_memory);
    }
    std::string operator()(const core::WorkerHeard& e) const { return " " + e.worker.text(); }
    std::string operator()(const core::TaskStarted& e) const { return " #" + e.attempt.text(); }
    std::string operator()(const core::TaskProgressed& e) const { return " #" + e.attempt.text(); }
    std::string operator()(const core::TaskFinished& e) const {
      return " #" + e.result.attempt.text();
    }
    std::string operator()(const core::TaskFailed& e) const {
      return fmt::format(" #{} {}", e.failure.attempt.text(), info(e.failure.error.code).name);
    }
    std::string operator()(const core::OutputLost& e) const {
      return fmt::format(" #{} misses {}/{}/{}", e.reader.text(), core::story::job_name(e.task.job),
                         e.task.stage, e.task.index);
    }
    std::string operator()(const core::QueuePaused&) const { return ""; }
    std::string operator()(const core::QueueResumed&) const { return ""; }
    std::string operator()(const core::UsageKnown&) const { return ""; }
    std::string operator()(const core::DependencyKnown& e) const {
      return fmt::format(" {} {}", core::story::job_name(e.job), name(e.status));
    }
    std::string operator()(const core::Tick&) const { return ""; }
  };
  return std::visit(Writer{}, event);
}

// Commands differ in kind and in the numbers of attempts and workers.
std::uint64_t fingerprint_of(const core::Command& command) {
  if (const auto* c = std::get_if<core::StartTask>(&command))
    return hash(c->attempt.n * 64 + c->worker.n, c->task.index * 8 + c->task.stage);
  return command.index();
}

}  // namespace

std::string_view kind_of(const core::Event& event) { return kKinds[event.index()]; }

Life::Life(std::uint64_t seed, Telling telling, Met& met)
    : random_(seed),
      telling_(telling),
      met_(met),
      judge_(store_, met),
      core_(config(), seed),
      cluster_(
          time_, random_, [this](const core::Event& e) { step(e); },
          [this](const core::StartTask& t) { return outcome(t); }),
      // Every third life is killed after its first event of some kind, another kind each time.
      restart_after_(seed % 3 == 0 ? seed / 3 % kKinds.size() : kKinds.size()) {}

core::Config Life::config() {
  core::Config c;
  c.epoch = ++epoch_;
  c.retry_delay_ms = 200;
  judge_.service_began(c.epoch);
  return c;
}

MonoTime Life::at_random() { return 1000 + static_cast<MonoTime>(pick(kChaosMs - 1000)); }

void Life::note(const std::string& line) {
  if (!telling_.story) return;
  story_.push_back(fmt::format("{:7} {}", time_.now(), line));
  if (story_.size() > 500) story_.pop_front();
}

void Life::run() {
  if (pick(2) == 0) change_limits();
  for (auto jobs = 1 + pick(6); jobs > 0; --jobs)
    time_.at(at_random(), [this] { submit(++submitted_); });
  time_.at(at_random() / 4, [this] { start(); });
  for (auto n = pick(12); n > 0; --n) time_.at(at_random(), [this] { interfere(); });
  run_until([this] { return time_.now() >= kChaosMs; });
  if (failed()) return;
  calm_down();
  const MonoTime calm_since = time_.now();
  run_until([this] { return core_.active_jobs().empty(); });
  if (failed()) return;
  check_everything();
  judge_.judge_end(core_);
  if (time_.now() - calm_since > kCalmMs)
    judge_.broken.push_back(
        fmt::format("the jobs took {} ms in a calm world", time_.now() - calm_since));
}

// Nothing goes wrong any more, and nobody keeps jobs from running.
void Life::calm_down() {
  note("THE WORLD IS CALM");
  chaos_ = false;
  cluster_.set_chaos(false);
  step(core::QueueResumed{});
  step(core::LimitsChanged{});
  for (const auto& [id, kept] : std::map(store_.jobs))
    if (kept.spec.held && kept.ends == 0) step(core::JobPatched{id, std::nullopt, false});
  for (const auto& worker : core_.cluster().workers) step(core::WorkerReadmitRequested{worker.id});
  if (pick(2) == 0) {
    step(core::AutoscaleChanged{});
  } else {
    AutoscalePolicy policy{true, kLargestGang, 8};
    step(core::AutoscaleChanged{policy});
  }
  start();
  step(core::ClusterScaled{kLargestGang + static_cast<int>(pick(3))});
}

void Life::run_until(const std::function<bool()>& reached) {
  for (int n = 0; !reached() && !failed(); ++n) {
    if (n > kMostSteps) return note_stuck();
    if (restart_due_) {
      restart_due_ = false;
      restart();
      continue;
    }
    const auto event = time_.next();
    const auto deadline = core_.next_deadline();
    if (!event && !deadline) return judge_.broken.push_back("nothing is due any more");
    if (!event || (deadline && *deadline < *event)) {
      time_.pass_to(*deadline);
      step(core::Tick{});
    } else {
      time_.run_next();
    }
  }
}

void Life::note_stuck() {
  std::string what = "it does not come to an end:";
  for (const auto id : core_.active_jobs()) {
    const auto view = *core_.job(id, time_.now());
    what += fmt::format(" job {} is {}{}", core::story::job_name(id), name(view.phase),
                        view.waiting ? ": " + view.waiting->message : "");
  }
  for (const auto& worker : core_.cluster().workers)
    what += fmt::format(" {} is {}", worker.id.text(), worker.status);
  judge_.broken.push_back(what);
}

void Life::step(const core::Event& event) {
  if (failed()) return;
  ++steps_;
  ++met_[std::string(kind_of(event))];
  // Now and then the clock has been set back.
  const MonoTime now = time_.now() - (one_in(200) ? static_cast<MonoTime>(pick(20'000)) : 0);
  const auto commands = core_.step(event, now);
  const bool dull = commands.empty() && (std::holds_alternative<core::WorkerHeard>(event) ||
                                         std::holds_alternative<core::Tick>(event));
  if (telling_.story && !dull) note(fmt::format("{}{}", kind_of(event), detail(event)));
  for (const auto& command : commands) {
    fingerprint_ = hash(fingerprint_, fingerprint_of(command));
    if (!telling_.story) continue;
    const std::string line = core::story::line(command);
    if (!line.empty()) note("  " + line);
  }
  judge_.judge(event, commands, core_, time_.now());
  for (const auto& command : commands) cluster_.carry_out(command);
  for (const auto& b : cluster_.broken()) judge_.broken.push_back(b);
  if (steps_ % telling_.check_every == 0) check_everything();
  for (const auto& b : judge_.broken) note("BROKEN: " + b);
  if (chaos_ && event.index() == restart_after_) {
    restart_after_ = kKinds.size();
    restart_due_ = true;
  }
}

void Life::check_everything() {
  if (!restoring_) judge_.judge_everything(core_, time_.now());
}

// The service is killed and comes back with what its store had committed.
void Life::restart() {
  note("THE SERVICE IS KILLED");
  check_everything();
  ++met_["restart"];
  const core::UsageKnown usage{core_.fair_usage(time_.now())};
  cluster_.end_all();
  store_.lose_newest(pick(3));
  core_ = core::Core(config(), random_());
  restoring_ = true;
  if (pick(4) > 0) step(usage);
  if (store_.paused) step(core::QueuePaused{*store_.paused});
  step(core::LimitsChanged{store_.limits});
  step(core::AutoscaleChanged{store_.autoscale});
  for (auto& [id, kept] : store_.jobs)
    if (kept.ends > 0) step(core::DependencyKnown{id, kept.status});
  for (auto& [id, kept] : store_.jobs) {
    if (kept.ends > 0) continue;
    kept.shown = JobStatus::kPending;
    step(store_.restored(kept, time_.now()));
  }
  restoring_ = false;
  check_everything();
  start();
}

core::Outcome Life::outcome(const core::StartTask& task) {
  const Kept& kept = store_.jobs.at(task.task.job);
  core::Outcome o = good_outcome(kept, task);
  if (one_in(60)) o.duration_ms *= 50;
  if (runs_out_of_memory(kept, task, o) || !chaos_) return o;
  using Kind = core::Outcome::Kind;
  if (one_in(30)) o.kind = Kind::kFail;
  if (one_in(60)) o.kind = Kind::kSlotCrash;
  if (one_in(60)) o.kind = Kind::kSlotKilled;
  if (one_in(150)) o.kind = one_in(2) ? Kind::kWorkerKilled : Kind::kWorkerCrash;
  if (one_in(150)) o.kind = Kind::kWorkerHang;
  if (one_in(300)) o.kind = Kind::kWorkerMute;
  if (one_in(50) && task.task.stage > 1 && !kept.finished[task.task.stage - 1].empty()) {
    const auto index = kept.finished[task.task.stage - 1].begin()->first;
    o.kind = Kind::kOutputLost;
    o.lost = {task.attempt, {task.task.job, task.task.stage - 1, index}, "simulated"};
  }
  if (o.kind != Kind::kFinish) ++met_["an attempt that goes wrong"];
  return o;
}

}  // namespace polysome::simulation
