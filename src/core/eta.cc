#include "core/eta.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>

#include "core/machine.h"

namespace polysome::core {
namespace {

// Of the bulk, whole rounds are counted instead of played.
constexpr std::uint64_t kPlayedRounds = 3;
// Calibrated (eta_calibration_test.cc). How wide the spread is drawn, and what the model never
// sees: machines differ from minute to minute.
constexpr double kWidth = 1.1;
constexpr double kNeverSeen = 0.03;
// The last wave, in standard deviations above the means; the more uneven tasks are, the more
// skewed.
constexpr double kTail = 0.3;
constexpr double kSkewOfTail = 3;
constexpr double kSkewOfMean = 3;
// Standard deviation of what was guessed, as a part of it, and what an unsized task is guessed to
// take, as a part of the job's others.
constexpr double kGuessed = 0.8;
constexpr double kUnsizedPart = 0.4;
constexpr double kUsualBackoffMs = 2500;
constexpr double kZ90 = 1.2816;
constexpr std::uint32_t kLeastSamples = 3;
// A task that has read this part of its bytes, for at least a second, tells its own speed.
constexpr double kTellingPart = 0.1;
constexpr double kTellingMs = 1000;

// Expected maximum of n standard normal values, and its deviation (fits to the known tables).
double max_of(double n) { return n <= 1 ? 0 : 0.56 * std::pow(std::log2(n), 0.79); }
double deviation_of_max(double n) {
  return 1 / (1 + 0.36 * std::pow(std::log2(std::max(n, 1.0)), 0.75));
}

// Plays the tasks over the cores, each as long as its mean: when the last one is done.
double play(const LevelAhead& level, std::size_t cores) {
  std::priority_queue<double, std::vector<double>, std::greater<>> free_at;
  double shift = 0, last = 0;
  for (const auto& kind : level.kinds)
    for (const double rest : kind.rests) free_at.push(rest), last = std::max(last, rest);
  while (free_at.size() < cores) free_at.push(0);
  // More run than cores are counted: those above them free none.
  for (std::size_t more = free_at.size(); more > cores; --more) free_at.pop();
  for (const auto& kind : level.kinds) {
    std::uint64_t waiting = kind.waiting;
    if (waiting > kPlayedRounds * cores) {
      const std::uint64_t rounds = waiting / cores - (kPlayedRounds - 1);
      shift += static_cast<double>(rounds) * kind.mean;
      waiting -= rounds * cores;
    }
    for (; waiting > 0; --waiting) {
      const double end = free_at.top() + kind.mean;
      free_at.pop();
      free_at.push(end);
      last = std::max(last, end);
    }
  }
  return last + shift;
}

// Does the recent mean differ from that of the last 64 by more than chance?
double drift_of(const TaskDuration& d) {
  const double mean = d.kept_mean_ms();
  if (d.samples() < 8 || mean <= 0) return 0;
  const double noise = d.deviation_ms() / 3;
  return std::max(0.0, std::abs(d.mean_ms() - mean) - noise) / mean;
}

double present_mean(const TaskDuration& d) {
  const double mean = d.kept_mean_ms();
  if (d.samples() < 8) return mean;
  return std::abs(d.mean_ms() - mean) > 2.5 * d.deviation_ms() / 3 ? d.mean_ms() : mean;
}

// ---- from the machine ----

class Surveyor {
 public:
  Surveyor(const Machine& m, const JobRun& job, MonoTime now) : m_(m), job_(job), now_(now) {}

  std::optional<WorkAhead> survey() {
    if (job_.active == 0 || job_.ending) return std::nullopt;
    measure_cost();
    std::vector<std::size_t> level(job_.stages.size(), 0);
    WorkAhead work;
    work.cores = std::max({1, job_.usual_cores, static_cast<int>(job_.slots.size())});
    double finished = 0;
    for (const auto& stage : job_.stages) {
      finished += stage.progress.done;
      if (stage.complete) continue;
      if (stage.kind == StageKind::kPlanner) return std::nullopt;  // the plan will grow
      for (const auto next : stage.dependents)
        level[next] = std::max(level[next], level[stage.number] + 1);
      auto tasks = tasks_of(stage);
      if (!tasks) return std::nullopt;
      if (work.levels.size() <= level[stage.number]) work.levels.resize(level[stage.number] + 1);
      work.levels[level[stage.number]].kinds.push_back(std::move(*tasks));
      work.drift = std::max(work.drift, drift_of(stage.duration));
    }
    if (job_.faults > 0)
      work.faults =
          static_cast<double>(job_.faults) / (static_cast<double>(job_.faults) + finished);
    return work;
  }

