#include "core/task_duration.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace polysome::core {
namespace {

constexpr double kRecent = 0.2;

}  // namespace

void TaskDuration::add(double ran_ms, double held_ms) {
  const bool known = samples_ > 0;
  mean_ms_ = known ? mean_ms_ * (1 - kRecent) + held_ms * kRecent : held_ms;
  ran_ms_ = known ? ran_ms_ * (1 - kRecent) + ran_ms * kRecent : ran_ms;
  const std::size_t place = samples_++;
  if (place < first_.size()) {
    first_[place] = static_cast<float>(held_ms);
    return;
  }
  if (!kept_) kept_ = std::make_unique<std::vector<float>>(first_.begin(), first_.end());
  if (kept_->size() < kKept)
    kept_->push_back(static_cast<float>(held_ms));
  else
    (*kept_)[place % kKept] = static_cast<float>(held_ms);
}

std::vector<double> TaskDuration::kept() const {
  if (kept_) return {kept_->begin(), kept_->end()};
  return {first_.begin(), first_.begin() + std::min<std::size_t>(samples_, first_.size())};
}

double TaskDuration::quantile_ms(double q) const {
  std::vector<double> sorted = kept();
  if (sorted.empty()) return 0;
  const auto rank = std::lround(q * static_cast<double>(sorted.size() - 1));
  std::ranges::nth_element(sorted, sorted.begin() + rank);
  return sorted[static_cast<std::size_t>(rank)];
}

double TaskDuration::kept_mean_ms() const {
  const std::vector<double> list = kept();
  if (list.empty()) return 0;
  return std::accumulate(list.begin(), list.end(), 0.0) / static_cast<double>(list.size());
}

double TaskDuration::deviation_ms() const {
  const std::vector<double> list = kept();
  const double mean = kept_mean_ms();
  if (list.size() < 2) return mean;
  double squares = 0;
  for (const double ms : list) squares += (ms - mean) * (ms - mean);
  return std::sqrt(squares / static_cast<double>(list.size() - 1));
}

}  // namespace polysome::core
