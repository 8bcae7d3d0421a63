// Thousands of seeded lives of a service in virtual time: jobs of several shapes on a cluster whose
// workers crash, hang, repeat themselves and run out of memory, while people cancel, scale, stop
// and the service itself restarts. After each step the invariants hold; at the end every job has
// ended once, and completed ones rest on tasks that each were done right. A failing seed prints its
// story: POLYSOME_SIMULATION_SEED=n runs it alone.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <deque>
#include <map>
#include <set>
#include <string>

#include "core/core_story.h"
#include "core/simulated_cluster.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::job_id;
using story::job_name;
using story::stage;

constexpr MonoTime kChaosMs = 20'000;

struct Shape {
  std::vector<Stage> first;   // what the root planner gives
  std::vector<Stage> second;  // what a stage named "plan1" gives
};

Shape shape_of(std::uint64_t choice, std::uint32_t tasks) {
  Stage scan = stage("scan", tasks);
  scan.bytes = 100ULL * tasks;
  switch (choice % 5) {
    case 0: scan.borders = true; return {{scan, final_stage({"scan"})}, {}};
    case 1: return {{stage("noop", tasks * 4), final_stage({"noop"})}, {}};
    case 2:
      return {{scan, stage("left", 2, {"scan"}), stage("right", 3, {"scan"}),
               final_stage({"left", "right"})},
              {}};
    case 3: {
      Stage next = stage("plan1", 1, {"scan"});
      next.kind = StageKind::kPlanner;
      return {{scan, next}, {stage("step", tasks), final_stage({"step"})}};
    }
    default: scan.grant = 700'000'000; return {{scan, final_stage({"scan"})}, {}};
  }
}

// A job as the store and its files know it.
struct Kept {
  JobSubmitted spec;
  Shape shape;
  bool cancelled = false, poisoned = false;
  std::vector<Stage> stages;
  std::vector<std::map<std::uint32_t, bool>> finished;  // index → started inside
  double progress = 0;
  int ends = 0;
  JobStatus status = JobStatus::kPending;
};

// A change of the store that a crash may undo when it is among the newest.
struct Change {
  TaskRef task;
  bool finished = true, inside = false;
};

class Life {
 public:
  explicit Life(std::uint64_t seed)
      : random_(seed),
        core_(config(), seed),
        cluster_(
            time_, random_, [this](const Event& e) { step(e); },
            [this](const StartTask& t) { return outcome(t); }) {}

  void run() {
    const auto jobs = 1 + random_() % 6;
    for (std::uint64_t i = 1; i <= jobs; ++i)
      time_.at(at_random(), [this, i] { submit(static_cast<std::uint32_t>(i)); });
    time_.at(at_random() / 4, [this] { start(); });
    for (std::uint64_t i = random_() % 7; i > 0; --i)
      time_.at(at_random(), [this] { interfere(); });
    run_until([this] { return time_.now() >= kChaosMs; });
    chaos_ = false;
    cluster_.set_chaos(false);
    start();
    run_until([this] { return core_.active_jobs().empty(); });
    check_end();
  }

  bool failed() const { return !broken_.empty(); }
  const std::vector<std::string>& broken() const { return broken_; }
  const std::deque<std::string>& lines() const { return lines_; }
  const std::map<JobStatus, int>& ends() const { return ends_; }

 private:
  Config config() {
    Config c;
    c.epoch = ++epoch_;
    c.retry_delay_ms = 200;
    return c;
  }
  MonoTime at_random() { return 1000 + static_cast<MonoTime>(random_() % (kChaosMs - 1000)); }
  bool one_in(std::uint64_t n) { return chaos_ && random_() % n == 0; }
  void note(std::string line) {
    lines_.push_back(fmt::format("{:6} {}", time_.now(), std::move(line)));
    if (lines_.size() > 400) lines_.pop_front();
  }
  void broke(std::string what) {
    note("BROKEN: " + what);
    broken_.push_back(std::move(what));
  }

