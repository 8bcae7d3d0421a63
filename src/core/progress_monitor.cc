#include "core/progress_monitor.h"

#include <algorithm>

namespace polysome::core {
namespace {

constexpr double kMostUnfinished = 99.9;

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

void ProgressMonitor::stage_changed(StageProgress& stage) {
  const std::uint64_t done = stage.weight_done();
  if (done == stage.counted) return;
  done_ = done_ - stage.counted + done;
  stage.counted = done;
  raise();
}

void ProgressMonitor::raise() {
  if (total_ == 0) return;
  const double percent = 100.0 * static_cast<double>(done_) / static_cast<double>(total_);
  shown_ = std::max(shown_, std::min(percent, kMostUnfinished));
}

}  // namespace polysome::core
