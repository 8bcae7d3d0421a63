#include "core_load.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <numeric>

namespace polysome::bench {
namespace {

JobId job_id(std::uint64_t n) {
  JobId id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[15 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}
std::size_t number_of(const JobId& id) {
  std::size_t n = 0;
  for (std::size_t i = 8; i < 16; ++i) n = n << 8 | id.bytes[i];
  return n;
}

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

Fragment plan(std::uint32_t tasks) {
  Stage scan, merge;
  scan.name = "scan";
  scan.tasks = tasks;
  scan.fragment_file = merge.fragment_file = "plan/0.json";
  merge.name = "merge";
  merge.kind = StageKind::kSingle;
  merge.after = {"scan"};
  merge.final = true;
  return {{scan, merge}, Json::array()};
}

// A job of one task: its planner gives the final stage alone.
Fragment plan_of_one() {
  Fragment fragment = plan(1);
  fragment.stages.erase(fragment.stages.begin());
  fragment.stages[0].after.clear();
  return fragment;
}

}  // namespace

IdleCluster::IdleCluster(int workers, int threads, double wall_seconds)
    : core_({}, 1), wall_seconds_(wall_seconds) {
  const auto memory = 1'000'000'000ULL * static_cast<std::uint64_t>(threads);
  step(core::ClusterStarted{{workers, threads, memory}});
  for (const auto& worker : std::vector(started_)) step(core::WorkerReady{worker, 1});
}

void IdleCluster::step(const core::Event& event) {
  const auto began = std::chrono::steady_clock::now();
  const auto commands = core_.step(event, now_);
  last_step_us_ = seconds_since(began) * 1e6;
  for (const auto& command : commands) take(command);
}

void IdleCluster::take(const core::Command& command) {
  if (const auto* start = std::get_if<core::StartTask>(&command)) running_.push_back(*start);
  if (const auto* worker = std::get_if<core::StartWorker>(&command))
    started_.push_back(worker->worker);
}

void IdleCluster::submit(std::uint32_t tasks, const std::string& user, Priority priority,
                         bool held) {
  core::JobSubmitted job;
  job.id = job_id(sequence_);
  job.sequence = sequence_++;
  job.user = user;
  job.priority = priority;
  job.held = held;
  tasks_.push_back(tasks);
  step(job);
}

void IdleCluster::release_all() {
  for (std::uint64_t n = 0; n < sequence_; ++n)
    step(core::JobPatched{job_id(n), std::nullopt, false});
}

bool IdleCluster::finish_one() {
  if (running_.empty()) return false;
  const core::StartTask task = std::move(running_.front());
  running_.pop_front();
  if (finished_ % 16 == 0) ++now_;
  step(core::TaskStarted{task.attempt});
  core::TaskFinished over;
  over.result.attempt = task.attempt;
  over.result.wall_seconds = wall_seconds_;
  if (task.stage_name == "plan") {
    const std::uint32_t tasks = tasks_[number_of(task.task.job)];
    over.fragment = tasks == 1 ? plan_of_one() : plan(tasks);
  }
  step(over);
  ++finished_;
  return true;
}

void IdleCluster::drain() {
  while (finish_one()) {
  }
}

Quantiles quantiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double q) {
    const auto i = static_cast<std::size_t>(q * static_cast<double>(values.size()));
    return values[std::min(i, values.size() - 1)];
  };
  return {at(0.5), at(0.99), values.back(),
          std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size())};
}

std::size_t bytes_in_use() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

double noop_tasks_a_second(std::uint32_t tasks, int workers, int threads) {
  IdleCluster cluster(workers, threads, 0.0002);
  cluster.submit(tasks);
  const auto began = std::chrono::steady_clock::now();
  cluster.drain();
  return static_cast<double>(cluster.finished()) / seconds_since(began);
}

Quantiles decision_us(std::uint32_t queued, std::uint32_t jobs, int workers, int threads,
                      std::uint32_t decisions) {
  IdleCluster cluster(workers, threads, 1);
  const std::uint32_t each = queued / jobs;
  const char* const users[] = {"ada", "bob", "cyd"};
  for (std::uint32_t n = 0; n < jobs; ++n)
    cluster.submit(each, users[n % 3], static_cast<Priority>(1 + n % 4));
  // The planners of all jobs first, as far as there are slots: jobs of many tasks then hold them.
  if (each > 1)
    for (std::uint32_t n = 0; n < jobs * 2; ++n) cluster.finish_one();
  std::vector<double> us;
  us.reserve(decisions);
  while (us.size() < decisions && cluster.finish_one()) us.push_back(cluster.last_step_us());
  return quantiles(std::move(us));
}

Held hold_and_drain(std::uint32_t jobs, std::uint32_t tasks, bool drain) {
  IdleCluster cluster(32, 4, 0.0002);
  const std::size_t before = bytes_in_use();
  auto began = std::chrono::steady_clock::now();
  Held held;
  // Jobs of one task wait as jobs; those of many are planned, so that their tasks wait.
  for (std::uint32_t n = 0; n < jobs; ++n)
    cluster.submit(tasks, "ada", Priority::kNormal, tasks == 1);
  for (std::uint32_t n = 0; n < jobs && tasks > 1; ++n) cluster.finish_one();
  held.submit_seconds = seconds_since(began);
  const double count = static_cast<double>(jobs) * tasks;
  held.bytes_each = (static_cast<double>(bytes_in_use()) - static_cast<double>(before)) / count;
  if (!drain) return held;
  began = std::chrono::steady_clock::now();
  if (tasks == 1) cluster.release_all();
  cluster.drain();
  held.drain_seconds = seconds_since(began);
  return held;
}

}  // namespace polysome::bench
