// What the store lets go of, a few rows at a time: old ended jobs over a number, old events and
// metrics over a number, idempotency keys some days after their job's end. Writer's thread only,
// each step in a transaction of its own.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "store/sqlite.h"

namespace polysome {

struct RetentionLimits {
  std::int64_t jobs = 1'000'000;
  std::int64_t events = 1'000'000;
  std::int64_t metrics = 500'000;
  std::int64_t usage = 1'000'000;
  std::int64_t decisions = 100'000;
  WallTime keys_ms = 7LL * 24 * 3600 * 1000;  // after the job's end
};

// True when so much is over the limits that waiting for an idle moment is too long.
Result<bool> far_over_limits(Database& db, const RetentionLimits& limits, std::int64_t jobs);

struct Trimmed {
  std::int64_t jobs = 0;
  bool more = false;  // another step has work to do
};
// One step, a few milliseconds at most. `jobs` is how many there are.
Result<Trimmed> trim(Database& db, const RetentionLimits& limits, std::int64_t jobs, WallTime now);

}  // namespace polysome