 private:
  // What the weight of progress costs in this job, for stages that have not begun.
  void measure_cost() {
    double ms = 0, weight = 0, tasks = 0;
    for (const auto& stage : job_.stages) {
      if (!stage.progress.weighs || stage.duration.samples() == 0) continue;
      const double each = static_cast<double>(stage.progress.weight()) / stage.tasks();
      ms += stage.duration.kept_mean_ms() * stage.duration.samples();
      weight += each * stage.duration.samples();
      tasks += stage.duration.samples();
    }
    if (weight <= 0) return;
    cost_ = ms / weight;
    usual_ms_ = ms / tasks;
  }

  const Attempt& attempt(std::uint64_t n) const { return m_.attempts.at(n); }
  double age_of(const Attempt& a) const {
    return static_cast<double>(std::max<MonoTime>(now_ - a.since, 0));
  }
  static double part_of(const StageRun& stage, const Attempt& a) {
    const auto share = static_cast<double>(stage.progress.share());
    return share > 0 ? std::min(1.0, static_cast<double>(a.bytes) / share) : 0;
  }

  std::optional<TasksAhead> tasks_of(const StageRun& stage) const {
    TasksAhead tasks;
    if (!know_duration(stage, tasks)) return std::nullopt;
    tasks.waiting = stage.fresh + stage.again.size();
    for (const auto& [index, trouble] : stage.trouble)
      if (trouble.backing_off)
        tasks.rests.push_back(static_cast<double>(std::max<MonoTime>(trouble.due - now_, 0)) +
                              tasks.mean);
    for (const auto& [index, n] : stage.active) {
      const Attempt& a = attempt(n);
      const bool front = a.worker->slots[static_cast<std::size_t>(a.slot)].queue.front() == n;
      if (!front)
        ++tasks.waiting;
      else
        tasks.rests.push_back(rest_ms(age_of(a), part_of(stage, a), tasks.mean, tasks.deviation));
    }
    return tasks;
  }

  bool know_duration(const StageRun& stage, TasksAhead& tasks) const {
    const TaskDuration& d = stage.duration;
    const auto wave = std::min<std::uint32_t>(
        static_cast<std::uint32_t>(std::max(job_.usual_cores, 1)), (stage.tasks() + 1) / 2);
    if (d.samples() >= std::max(kLeastSamples, wave)) {
      tasks.samples = d.samples();
      tasks.deviation = d.deviation_ms();
      tasks.mean = std::max(present_mean(d), mean_of_all_begun(stage));
      return true;
    }
    if (by_own_speed(stage, tasks)) return true;
    if (stage.blockers == 0 && !stage.active.empty() && stage.tasks() > kLeastSamples) return false;
    // Stages whose bytes nobody knows are merges of what others made, as a rule shorter than those.
    const bool sized = stage.progress.bytes > 0;
    const auto typical = m_.typical.find(stage.name);
    if (sized && cost_)
      tasks.mean = *cost_ * static_cast<double>(stage.progress.weight()) / stage.tasks();
    else if (!sized && typical)
      tasks.mean = *typical;
    else if (!sized && cost_)
      tasks.mean = usual_ms_ * kUnsizedPart;
    else
      return false;
    tasks.deviation = tasks.mean;
    return true;
  }

  // The first to finish are the short ones: while a stage is young, what runs counts with its age.
  double mean_of_all_begun(const StageRun& stage) const {
    const TaskDuration& d = stage.duration;
    double sum = d.kept_mean_ms() * d.samples();
    double n = d.samples();
    for (const auto& [index, each] : stage.active) {
      const Attempt& a = attempt(each);
      if (!a.running) continue;
      sum += age_of(a);
      ++n;
    }
    return sum / n;
  }

