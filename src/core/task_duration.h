// How long the tasks of a stage take, from those that finished: a mean in which recent ones weigh
// more, and the last 64 for spread and quantiles. What counts is how long a task held its slot
// (with its start and its publication); only whether tasks are short is judged by the time they say
// they ran. 48 bytes until four are known, as a queue may hold a hundred thousand stages. Plain
// value inside a stage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace polysome::core {

class TaskDuration {
 public:
  static constexpr double kShortMs = 50;
  static constexpr std::size_t kKept = 64;

  void add(double ran_ms, double held_ms);
  std::uint32_t samples() const { return samples_; }
  // Unknown is not short: a long task must never wait behind another one.
  bool is_short() const { return samples_ > 0 && ran_ms_ < kShortMs; }
  // Of recent ones; its own standard error is a third of deviation_ms.
  double mean_ms() const { return mean_ms_; }
  // Of the last 64; 0 when there is none. `q` in [0, 1].
  double quantile_ms(double q) const;
  double median_ms() const { return quantile_ms(0.5); }
  // Mean and standard deviation of the last 64; of a single one the deviation is as large as it.
  double kept_mean_ms() const;
  double deviation_ms() const;

 private:
  std::vector<double> kept() const;

  double mean_ms_ = 0, ran_ms_ = 0;
  std::uint32_t samples_ = 0;
  std::array<float, 3> first_{};              // until kept_ is there
  std::unique_ptr<std::vector<float>> kept_;  // a ring of the last 64
};

}  // namespace polysome::core
