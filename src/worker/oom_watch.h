// Evidence that the kernel ended a process for memory: the count of its kills rises. The count is
// that of a control group or of the machine, so only what it rose lately speaks of a process that
// has just ended. Owned by the supervisor, its thread.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace polysome {

// Out-of-memory kills so far in this process's control group (v2, else v1), else on the machine; 0
// when nothing can be read.
std::uint64_t count_oom_kills();

class OomWatch {
 public:
  explicit OomWatch(std::function<std::uint64_t()> count = count_oom_kills)
      : count_(std::move(count)), before_(count_()), last_(before_) {}

  // Once a second or so: kills before the last but one call are forgotten, as a process may take a
  // moment to end.
  void tick() {
    before_ = last_;
    last_ = count_();
  }
  // There was a kill lately that was not asked for yet.
  bool killed() {
    const std::uint64_t now = count_();
    const bool risen = now > before_;
    before_ = last_ = now;
    return risen;
  }

 private:
  std::function<std::uint64_t()> count_;
  std::uint64_t before_, last_;
};

}  // namespace polysome
