// Loads for the core alone: events in, commands answered at once by a cluster that does nothing.
// What a service can decide a second, how long one decision takes, what a queued task or job costs
// in memory. Used by core_bench and, with generous goals, by tests. One thread; times are real.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/core.h"

namespace polysome::bench {

// A core and a cluster that finishes every task as soon as it is asked to. `wall_seconds` is what
// its tasks say they took: short ones are queued behind each other in a slot.
class IdleCluster {
 public:
  IdleCluster(int workers, int threads, double wall_seconds);

  void step(const core::Event& event);
  void submit(std::uint32_t tasks, const std::string& user = "ada",
              Priority priority = Priority::kNormal, bool held = false);
  void release_all();
  // The oldest task that is running is over; false: none runs.
  bool finish_one();
  // Until every job has ended.
  void drain();

  std::size_t running() const { return running_.size(); }
  std::uint64_t finished() const { return finished_; }
  core::Core& core() { return core_; }
  double last_step_us() const { return last_step_us_; }

 private:
  void take(const core::Command& command);

  core::Core core_;
  double wall_seconds_;
  MonoTime now_ = 1000;
  std::uint64_t sequence_ = 0, finished_ = 0;
  double last_step_us_ = 0;
  std::vector<std::uint32_t> tasks_;  // of jobs by number; a planner's answer
  std::deque<core::StartTask> running_;
  std::vector<WorkerId> started_;
};

struct Quantiles {
  double p50 = 0, p99 = 0, most = 0, mean = 0;
};
Quantiles quantiles(std::vector<double> values);

// Bytes that the program has allocated and not given back.
std::size_t bytes_in_use();

// No-op tasks a second: `tasks` of one job, each started and finished.
double noop_tasks_a_second(std::uint32_t tasks, int workers, int threads);

// Microseconds a decision (one finished task in, the next started) while `queued` tasks of `jobs`
// jobs of three users wait. jobs == queued: every task is a job of its own.
Quantiles decision_us(std::uint32_t queued, std::uint32_t jobs, int workers, int threads,
                      std::uint32_t decisions);

struct Held {
  double submit_seconds = 0, drain_seconds = 0;
  double bytes_each = 0;  // of what is held
};
// `jobs` jobs of `tasks` tasks each are submitted, planned where that is possible, held, and then
// drained.
Held hold_and_drain(std::uint32_t jobs, std::uint32_t tasks, bool drain);

}  // namespace polysome::bench
