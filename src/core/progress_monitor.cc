#include "core/progress_monitor.h"

#include <algorithm>
#include <cmath>

namespace polysome::core {
namespace {

constexpr double kTimeConstantMs = 30'000;
constexpr double kMostUnfinished = 99.9;
// A rate means something after this much time, steps and share of the work.
constexpr double kLeastMs = 1000;
constexpr std::uint32_t kLeastGains = 3;
constexpr double kLeastShare = 0.01;

}  // namespace

std::uint64_t StageProgress::bytes_done() const {
  return done == tasks ? bytes : std::min(bytes, bytes_finished + bytes_running);
}

std::uint64_t StageProgress::weight() const {
  if (!weighs) return 0;
  return bytes > 0 ? bytes : tasks * kTaskWeight;
}

std::uint64_t StageProgress::weight_done() const {
  if (!weighs) return 0;
  return bytes > 0 ? bytes_done() : done * kTaskWeight;
}

void ProgressMonitor::stage_added(StageProgress& stage) {
  total_ += stage.weight();
  stage.counted = stage.weight_done();
  done_ += stage.counted;
  raise();
}

void ProgressMonitor::stage_changed(StageProgress& stage, MonoTime now) {
  const std::uint64_t done = stage.weight_done();
  if (done == stage.counted) return;
  pass_time(now);
  // What a lost attempt had read counts no longer.
  recent_weight_ = std::max(
      0.0, recent_weight_ + static_cast<double>(done) - static_cast<double>(stage.counted));
  if (done > stage.counted) ++gains_;
  done_ = done_ - stage.counted + done;
  stage.counted = done;
  raise();
}

void ProgressMonitor::running(bool is_running, MonoTime now) {
  if (is_running == running_) return;
  pass_time(now);
  running_ = is_running;
}

void ProgressMonitor::pass_time(MonoTime now) {
  if (running_ && now > at_) {
    const auto passed = static_cast<double>(now - at_);
    const double keep = std::exp(-passed / kTimeConstantMs);
    recent_weight_ *= keep;
    recent_ms_ = recent_ms_ * keep + passed;
  }
  at_ = now;
}

void ProgressMonitor::raise() {
  if (total_ == 0) return;
  const double percent = 100.0 * static_cast<double>(done_) / static_cast<double>(total_);
  shown_ = std::max(shown_, std::min(percent, kMostUnfinished));
}

std::optional<double> ProgressMonitor::eta_seconds(MonoTime now) const {
  if (total_ == 0 || gains_ < kLeastGains || recent_weight_ <= 0 || !running_) return std::nullopt;
  const double since = static_cast<double>(std::max<MonoTime>(now - at_, 0));
  const double ms = recent_ms_ + since;
  if (ms < kLeastMs) return std::nullopt;
  if (static_cast<double>(done_) < kLeastShare * static_cast<double>(total_)) return std::nullopt;
  return static_cast<double>(total_ - done_) * ms / recent_weight_ / 1000.0;
}

}  // namespace polysome::core
