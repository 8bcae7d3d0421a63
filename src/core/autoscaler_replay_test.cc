// Loads recorded at real services (bench/record_load.py) and synthetic ones, played against the
// whole core in virtual time, with workers that take a second to start. The size must follow the
// load within a stated time, come back to the least one, and must not flap: its direction changes
// no more often than the load's own swings ask for.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <sstream>

#include "core/core_story.h"

namespace polysome::core {
namespace {

using story::final_stage;
using story::job_id;
using story::stage;

struct Arrival {
  MonoTime at = 0;
  std::uint32_t tasks = 1;
  MonoTime task_ms = 1000;
  std::string user = "ada";
};

struct Replay {
  std::vector<std::pair<MonoTime, int>> sizes;  // after each change
  std::vector<ScalingDecided> decisions;
  int turns = 0;  // changes of direction
  int most = 0, last = 0;
  MonoTime end = 0;  // of the last job
  int ended = 0, lost_tasks = 0;
  std::vector<MonoTime> waits;  // of each job, until its first task starts
  double worker_seconds = 0;    // paid for, from the first arrival to the end of the last job
  MonoTime wait(double part) const {
    std::vector<MonoTime> sorted = waits;
    std::ranges::sort(sorted);
    return sorted.at(static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1)));
  }
  std::optional<MonoTime> reached(int n) const {
    for (const auto& [at, size] : sizes)
      if (size >= n) return at;
    return std::nullopt;
  }
};

class Player {
 public:
  explicit Player(std::uint64_t seed) : random_(seed) {}

