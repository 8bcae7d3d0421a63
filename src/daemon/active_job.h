// A job that has not ended, as the engine keeps it beside the core: what was asked for, what was
// last shown, who waits for it. Owned by the engine; loop thread. Plain data.
#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "api/backend.h"
#include "base/clock.h"
#include "core/events.h"
#include "model/job.h"
#include "model/plan.h"

namespace polysome {

// A long poll.
struct Waiter {
  std::uint64_t id = 0;
  std::optional<std::uint64_t> after;
  api::Reply<Json> reply;
  std::unique_ptr<boost::asio::steady_timer> timer;
};

// What its tasks used.
struct Measured {
  double cpu_seconds = 0, memory_gb_seconds = 0;
  std::uint64_t bytes_read = 0, peak_memory = 0;
  std::map<std::string, std::uint64_t> stage_peaks = {};  // by the stage's name
};

struct ActiveJob {
  JobSpec spec;
  JobState state;  // as last shown
  std::uint64_t sequence = 0;
  // Of a batch: no row of its own in the store yet; one was sent there, and may be in it.
  bool unwritten = false;
  bool row_sent = false;
  bool told_core = true;       // false: of a batch, the core has not heard of it yet
  bool counted = false;        // among its user's pending jobs
  std::vector<Stage> plan;     // in plan order, as far as it is known
  Measured before;             // by earlier services
  Measured now;                // by this one
  MonoTime told_progress = 0;  // when a job.progress event was last made
  MonoTime stored_progress = 0;
  bool progress_due = false;
  bool ending = false;  // its end is being committed
  std::list<Waiter> waiters;
};

// A submit whose commit is under way, found by its idempotency key.
struct PendingKey {
  std::string body_hash;
  std::vector<api::Reply<api::SubmitAnswer>> replies;
};

// An attempt handed out whose end was not heard of yet.
struct RunningAttempt {
  TaskRef task;
  WorkerId worker;
  int slot = 0;
  bool told_to_stop = false;  // whatever becomes of it is no failure
};

// {"p50", "p90"} as times, or null.
Json expected_start_json(const std::optional<core::Waiting::Expected>& expected);
core::JobSubmitted submitted_event(const JobSpec& spec, std::uint64_t sequence);

// Ids of jobs in the order of their submission, also of many in one millisecond or after a step of
// the clock. Not thread-safe.
class JobIds {
 public:
  // `close`: one of many made at once, right behind the one before.
  template <class Random>
  JobId next(WallTime at, bool close, Random& random) {
    constexpr std::uint32_t kStep = 1U << 14, kEnd = 1U << 26;
    if (at > time_) {
      time_ = at;
      count_ = 0;
    } else {
      count_ = close ? count_ + 1 : (count_ / kStep + 1) * kStep;
      if (count_ >= kEnd) {
        ++time_;
        count_ = 0;
      }
    }
    std::array<std::uint8_t, 10> tail{};
    for (auto& byte : tail) byte = static_cast<std::uint8_t>(random());
    // 12 bits before the variant, 6 beside it, 8 behind.
    tail[0] = static_cast<std::uint8_t>(count_ >> 22);
    tail[1] = static_cast<std::uint8_t>(count_ >> 14);
    tail[2] = static_cast<std::uint8_t>(count_ >> 8 & 0x3f);
    tail[3] = static_cast<std::uint8_t>(count_);
    return JobId::make(time_, tail);
  }

 private:
  WallTime time_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace polysome
