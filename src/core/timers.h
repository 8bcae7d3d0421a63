// What the core waits for in time: a heap of (due, what). Entries are never removed early; whoever
// handles one checks that it still holds, so a stale entry costs one look. Part of the machine; its
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "base/clock.h"
#include "model/ids.h"

namespace polysome::core {

enum class TimerKind : std::uint8_t {
  kBackoff,     // a task may be tried again
  kJobTimeout,  // a job's running time may be used up
  kReplace,     // lost workers may be replaced again
  kReadmit,     // an excluded worker may be taken again
  kRebalance,   // tasks queued behind slow ones may move to idle slots
  kAutoscale,   // the number of workers is looked at
  kAvoided,     // a task may go again to the worker where it failed
  kWatch,       // running tasks may have stalled, or be slow enough to be run twice
};

struct Timer {
  MonoTime due = 0;
  TimerKind kind = TimerKind::kBackoff;
  TaskRef task;  // kBackoff: the task; kJobTimeout: its job

  std::uint64_t order = 0;  // of arming: ties are handled in it
};

class Timers {
 public:
  void arm(MonoTime due, TimerKind kind, TaskRef task = {}) {
    heap_.push({due, kind, task, ++armed_});
  }
  std::optional<MonoTime> next() const {
    return heap_.empty() ? std::nullopt : std::optional(heap_.top().due);
  }
  std::optional<Timer> take_due(MonoTime now) {
    if (heap_.empty() || heap_.top().due > now) return std::nullopt;
    const Timer timer = heap_.top();
    heap_.pop();
    return timer;
  }

 private:
  struct Later {
    bool operator()(const Timer& a, const Timer& b) const {
      return a.due != b.due ? a.due > b.due : a.order > b.order;
    }
  };
  std::priority_queue<Timer, std::vector<Timer>, Later> heap_;
  std::uint64_t armed_ = 0;
};

}  // namespace polysome::core