  Replay play(const std::vector<Arrival>& load, AutoscalePolicy policy, MonoTime rest_ms) {
    step(AutoscaleChanged{policy});
    step(ClusterStarted{{policy.min_workers, 2, 2'000'000'000}});
    for (std::uint32_t i = 0; i < load.size(); ++i)
      at(load[i].at, [this, i, a = load[i]] { submit(i + 1, a); });
    at(1000, [this] { beat(); });
    MonoTime until = load.back().at + rest_ms;
    while (now_ < until || !core_.active_jobs().empty()) {
      const auto due = core_.next_deadline();
      if (due && (queue_.empty() || *due <= queue_.begin()->first)) {
        now_ = std::max(now_, *due);
        step(Tick{});
      } else {
        now_ = std::max(now_, queue_.begin()->first);
        const auto action = std::move(queue_.begin()->second);
        queue_.erase(queue_.begin());
        action();
      }
      if (!core_.active_jobs().empty()) until = std::max(until, now_ + rest_ms);
      if (now_ > 20'000'000) break;
    }
    out_.last = core_.cluster().spec.n_workers;
    return out_;
  }

 private:
  void at(MonoTime when, std::function<void()> action) { queue_.emplace(when, std::move(action)); }

  void beat() {
    for (const auto& w : core_.cluster().workers)
      if (w.status != "starting") step(WorkerHeard{w.id, 1, 1});
    at(now_ + 5000, [this] { beat(); });
  }

  void submit(std::uint32_t n, const Arrival& a) {
    arrivals_[n] = a;
    JobSubmitted job;
    job.id = job_id(n);
    job.sequence = n;
    job.user = a.user;
    step(job);
  }

  void step(const Event& event) {
    if (!arrivals_.empty() && !core_.active_jobs().empty())
      out_.worker_seconds += static_cast<double>(core_.cluster().workers.size()) *
                             static_cast<double>(now_ - stepped_) / 1000;
    stepped_ = now_;
    for (const auto& command : core_.step(event, now_)) take(command);
    for (const auto& broken : core_.broken_invariants()) ADD_FAILURE() << broken;
  }

  void take(const Command& command) {
    if (const auto* c = std::get_if<StartWorker>(&command))
      at(now_ + 1000, [this, id = c->worker] { step(WorkerReady{id, 1}); });
    if (const auto* c = std::get_if<StopWorker>(&command)) {
      if (c->force) ++out_.lost_tasks;
      at(now_ + 50, [this, id = c->worker] { step(WorkerLost{id, false, "stopped"}); });
    }
    if (const auto* c = std::get_if<StartTask>(&command)) run(*c);
    if (const auto* c = std::get_if<CancelTask>(&command)) {
      cancelled_.insert(c->attempt);
      at(now_ + 1, [this, id = c->attempt] {
        TaskFailed failed;
        failed.failure.attempt = id;
        failed.failure.error = Error(Code::kCancelled, "cancelled");
        step(failed);
      });
    }
    if (const auto* c = std::get_if<JobEnded>(&command)) {
      ++out_.ended;
      out_.end = now_;
      EXPECT_EQ(c->status, JobStatus::kCompleted);
    }
    if (const auto* c = std::get_if<ScalingDecided>(&command)) decided(*c);
  }

  void decided(const ScalingDecided& d) {
    out_.decisions.push_back(d);
    EXPECT_FALSE(d.reason.empty());
    EXPECT_TRUE(d.numbers.contains("needed_workers"));
    if (d.to == d.from) return;
    const int direction = d.to > d.from ? 1 : -1;
    if (direction_ != 0 && direction != direction_) ++out_.turns;
    direction_ = direction;
    out_.sizes.emplace_back(now_, d.to);
    out_.most = std::max(out_.most, d.to);
  }

  // A slot runs its tasks one after the other.
  void run(const StartTask& c) {
    std::uint32_t n = 0;
    for (int i = 12; i < 16; ++i) n = n << 8 | c.task.job.bytes[static_cast<std::size_t>(i)];
    const Arrival& a = arrivals_[n];
    const bool part = c.stage_name == "scan";
    if (c.stage_name == "plan" && c.attempt_number == 1) out_.waits.push_back(now_ - a.at);
    MonoTime ms = 20;
    if (part) ms = a.task_ms * static_cast<MonoTime>(70 + random_() % 60) / 100;
    MonoTime& free = free_at_[{c.worker.n, c.slot}];
    free = std::max(free, now_) + ms;
    at(free, [this, c, a, ms] {
      if (cancelled_.contains(c.attempt)) return;
      TaskFinished f;
      f.result.attempt = c.attempt;
      f.result.wall_seconds = static_cast<double>(ms) / 1000;
      if (c.stage_name == "plan")
        f.fragment = Fragment{{stage("scan", a.tasks), final_stage({"scan"})}, Json::array()};
      step(f);
    });
  }

  std::mt19937_64 random_;
  Core core_{Config{}, 1};
  MonoTime now_ = 0;
  std::multimap<MonoTime, std::function<void()>> queue_;
  std::map<std::uint32_t, Arrival> arrivals_;
  std::map<std::pair<std::uint32_t, int>, MonoTime> free_at_;
  std::set<AttemptId> cancelled_;
  Replay out_;
  int direction_ = 0;
  MonoTime stepped_ = 0;
};

Replay play(const std::vector<Arrival>& load, int min = 1, int max = 16) {
  return Player(7).play(load, {true, min, max}, 420'000);
}

// Back at the least size within seven minutes of the last job, whatever the load was.
void expect_return(const Replay& r, std::size_t jobs, int min = 1) {
  EXPECT_EQ(r.ended, static_cast<int>(jobs));
  EXPECT_EQ(r.lost_tasks, 0);
  EXPECT_EQ(r.last, min);
}

TEST(AutoscalerReplay, OneBurstIsOneStepUpAndOneWayDown) {
  const auto r = play({{1000, 1000, 2000}});
  expect_return(r, 1);
  EXPECT_EQ(r.most, 16);
  EXPECT_EQ(r.turns, 1);
  ASSERT_TRUE(r.reached(16));
  EXPECT_LE(*r.reached(16), 25'000);
  // 2,000 core-seconds on 32 cores: a minute, and the start of the workers.
  EXPECT_LE(r.end, 100'000);
}

TEST(AutoscalerReplay, BurstsEveryHalfMinuteDoNotMoveItUpAndDown) {
  std::vector<Arrival> load;
  for (int i = 0; i < 20; ++i) load.push_back({1000 + i * 30'000, 60, 2000});
  const auto r = play(load);
  expect_return(r, load.size());
  EXPECT_LE(r.turns, 1);
}

TEST(AutoscalerReplay, BurstsFarApartAreFollowedEachOnce) {
  std::vector<Arrival> load;
  for (int i = 0; i < 4; ++i) load.push_back({1000 + i * 600'000, 600, 2000});
  const auto r = play(load);
  expect_return(r, load.size());
  EXPECT_LE(r.turns, 7);  // up and down for each of four
}

TEST(AutoscalerReplay, ARampUpAndDownIsFollowedWithOneTurn) {
  std::vector<Arrival> load;
  // Jobs of 10 core-seconds; from one in ten seconds to more than two a second, and back.
  MonoTime now = 1000;
  for (int i = 0; i < 200; ++i) {
    const int level = std::min(i, 199 - i);
    now += 10'000 / (1 + level / 4);
    load.push_back({now, 5, 2000});
  }
  const auto r = play(load);
  expect_return(r, load.size());
  EXPECT_GE(r.most, 8);
  EXPECT_LE(r.turns, 3);
}

TEST(AutoscalerReplay, ASawtoothFasterThanTheWindowHoldsTheSize) {
  std::vector<Arrival> load;
  for (int tooth = 0; tooth < 15; ++tooth)
    for (int i = 0; i < 10; ++i)
      load.push_back(
          {1000 + tooth * 40'000 + i * 2000, static_cast<std::uint32_t>(4 + 4 * i), 1000});
  const auto r = play(load);
  expect_return(r, load.size());
  EXPECT_LE(r.turns, 3);
}

TEST(AutoscalerReplay, OneLongTaskNeedsOneWorker) {
  const auto r = play({{1000, 1, 1'800'000}});
  expect_return(r, 1);
  EXPECT_TRUE(r.sizes.empty());
}

TEST(AutoscalerReplay, ALongTaskAfterABurstDoesNotKeepTheOthers) {
  const auto r = play({{1000, 600, 2000}, {2000, 1, 900'000}});
  expect_return(r, 2);
  EXPECT_LE(r.turns, 1);
  MonoTime least = 0;
  for (const auto& [at, size] : r.sizes)
    if (size == 1) least = at;
  EXPECT_LE(least, 500'000);
}

TEST(AutoscalerReplay, ATrickleIsServedByTheLeastSize) {
  std::vector<Arrival> load;
  for (int i = 0; i < 120; ++i) load.push_back({1000 + i * 5'000, 1, 1500});
  const auto r = play(load);
  expect_return(r, load.size());
  EXPECT_LE(r.most, 2);
  EXPECT_LE(r.turns, 1);
}

TEST(AutoscalerReplay, ManyTinyTasksDoNotCallForWorkers) {
  const auto r = play({{1000, 5000, 2}});
  expect_return(r, 1);
  EXPECT_LE(r.most, 4);
}

// A day at a shared server, as a seeded process: quiet, two rushes, a long tail; 400 jobs of mixed
// sizes in two hours.
TEST(AutoscalerReplay, AWorkingDayIsFollowedWithoutFlapping) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Arrival> load;
    MonoTime now = 0;
    while (now < 7'200'000) {
      const bool rush =
          (now > 1'200'000 && now < 2'400'000) || (now > 4'200'000 && now < 5'400'000);
      const double gap = -std::log(1 - static_cast<double>(random() >> 11) * 0x1.0p-53);
      now += 1 + static_cast<MonoTime>(gap * (rush ? 8'000 : 40'000));
      load.push_back({now, static_cast<std::uint32_t>(1 + random() % 60),
                      static_cast<MonoTime>(200 + random() % 4000)});
    }
    const auto r = Player(seed).play(load, {true, 1, 16}, 420'000);
    expect_return(r, load.size());
    // At most one turn in five minutes.
    EXPECT_LE(r.turns, 26) << "seed " << seed;
  }
}

// ---- recorded loads ----

namespace fs = std::filesystem;

fs::path loads_folder() {
  const fs::path source(__FILE__);
  const fs::path build = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path here = source.is_absolute() ? source : build / source;
  return (here.parent_path() / ".." / ".." / "tests" / "scenarios" / "loads").lexically_normal();
}

// at_ms,user,operation,tasks,task_ms,memory_mb
std::vector<Arrival> read_load(const fs::path& path) {
  std::vector<Arrival> load;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with('#') || line.starts_with("at_ms")) continue;
    std::vector<std::string> cells;
    std::stringstream cut(line);
    for (std::string cell; std::getline(cut, cell, ',');) cells.push_back(cell);
    EXPECT_EQ(cells.size(), 6U) << path << ": " << line;
    load.push_back({1000 + std::stoll(cells.at(0)),
                    static_cast<std::uint32_t>(std::stoul(cells.at(3))), std::stoll(cells.at(4)),
                    cells.at(1)});
  }
  EXPECT_FALSE(load.empty()) << path;
  return load;
}

std::vector<fs::path> recorded_loads() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(loads_folder()))
    if (entry.path().extension() == ".csv") files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

// As it was, and `times` slower in arriving: each rush is then one of its own.
std::vector<Arrival> stretched(std::vector<Arrival> load, MonoTime times) {
  for (auto& a : load) a.at *= times;
  return load;
}

// Against a cluster that always has all workers: waits are longer by no more than the workers take
// to come, for a part of its price, and the size turns no more often than once in two minutes.
void expect_good(const std::string& name, const std::vector<Arrival>& load) {
  const auto r = play(load);
  const auto fixed = play(load, 16, 16);
  const auto p95 = r.wait(0.95), most = r.wait(1);
  fmt::print(
      "{:<24} {:>4} jobs in {:>4} s: workers 1 to {:>2}, {:>2} turns, {:>2} decisions; waited p50 "
      "{:.1f} "
      "s, p95 {:.1f} s, most {:.1f} s (all 16: {:.1f}, {:.1f}, {:.1f} s) for {:.0f} % of the "
      "price\n",
      name, load.size(), load.back().at / 1000, r.most, r.turns, r.sizes.size(),
      static_cast<double>(r.wait(0.5)) / 1000, static_cast<double>(p95) / 1000,
      static_cast<double>(most) / 1000, static_cast<double>(fixed.wait(0.5)) / 1000,
      static_cast<double>(fixed.wait(0.95)) / 1000, static_cast<double>(fixed.wait(1)) / 1000,
      100 * r.worker_seconds / fixed.worker_seconds);
  expect_return(r, load.size());
  EXPECT_EQ(r.waits.size(), load.size());
  EXPECT_LE(r.turns, 1 + (r.end - load.front().at) / 120'000);
  EXPECT_LE(p95, fixed.wait(0.95) + 15'000);
  EXPECT_LE(most, fixed.wait(1) + 30'000);
  EXPECT_LT(r.worker_seconds, 0.9 * fixed.worker_seconds);
}

TEST(AutoscalerReplay, RecordedLoadsAreServedWithoutFlapping) {
  const auto files = recorded_loads();
  ASSERT_FALSE(files.empty()) << loads_folder();
  for (const auto& file : files) {
    const auto load = read_load(file);
    for (const MonoTime times : {1, 3, 10})
      expect_good(fmt::format("{} x{}", file.stem().string(), times), stretched(load, times));
  }
}

}  // namespace
}  // namespace polysome::core
