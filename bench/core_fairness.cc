#include "core_fairness.h"

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <tuple>

#include "core/core.h"

namespace polysome::bench {
namespace {

constexpr MonoTime kPlanMs = 20;

JobId job_id(std::size_t n) {
  JobId id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[15 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}
std::size_t number_of(const JobId& id) {
  std::size_t n = 0;
  for (std::size_t i = 8; i < 16; ++i) n = n << 8 | id.bytes[i];
  return n;
}

struct Lived {
  MonoTime first = -1, ended = -1;
};

class Run {
 public:
  Run(const Load& load, bool shared) : load_(load), shared_(shared), lived_(load.jobs.size()) {}

  void go() {
    const auto memory = 1'000'000'000ULL * static_cast<std::uint64_t>(load_.threads);
    step(core::ClusterStarted{{load_.workers, load_.threads, memory}});
    for (int w = 1; w <= load_.workers; ++w)
      step(core::WorkerReady{WorkerId{static_cast<std::uint32_t>(w)}, 1});
    std::size_t next = 0;
    while (next < load_.jobs.size() || !ends_.empty()) {
      const MonoTime arrives = next < load_.jobs.size() ? load_.jobs[next].at : kNever;
      const MonoTime ends = ends_.empty() ? kNever : ends_.top().at;
      const MonoTime beats = beat_ + 5000;
      now_ = std::min({arrives, ends, beats});
      if (now_ == beats) {
        heartbeat();
      } else if (now_ == ends) {
        const core::StartTask task = ends_.top().task;
        ends_.pop();
        finish(task);
      } else {
        submit(next++);
      }
    }
  }
  const std::vector<Lived>& lived() const { return lived_; }
  MonoTime now() const { return now_; }

 private:
  static constexpr MonoTime kNever = std::int64_t{1} << 60;
  struct End {
    MonoTime at = 0;
    std::uint64_t order = 0;
    core::StartTask task;
    bool operator>(const End& o) const { return at != o.at ? at > o.at : order > o.order; }
  };

  void heartbeat() {
    beat_ = now_;
    for (int w = 1; w <= load_.workers; ++w)
      step(core::WorkerHeard{WorkerId{static_cast<std::uint32_t>(w)}, 1, 1});
    step(core::Tick{});
  }

  void submit(std::size_t n) {
    core::JobSubmitted job;
    job.id = job_id(n);
    job.sequence = n;
    job.user = shared_ ? load_.jobs[n].user : "everybody";
    step(job);
  }

  void finish(const core::StartTask& task) {
    const LoadJob& job = load_.jobs[number_of(task.task.job)];
    core::TaskFinished over;
    over.result.attempt = task.attempt;
    over.result.wall_seconds = static_cast<double>(duration(task)) / 1000;
    if (task.stage_name == "plan") {
      Stage work, end;
      work.name = "work";
      work.tasks = job.tasks;
      end.name = "end";
      end.kind = StageKind::kSingle;
      end.after = {"work"};
      end.final = true;
      over.fragment = Fragment{{work, end}, Json::array()};
    }
    step(over);
  }

  MonoTime duration(const core::StartTask& task) const {
    return task.stage_name == "work" ? load_.jobs[number_of(task.task.job)].task_ms : kPlanMs;
  }

  void step(const core::Event& event) {
    for (const auto& command : core_.step(event, now_)) {
      if (const auto* start = std::get_if<core::StartTask>(&command)) {
        Lived& lived = lived_[number_of(start->task.job)];
        if (lived.first < 0) lived.first = now_;
        ends_.push({now_ + duration(*start), ++order_, *start});
      }
      if (const auto* end = std::get_if<core::JobEnded>(&command))
        lived_[number_of(end->job)].ended = now_;
    }
  }

  const Load& load_;
  bool shared_;
  core::Core core_{{.prefetch = 0}, 1};
  MonoTime now_ = 0, beat_ = 0;
  std::uint64_t order_ = 0;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends_;
  std::vector<Lived> lived_;
};

void by_time(Load& load) {
  std::ranges::sort(load.jobs, [](const LoadJob& a, const LoadJob& b) {
    return std::tie(a.at, a.user, a.task_ms) < std::tie(b.at, b.user, b.task_ms);
  });
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double alone_ms(const Load& load, const LoadJob& job) {
  const auto slots = static_cast<std::uint32_t>(load.workers * load.threads);
  const std::uint32_t rounds = (job.tasks + slots - 1) / slots;
  return static_cast<double>(2 * kPlanMs + rounds * job.task_ms);
}

double turnaround_on_own_part(const Load& load, const std::string& user, int parts) {
  Load own{.name = load.name, .workers = load.workers / parts, .threads = load.threads, .jobs = {}};
  for (const auto& job : load.jobs)
    if (job.user == user) own.jobs.push_back(job);
  Run run(own, true);
  run.go();
  std::vector<double> turnarounds;
  for (std::size_t n = 0; n < own.jobs.size(); ++n)
    turnarounds.push_back(static_cast<double>(run.lived()[n].ended - own.jobs[n].at) / 1000);
  return mean(turnarounds);
}

}  // namespace

double jain(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double v : values) sum += v, squares += v * v;
  return squares == 0 ? 0 : sum * sum / (static_cast<double>(values.size()) * squares);
}

Load flood() {
  Load load{.name = "flood", .jobs = {}};
  for (int n = 0; n < 300; ++n) load.jobs.push_back({"flood", 0, 8, 2000});
  for (int n = 0; n < 60; ++n) load.jobs.push_back({"steady", 5000 + n * 5000, 4, 1000});
  for (int n = 0; n < 10; ++n) load.jobs.push_back({"rare", 20'000 + n * 30'000, 1, 500});
  by_time(load);
  return load;
}

Load mixed() {
  Load load{.name = "mixed", .jobs = {}};
  std::mt19937_64 random(1);
  const MonoTime sizes[] = {200, 500, 1000, 4000};
  // In all more than the cluster can do meanwhile; most of it is one user's.
  for (int n = 0; n < 200; ++n) {
    const auto at = [&] { return static_cast<MonoTime>(random() % 400'000); };
    load.jobs.push_back({"large", at(), 16, sizes[random() % 4]});
    load.jobs.push_back({"medium", at(), 6, sizes[random() % 4]});
    load.jobs.push_back({"small", at(), 1, sizes[random() % 4]});
  }
  by_time(load);
  return load;
}

Figures run(const Load& load, bool shared) {
  Run run(load, shared);
  run.go();
  Figures figures{.load = load.name,
                  .order = shared ? "shared" : "fifo",
                  .users = {},
                  .makespan_s = static_cast<double>(run.now()) / 1000};
  std::map<std::string, std::vector<std::size_t>> jobs_of;
  for (std::size_t n = 0; n < load.jobs.size(); ++n) jobs_of[load.jobs[n].user].push_back(n);
  std::vector<double> kept;
  for (const auto& [user, jobs] : jobs_of) {
    std::vector<double> waits, turnarounds, slowdowns;
    for (const auto n : jobs) {
      const LoadJob& job = load.jobs[n];
      const Lived& lived = run.lived()[n];
      waits.push_back(static_cast<double>(lived.first - job.at) / 1000);
      turnarounds.push_back(static_cast<double>(lived.ended - job.at) / 1000);
      slowdowns.push_back(turnarounds.back() * 1000 / alone_ms(load, job));
    }
    std::ranges::sort(waits);
    const double own = turnaround_on_own_part(load, user, static_cast<int>(jobs_of.size()));
    figures.users.push_back({.user = user,
                             .jobs = jobs.size(),
                             .mean_wait_s = mean(waits),
                             .p95_wait_s = waits[waits.size() * 95 / 100],
                             .max_wait_s = waits.back(),
                             .mean_turnaround_s = mean(turnarounds),
                             .mean_slowdown = mean(slowdowns),
                             .against_own_part = mean(turnarounds) / own});
    kept.push_back(std::min(1.0, own / mean(turnarounds)));
  }
  figures.jain = jain(kept);
  return figures;
}

}  // namespace polysome::bench