  void run_until(const std::function<bool()>& reached) {
    for (int steps = 0; !reached() && broken_.empty(); ++steps) {
      if (steps > 100'000) return broke("it does not come to an end");
      const auto event = time_.next();
      const auto deadline = core_.next_deadline();
      if (!event && !deadline) return broke("nothing is due any more");
      if (!event || (deadline && *deadline < *event)) {
        time_.pass_to(*deadline);
        step(Tick{});
      } else {
        time_.run_next();
      }
    }
  }

  void step(const Event& event) {
    const auto commands = core_.step(event, time_.now());
    note(fmt::format("event {}{}", kEvents[event.index()], detail(event)));
    for (const auto& command : commands) {
      const std::string line = story::line(command);
      if (!line.empty()) note("  " + line);
      keep(command);
    }
    for (const auto& command : commands) cluster_.carry_out(command);
    for (const auto& b : core_.broken_invariants()) broke(b);
    for (const auto& b : cluster_.broken()) broke(b);
    for (const auto id : core_.active_jobs()) {
      const auto view = *core_.job(id, time_.now());
      Kept& kept = jobs_.at(id);
      if (view.progress < kept.progress || view.progress >= 100) broke("progress fell or is full");
      kept.progress = view.progress;
    }
  }

  static std::string detail(const Event& event) {
    if (const auto* f = std::get_if<TaskFinished>(&event)) return " #" + f->result.attempt.text();
    if (const auto* f = std::get_if<TaskFailed>(&event))
      return fmt::format(" #{} {}", f->failure.attempt.text(), info(f->failure.error.code).name);
    if (const auto* f = std::get_if<SlotLost>(&event))
      return fmt::format(" {}.{} by_kill={}", f->worker.text(), f->slot, f->by_kill);
    if (const auto* f = std::get_if<WorkerLost>(&event)) return " " + f->worker.text();
    if (const auto* f = std::get_if<WorkerReady>(&event)) return " " + f->worker.text();
    if (const auto* f = std::get_if<WorkerHeard>(&event)) return " " + f->worker.text();
    return "";
  }

  // ---- what people do ----

  void submit(std::uint32_t n) {
    JobSubmitted job;
    job.id = job_id(n);
    job.priority = static_cast<Priority>(1 + random_() % 4);
    job.sequence = n;
    if (random_() % 4 == 0) job.limits.max_cores = 1 + static_cast<int>(random_() % 3);
    if (random_() % 6 == 0) job.limits.max_memory = 1'000'000'000 + random_() % 2'000'000'000;
    if (random_() % 6 == 0) job.limits.n_workers = 1;
    if (random_() % 8 == 0) job.limits.memory_per_worker = 1'500'000'000;
    if (random_() % 10 == 0) job.limits.timeout_ms = 3'000;
    Kept kept;
    if (n > 1 && random_() % 4 == 0) {
      const JobId other = job_id(1 + static_cast<std::uint32_t>(random_() % (n - 1)));
      if (jobs_.contains(other)) job.depends_on.push_back(other);
    }
    kept.spec = job;
    kept.shape = shape_of(random_(), 1 + static_cast<std::uint32_t>(random_() % 12));
    kept.poisoned = random_() % 8 == 0;
    reset_plan(kept);
    jobs_[job.id] = std::move(kept);
    step(job);
  }

  void start() {
    step(ClusterStarted{
        {1 + static_cast<int>(random_() % 4), 1 + static_cast<int>(random_() % 3), 2'000'000'000}});
  }

  void interfere() {
    if (!chaos_) return;
    switch (random_() % 7) {
      case 0: step(ClusterScaled{1 + static_cast<int>(random_() % 6)}); break;
      case 1:
      case 2:
        step(ClusterStopped{random_() % 2 == 0});
        time_.after(static_cast<MonoTime>(random_() % 3000), [this] { start(); });
        break;
      case 3:
        if (!jobs_.empty()) {
          auto it = jobs_.begin();
          std::advance(it, static_cast<long>(random_() % jobs_.size()));
          it->second.cancelled = it->second.cancelled || it->second.ends == 0;
          step(CancelRequested{it->first, "simulated"});
        }
        break;
      case 4:
        note("the machine sleeps");
        time_.pass_to(time_.now() + 100'000);
        break;
      default: restart(); break;
    }
  }

  // The service is killed and comes back with what its store had committed.
  void restart() {
    note("RESTART");
    cluster_.end_all();
    for (auto lost = random_() % 3; lost > 0 && !uncommitted_.empty(); --lost) {
      undo(uncommitted_.back());
      uncommitted_.pop_back();
    }
    uncommitted_.clear();
    core_ = Core(config(), random_());
    for (auto& [id, kept] : jobs_)
      if (kept.ends > 0) step(DependencyKnown{id, kept.status});
    for (auto& [id, kept] : jobs_)
      if (kept.ends == 0) step(restored(kept));
    start();
  }

  static void reset_plan(Kept& kept) {
    Stage root = stage("plan", 1);
    root.kind = StageKind::kPlanner;
    kept.stages = {root};
    kept.finished.assign(1, {});
  }

  JobRestored restored(const Kept& kept) {
    JobRestored r;
    r.job = kept.spec;
    r.progress = kept.progress;
    r.cancelling = kept.cancelled;
    for (std::size_t i = 0; i < kept.stages.size(); ++i) {
      RestoredStage s{kept.stages[i], {}, 0, {}};
      for (const auto& [index, inside] : kept.finished[i]) {
        s.finished.emplace_back(index, index);
        const auto [if_outside, if_inside] = ends_of(kept, index);
        if (s.stage.borders) s.borders.push_back({index, inside, if_outside, if_inside});
      }
      if (s.stage.final && !s.finished.empty()) r.result = Json{{"job", job_name(kept.spec.id)}};
      r.stages.push_back(std::move(s));
    }
    return r;
  }

  void undo(const Change& change) {
    Kept& kept = jobs_.at(change.task.job);
    auto& finished = kept.finished[change.task.stage];
    if (!change.finished) {
      finished[change.task.index] = change.inside;
      return;
    }
    finished.erase(change.task.index);
    if (kept.stages[change.task.stage].kind != StageKind::kPlanner) return;
    const std::size_t before = change.task.stage == 0 ? 1 : 1 + kept.shape.first.size();
    kept.stages.resize(before);
    kept.finished.resize(before);
  }

  // ---- how tasks go ----

  static std::uint64_t hash(std::uint64_t a, std::uint64_t b) {
    std::uint64_t x = a * 0x9E3779B97F4A7C15ULL + b;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    return x ^ (x >> 31);
  }
  static std::pair<bool, bool> ends_of(const Kept& kept, std::uint32_t index) {
    const std::uint64_t h = hash(kept.spec.sequence, index);
    return {h % 4 == 0, h % 5 != 0};
  }
  static bool truly_inside(const Kept& kept, std::uint32_t index) {
    bool inside = false;
    for (std::uint32_t i = 0; i < index; ++i) {
      const auto [if_outside, if_inside] = ends_of(kept, i);
      inside = inside ? if_inside : if_outside;
    }
    return inside;
  }

  Outcome outcome(const StartTask& task) {
    const Kept& kept = jobs_.at(task.task.job);
    const Stage& stage = kept.stages[task.task.stage];
    Outcome o;
    const std::uint64_t h = hash(task.task.stage * 1000 + task.task.index, kept.spec.sequence);
    o.duration_ms = stage.name == "noop" ? 1 : 5 + static_cast<MonoTime>(h % 200);
    if (one_in(60)) o.duration_ms *= 50;
    o.failed.failure.attempt = task.attempt;
    const std::uint64_t needed = h % 9 == 0 ? 1'300'000'000 : 100'000'000;
    using Kind = Outcome::Kind;
    if (needed > task.grant && !kept.spec.limits.max_memory) {
      o.kind = h % 2 == 0 ? Kind::kFail : Kind::kSlotOutOfMemory;
      o.failed.failure.error = Error(Code::kOutOfMemory, "simulated");
      if (h % 4 == 0) o.failed.failure.needed_memory = needed;
      return o;
    }
    o.failed.failure.error = Error(Code::kIo, "simulated");
    if (kept.poisoned && h % 7 == 0 && stage.name == "scan") {
      o.kind = Kind::kFail;
      o.failed.failure.error = Error(Code::kUserData, "simulated");
    }
    if (one_in(30)) o.kind = Kind::kFail;
    if (one_in(60)) o.kind = Kind::kSlotCrash;
    if (one_in(60)) o.kind = Kind::kSlotKilled;
    if (one_in(150)) o.kind = Kind::kWorkerKilled;
    if (one_in(300)) o.kind = Kind::kWorkerMute;
    if (one_in(50) && task.task.stage > 1 && !kept.finished[task.task.stage - 1].empty()) {
      const auto index = kept.finished[task.task.stage - 1].begin()->first;
      o.kind = Kind::kOutputLost;
      o.lost = {task.attempt, {task.task.job, task.task.stage - 1, index}, "simulated"};
    }
    TaskResult& result = o.finished.result;
    result.attempt = task.attempt;
    result.wall_seconds = static_cast<double>(o.duration_ms) / 1000;
    result.bytes_in = stage.bytes == 0 ? 0 : 100;
    if (stage.kind == StageKind::kPlanner)
      o.finished.fragment =
          Fragment{stage.name == "plan" ? kept.shape.first : kept.shape.second, Json::array()};
    if (stage.final) result.payload = Json{{"job", job_name(task.task.job)}};
    if (stage.borders) {
      std::tie(result.ends_inside_if_outside, result.ends_inside_if_inside) =
          ends_of(kept, task.task.index);
      const bool wrong = task.start_inside_quotes != truly_inside(kept, task.task.index);
      if (wrong && h % 2 == 0) result.disputed = Error(Code::kUserData, "disputed");
    }
    return o;
  }

  // ---- what must be so ----

  void keep(const Command& command) {
    if (const auto* c = std::get_if<StartTask>(&command)) check_start(*c);
    if (const auto* c = std::get_if<RecordTask>(&command)) record(*c);
    if (const auto* c = std::get_if<ForgetTask>(&command)) {
      auto& finished = jobs_.at(c->task.job).finished[c->task.stage];
      const auto it = finished.find(c->task.index);
      if (it == finished.end()) return;  // a disputed one: never recorded
      uncommitted_.push_back({c->task, false, it->second});
      finished.erase(it);
    }
    if (const auto* c = std::get_if<JobEnded>(&command)) check_job_end(*c);
  }

  void check_start(const StartTask& c) {
    const Kept& kept = jobs_.at(c.task.job);
    const std::string name =
        fmt::format("{}/{}/{}", job_name(c.task.job), c.stage_name, c.task.index);
    if (kept.finished[c.task.stage].contains(c.task.index)) broke(name + " was finished already");
    if (kept.ends > 0) broke(name + " of a job that ended");
    starts_inside_[c.attempt] = c.start_inside_quotes;
    for (const auto& before : kept.stages[c.task.stage].after)
      for (std::size_t i = 0; i < kept.stages.size(); ++i)
        if (kept.stages[i].name == before && kept.finished[i].size() != kept.stages[i].tasks)
          broke(fmt::format("{} started before {} was complete", name, before));
    for (const auto& d : kept.spec.depends_on)
      if (jobs_.at(d).status != JobStatus::kCompleted) broke(name + " did not wait for a job");
  }

  void record(const RecordTask& c) {
    Kept& kept = jobs_.at(c.task.job);
    const bool inside = starts_inside_[c.attempt];
    if (!kept.finished[c.task.stage].emplace(c.task.index, inside).second)
      broke("a task was recorded twice");
    uncommitted_.push_back({c.task, true, inside});
    if (!c.planned) return;
    const auto& more = c.task.stage == 0 ? kept.shape.first : kept.shape.second;
    kept.stages.insert(kept.stages.end(), more.begin(), more.end());
    kept.finished.resize(kept.stages.size());
  }

  void check_job_end(const JobEnded& c) {
    Kept& kept = jobs_.at(c.job);
    uncommitted_.clear();
    kept.status = c.status;
    if (++kept.ends > 1) broke("a job ended twice");
    if (c.status == JobStatus::kCancelled && !kept.cancelled && c.error->code == Code::kCancelled)
      broke("a job was cancelled unasked");
    if (c.status == JobStatus::kFailed && !c.error) broke("a job failed without an error");
    if (c.error && c.error->message == "disputed") broke("a disputed error came through");
    if (c.status != JobStatus::kCompleted) return;
    if (c.result["job"] != job_name(c.job)) broke("a wrong result");
    for (std::size_t i = 0; i < kept.stages.size(); ++i) {
      if (kept.finished[i].size() != kept.stages[i].tasks) broke("completed with a stage undone");
      if (!kept.stages[i].borders) continue;
      for (const auto& [index, inside] : kept.finished[i])
        if (inside != truly_inside(kept, index)) broke("completed on a wrong start");
    }
  }

  void check_end() {
    if (failed()) return;
    for (const auto& [id, kept] : jobs_) {
      if (kept.ends != 1) broke(fmt::format("job {} ended {} times", job_name(id), kept.ends));
      ++ends_[kept.status];
    }
    if (core_.pending_jobs() != 0 || core_.running_jobs() != 0) broke("jobs are left over");
  }

  static constexpr std::array kEvents{"JobSubmitted",
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
  static_assert(kEvents.size() == std::variant_size_v<Event>);

  std::mt19937_64 random_;
  std::uint32_t epoch_ = 0;
  VirtualTime time_;
  Core core_;
  SimulatedCluster cluster_;
  bool chaos_ = true;
  std::map<JobId, Kept> jobs_;
  std::deque<Change> uncommitted_;
  std::map<AttemptId, bool> starts_inside_;
  std::map<JobStatus, int> ends_;
  std::vector<std::string> broken_;
  std::deque<std::string> lines_;
};

#ifdef POLYSOME_SANITIZED
constexpr std::uint64_t kSeeds = 300;
#else
constexpr std::uint64_t kSeeds = 5000;
#endif

TEST(Simulation, EveryJobEndsOnceAndRightWhateverHappens) {
  std::uint64_t first = 1, last = kSeeds;
  if (const char* asked = std::getenv("POLYSOME_SIMULATION_SEEDS")) {
    char* end = nullptr;
    first = last = std::strtoull(asked, &end, 10);
    if (*end == '-') last = std::strtoull(end + 1, nullptr, 10);
  }
  std::map<JobStatus, int> ends;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    Life life(seed);
    life.run();
    for (const auto& [status, n] : life.ends()) ends[status] += n;
    if (!life.failed()) continue;
    std::string story;
    for (const auto& line : life.lines()) story += line + "\n";
    FAIL() << story << "seed " << seed << ": " << life.broken().front();
  }
  if (first == last) return;
  // The world is hard but not hopeless: all three ends are met, completion most.
  EXPECT_GT(ends[JobStatus::kCompleted], ends[JobStatus::kFailed]);
  EXPECT_GT(ends[JobStatus::kFailed], 0);
  EXPECT_GT(ends[JobStatus::kCancelled], 0);
}

}  // namespace
}  // namespace polysome::core
