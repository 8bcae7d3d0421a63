// Is the p90 a p90? Hundreds of seeded jobs of different shapes run in virtual time; each is asked
// for its ETA at a few moments, and when it has ended it is known how many of those promises held.
// POLYSOME_ETA_SEEDS=first-last runs others and prints the table.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <set>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::job_id;
using story::stage;

enum class Shape : std::uint8_t {
  kEven,      // many tasks of nearly one length
  kSkewed,    // a few take far longer
  kStages,    // scan, combine, merge
  kFew,       // hardly more tasks than cores; they tell their bytes
  kDrifting,  // the machine becomes slower and faster
  kFaults,    // attempts fail and are tried again, a worker is killed
};
constexpr std::array<std::string_view, 6> kShapes{"even", "skewed",   "stages",
                                                  "few",  "drifting", "faults"};

struct Promise {
  MonoTime at = 0;
  double p50 = 0, p90 = 0;
};

class Trial {
 public:
  explicit Trial(std::uint64_t seed)
      : random_(seed), shape_(static_cast<Shape>(seed % kShapes.size())) {}

  // Promises made at random moments of the job's life, and when it ended.
  MonoTime run() {
    workers_ = 1 + static_cast<int>(random_() % 4);
    threads_ = 1 + static_cast<int>(random_() % 4);
    task_ms_ = std::exp(between(std::log(300.0), std::log(20'000.0)));
    spread_ = shape_ == Shape::kSkewed ? between(0.7, 1.1) : between(0.05, 0.4);
    const int cores = workers_ * threads_;
    std::uint32_t tasks = static_cast<std::uint32_t>(cores * between(3, 30)) + 10;
    if (shape_ == Shape::kFew) tasks = 1 + static_cast<std::uint32_t>(cores * between(0.5, 2));
    combine_ = std::exp(0.5 * normal());
    plan_ = plan(tasks);
    step(ClusterStarted{{workers_, threads_, 2'000'000'000}});
    JobSubmitted job;
    job.id = job_id(1);
    job.limits.max_attempts = 10;
    step(job);
    beat();
    if (shape_ == Shape::kFaults)
      at(static_cast<MonoTime>(task_ms_ * tasks / cores * between(0.1, 0.9)), [this] { kill(); });
    while (!ended_) {
      const auto due = core_.next_deadline();
      if (due && (queue_.empty() || *due <= queue_.begin()->first)) {
        now_ = std::max(now_, *due);
        step(Tick{});
        continue;
      }
      now_ = std::max(now_, queue_.begin()->first);
      const auto action = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
      action();
    }
    return *ended_;
  }
  Shape shape() const { return shape_; }
  const std::vector<Promise>& promises() const { return promises_; }
  std::optional<MonoTime> first() const { return first_; }

 private:
  void at(MonoTime delay, std::function<void()> action) {
    queue_.emplace(now_ + std::max<MonoTime>(delay, 0), std::move(action));
  }
  double chance() { return static_cast<double>(random_() >> 11) * 0x1.0p-53; }
  double between(double least, double most) { return least + (most - least) * chance(); }
  double normal() {
    return std::sqrt(-2 * std::log(1 - chance())) * std::cos(6.283185307 * chance());
  }

  std::vector<Stage> plan(std::uint32_t tasks) {
    Stage scan = stage("scan", tasks);
    scan.bytes = 50'000'000ULL * tasks;
    if (shape_ != Shape::kStages) return {scan, final_stage({"scan"})};
    Stage combine = stage("combine", std::max(1U, tasks / 6), {"scan"});
    combine.kind = StageKind::kCombine;
    combine.bytes = scan.bytes / 4;
    return {scan, combine, final_stage({"combine"})};
  }

  // Every second: heartbeats, and what running tasks have read. The view is asked for every time;
  // one in eight is a promise that is kept account of.
  void beat() {
    for (const auto& w : core_.cluster().workers)
      if (w.status != "starting") step(WorkerHeard{w.id, 1, 1});
    // The machine's speed wanders when the shape says so.
    if (shape_ == Shape::kDrifting) speed_ = std::exp(0.98 * std::log(speed_) + 0.03 * normal());
    for (const auto& [attempt, span] : running_) {
      const double done =
          static_cast<double>(now_ - span.first) / static_cast<double>(span.second - span.first);
      step(TaskProgressed{attempt, static_cast<std::uint64_t>(50e6 * std::min(done, 1.0)), 0});
    }
    const auto view = core_.job(job_id(1), now_);
    if (view && view->eta_seconds) {
      if (!first_) first_ = now_;
      if (random_() % 8 == 0)
        promises_.push_back({now_, *view->eta_seconds, *view->eta_p90_seconds});
    }
    at(1000, [this] { beat(); });
  }

  void kill() {
    const auto cluster = core_.cluster();
    if (cluster.workers.empty()) return;
    const WorkerId id = cluster.workers[random_() % cluster.workers.size()].id;
    gone_.insert(id);
    step(WorkerLost{id, true, "signal 9"});
  }

  void step(const Event& event) {
    for (const auto& command : core_.step(event, now_)) take(command);
  }

  void take(const Command& command) {
    if (const auto* c = std::get_if<StartWorker>(&command))
      at(500, [this, id = c->worker] { step(WorkerReady{id, 1}); });
    if (const auto* c = std::get_if<StartTask>(&command)) start(*c);
    if (const auto* c = std::get_if<CancelTask>(&command))
      at(5, [this, id = c->attempt] { answer_cancel(id); });
    if (std::get_if<JobEnded>(&command) != nullptr) ended_ = now_;
  }

  void answer_cancel(AttemptId id) {
    over_.insert(id);
    running_.erase(id);
    TaskFailed failed;
    failed.failure.attempt = id;
    failed.failure.error = Error(Code::kCancelled, "cancelled");
    step(failed);
  }

  // A slot runs its tasks one after the other.
  void start(const StartTask& c) {
    double ms = c.stage_name == "plan" ? 200 : task_ms_;
    if (c.stage_name == "merge") ms = task_ms_ * between(0.05, 0.5);
    if (c.stage_name == "combine") ms = task_ms_ * 1.5 * combine_;
    if (c.stage_name != "plan") ms *= std::exp(spread_ * normal() - spread_ * spread_ / 2);
    const auto took = std::max<MonoTime>(1, static_cast<MonoTime>(ms * speed_));
    MonoTime& free = free_at_[{c.worker.n, c.slot}];
    const MonoTime begins = std::max(free, now_) + 2;
    free = begins + took;
    at(begins - now_, [this, c, begins, ends = free] {
      if (gone_.contains(c.worker) || over_.contains(c.attempt)) return;
      running_[c.attempt] = {begins, ends};
      step(TaskStarted{c.attempt});
    });
    at(free - now_, [this, c, took] { finish(c, took); });
  }

  void finish(const StartTask& c, MonoTime took) {
    running_.erase(c.attempt);
    if (gone_.contains(c.worker) || over_.contains(c.attempt)) return;
    if (shape_ == Shape::kFaults && c.stage_name == "scan" && random_() % 60 == 0) {
      TaskFailed failed;
      failed.failure.attempt = c.attempt;
      failed.failure.error = Error(Code::kIo, "simulated");
      return step(failed);
    }
    TaskFinished f;
    f.result.attempt = c.attempt;
    f.result.wall_seconds = static_cast<double>(took) / 1000;
    if (c.stage_name == "plan") f.fragment = Fragment{plan_, Json::array()};
    step(f);
  }

  std::mt19937_64 random_;
  Shape shape_;
  Core core_{Config{}, 1};
  MonoTime now_ = 0;
  int workers_ = 1, threads_ = 1;
  double task_ms_ = 0, spread_ = 0, speed_ = 1;
  double combine_ = 1;  // how much dearer a later stage is than its bytes say
  std::vector<Stage> plan_;
  std::multimap<MonoTime, std::function<void()>> queue_;
  std::map<std::pair<std::uint32_t, int>, MonoTime> free_at_;
  std::map<AttemptId, std::pair<MonoTime, MonoTime>> running_;
  std::set<AttemptId> over_;
  std::set<WorkerId> gone_;
  std::vector<Promise> promises_;
  std::optional<MonoTime> first_, ended_;
};

struct Held {
  double runs = 0, p50 = 0, p90 = 0, width = 0, unknown = 0;
  void add(const Held& other) {
    runs += other.runs, p50 += other.p50, p90 += other.p90, width += other.width;
    unknown += other.unknown;
  }
};

// One run counts once, however often it was asked.
Held held_of(const Trial& trial, MonoTime ended) {
  if (trial.promises().empty()) return {};
  Held h;
  double p50 = 0, p90 = 0;
  for (const auto& p : trial.promises()) {
    const double left = static_cast<double>(ended - p.at) / 1000;
    h.p50 += left <= p.p50 ? 1 : 0;
    h.p90 += left <= p.p90 ? 1 : 0;
    p50 += p.p50, p90 += p.p90;
  }
  const auto n = static_cast<double>(trial.promises().size());
  const double unknown =
      static_cast<double>(trial.first().value_or(ended)) / static_cast<double>(ended);
  return {1, h.p50 / n, h.p90 / n, p90 / std::max(p50, 0.001), unknown};
}

TEST(EtaCalibration, TheP90HoldsInNineOfTenRunsOfEveryKind) {
  std::uint64_t first = 1001, last = 1720;
  const char* asked = std::getenv("POLYSOME_ETA_SEEDS");
  if (asked != nullptr) {
    char* end = nullptr;
    first = last = std::strtoull(asked, &end, 10);
    if (*end == '-') last = std::strtoull(end + 1, nullptr, 10);
  }
  std::array<Held, kShapes.size()> by_shape{};
  Held all;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    Trial trial(seed);
    const MonoTime ended = trial.run();
    const Held h = held_of(trial, ended);
    by_shape[static_cast<std::size_t>(trial.shape())].add(h);
    all.add(h);
  }
  const auto line = [](std::string_view name, const Held& h) {
    return fmt::format(
        "{:10} {:4} runs  p50 held {:5.1f} %  p90 held {:5.1f} %  p90/p50 {:.2f}  "
        "unknown for the first {:4.1f} %\n",
        name, h.runs, 100 * h.p50 / h.runs, 100 * h.p90 / h.runs, h.width / h.runs,
        100 * h.unknown / h.runs);
  };
  std::string table;
  for (std::size_t i = 0; i < kShapes.size(); ++i) table += line(kShapes[i], by_shape[i]);
  table += line("all", all);
  if (asked != nullptr) fmt::print("{}", table);
  SCOPED_TRACE(table);
  EXPECT_GE(all.p90 / all.runs, 0.85);
  EXPECT_LE(all.p90 / all.runs, 0.95);
  EXPECT_GE(all.p50 / all.runs, 0.40);
  EXPECT_LE(all.p50 / all.runs, 0.65);
  for (const auto& h : by_shape) {
    EXPECT_GE(h.p90 / h.runs, 0.80);
    // A p90 that is far from the p50 promises nothing.
    EXPECT_LE(h.width / h.runs, 2.0);
  }
}

}  // namespace
}  // namespace polysome::core