  // No task is done, but those that run tell how far they are.
  bool by_own_speed(const StageRun& stage, TasksAhead& tasks) const {
    double sum = 0, n = 0;
    for (const auto& [index, each] : stage.active) {
      const Attempt& a = attempt(each);
      const double done = part_of(stage, a);
      if (done < kTellingPart || age_of(a) < kTellingMs) continue;
      sum += age_of(a) / done;
      ++n;
    }
    if (n == 0) return false;
    tasks.mean = sum / n;
    tasks.deviation = tasks.mean / 4;
    tasks.samples = static_cast<std::uint32_t>(n);
    return true;
  }

  const Machine& m_;
  const JobRun& job_;
  MonoTime now_;
  std::optional<double> cost_;  // ms of one core for a unit of weight
  double usual_ms_ = 0;         // of a task of this job; known when cost_ is
};

}  // namespace

double rest_ms(double age, double done, double mean, double deviation) {
  if (done >= kTellingPart / 2 && age > 0) return age * (1 - done) / done;
  const double over = std::max(0.0, age - mean);
  return std::max(mean - age, 0.35 * std::min(deviation, mean) + over / 2);
}

LevelTime level_time(const LevelAhead& level, int cores, double faults) {
  const auto n = static_cast<std::size_t>(std::max(cores, 1));
  double bulk = 0, few_samples = 0, guessed = 0, tasks = 0;
  double longest_mean = 0;
  double deviation = 0, skew = 0;  // of the kind that decides how uneven the last wave is
  for (const auto& kind : level.kinds) {
    const auto waiting = static_cast<double>(kind.waiting);
    const double longest = kind.rests.empty() ? 0 : std::ranges::max(kind.rests);
    const double own = waiting * kind.mean / static_cast<double>(n);
    tasks += waiting + static_cast<double>(kind.rests.size());
    longest_mean = std::max(longest_mean, kind.mean);
    if (kind.samples == 0) {
      guessed += std::pow(kGuessed * (own + longest), 2);
      continue;
    }
    const double relative = kind.deviation / std::max(kind.mean, 1e-9);
    bulk += waiting * std::pow(kind.deviation / static_cast<double>(n), 2);
    few_samples += std::pow(own * relative, 2) * (1 + kSkewOfMean * relative * relative) /
                   std::min<double>(kind.samples, TaskDuration::kKept);
    // What runs already is uncertain only for what is left of it.
    const double left = kind.waiting > 0 ? 1 : std::min(1.0, longest / std::max(kind.mean, 1e-9));
    if (kind.deviation * left < deviation) continue;
    deviation = kind.deviation * left;
    skew = relative;
  }
  const double last_wave = std::min<double>(tasks, static_cast<double>(n));
  const double tail = deviation * deviation_of_max(last_wave) * (1 + kSkewOfTail * skew);
  // What fails in the bulk is done again beside the rest; in the last wave everybody waits for it.
  const double again = longest_mean + kUsualBackoffMs;
  const double late = 1 - std::pow(1 - faults, last_wave);
  const double mean = play(level, n) * (1 + faults) + late * again +
                      (kTail + std::min(skew, 1.0)) * deviation * max_of(last_wave);
  return {mean, bulk + tail * tail + few_samples + guessed + late * again * again};
}

Eta estimate(const WorkAhead& work) {
  double mean = 0, variance = 0;
  for (const auto& level : work.levels) {
    const LevelTime time = level_time(level, work.cores, work.faults);
    mean += time.mean;
    variance += time.variance;
  }
  const double changes = kNeverSeen + work.drift / 2;
  variance += changes * changes * mean * mean;
  if (mean <= 0) return {};
  // Times are never negative and err upwards: lognormal.
  const double s2 = std::log1p(variance / (mean * mean));
  const double median = mean * std::exp(-s2 / 2);
  return {median / 1000, median * std::exp(kZ90 * kWidth * std::sqrt(s2)) / 1000};
}

std::optional<Eta> eta_of(const Machine& m, const JobRun& job, MonoTime now) {
  const auto work = Surveyor(m, job, now).survey();
  return work ? std::optional(estimate(*work)) : std::nullopt;
}

}  // namespace polysome::core
