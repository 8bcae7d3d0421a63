// What a failed attempt means: try again now, try again later, or give up. Classes and limits are
// those of contract.md, "What an attempt is". Pure functions over a task's short history, which
// exists only for tasks that had trouble.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/error.h"

namespace polysome::core {

// Out of memory: a task is tried with up to three grants, the last all it can be given; when that
// is not enough and its work can be cut, cut into 8 and at last into 64.
inline constexpr int kMostGrants = 3;
inline constexpr std::uint32_t kSplitStep = 8;
inline constexpr std::uint32_t kMostSplit = 64;
inline constexpr int kMostLosses = 20;
inline constexpr std::int64_t kLongestBackoffMs = 60'000;
// So long after its backoff a task waits for another worker than the one where it failed.
inline constexpr std::int64_t kAvoidMs = 30'000;

// The history of one task that failed at least once and is not finished.
struct TaskTrouble {
  std::uint8_t counted = 0;  // attempts that count
  std::uint8_t out_of_memory = 0;
  std::uint8_t losses = 0;  // with slot or worker, or for a lost input: not its fault
  bool backing_off = false;
  MonoTime due = 0;         // end of the backoff
  std::uint64_t grant = 0;  // least grant of the next attempt; 0: the stage's
  std::uint8_t larger = 0;  // how often the grant was raised
  std::uint32_t split = 1;  // into so many pieces the next attempt cuts its work
  // The worker of the last attempt that counts, by number; while another could take the task it is
  // not tried there again before this time. 0: none.
  std::uint32_t avoid = 0;
  MonoTime avoid_until = 0;
};

struct Fault {
  FaultClass fault_class = FaultClass::kInternal;
  bool lost = false;  // the attempt was taken by something that was not its fault
  Error error;
  std::uint64_t needed_memory = 0;  // what the task knows to need; 0: unknown
  std::uint64_t peak_memory = 0;
  bool ended_by_system = false;  // out of memory: the kernel ended the process, whatever its grant
};

struct FaultLimits {
  int max_attempts = 3;
  std::int64_t retry_delay_ms = 5000;
  std::uint64_t grant = 0;       // of the attempt that failed
  std::uint64_t most_grant = 0;  // a worker's memory, or the job's ceiling
  bool can_split = false;        // the stage's tasks can work through their input in pieces
};

enum class Verdict : std::uint8_t { kRetryNow, kRetryLater, kGiveUp };

struct Decision {
  Verdict verdict = Verdict::kRetryNow;
  std::int64_t delay_ms = 0;  // kRetryLater
  Error error;                // kGiveUp: what the job fails with
};

// Charges the fault to the task's history. `task` names it for people ("scan/17"); `chance` is
// uniform in [0, 1).
Decision charge(TaskTrouble& trouble, const Fault& fault, const FaultLimits& limits,
                const std::string& task, double chance);

// uniform(0, min(60 s, delay x 2^(failures - 1))): `chance` uniform in [0, 1).
std::int64_t backoff_ms(std::int64_t delay_ms, int failures, double chance);

}  // namespace polysome::core
