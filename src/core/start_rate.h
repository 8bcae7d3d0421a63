// How often a job starts while others wait: what the expected start of a job far back in the queue
// rests on. Plain value inside the machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/clock.h"

namespace polysome::core {

class StartRate {
 public:
  // Intervals that have to be known before they mean something.
  static constexpr std::uint32_t kLeast = 8;

  // A job started; `others_wait`: the time to the next start will be a wait.
  void note(MonoTime now, bool others_wait) {
    if (last_) {
      const auto ms = static_cast<double>(now - *last_);
      const double gain = count_ < 16 ? 1.0 / (count_ + 1) : 1.0 / 16;
      const double off = ms - mean_;
      mean_ += gain * off;
      variance_ = (1 - gain) * (variance_ + gain * off * off);
      ++count_;
    }
    last_ = others_wait ? std::optional(now) : std::nullopt;
  }
  // Until the n-th start from now (1: the next), in ms: the median and what nine of ten keep to.
  std::optional<std::pair<double, double>> until(int n, MonoTime now) const {
    if (count_ < kLeast || !last_) return std::nullopt;
    const double passed = static_cast<double>(now - *last_);
    const double likely = std::max(n * mean_ - passed, 0.0);
    return std::pair(likely, likely + 1.2816 * std::sqrt(n * variance_));
  }

 private:
  std::optional<MonoTime> last_;
  double mean_ = 0, variance_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace polysome::core
