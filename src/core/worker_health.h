// What a worker's faults say about the worker. Each fault that may be the worker's own adds its
// weight to a score, which halves in ten minutes; each task that went well takes a little off. A
// worker above the threshold, and well above the others, is excluded: its tasks move away
// uncharged, after a time one task probes it, and then it is readmitted or excluded for twice as
// long. The score of faults that all workers show alike (a bad job, a lost disk) excludes nobody,
// and the last usable worker is never excluded.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "model/ids.h"

namespace polysome::core {

struct Machine;
struct Worker;
struct Fault;
struct Attempt;

inline constexpr double kExcludeScore = 3;
// Of the middle one of the other usable workers; below this the worker is no worse than they are.
inline constexpr double kTimesWorse = 3;
inline constexpr MonoTime kScoreHalfLifeMs = 600'000;
inline constexpr MonoTime kFirstExclusionMs = 60'000;
inline constexpr MonoTime kLongestExclusionMs = 1'800'000;

struct WorkerHealth {
  double score = 0;  // as it was at `at`
  MonoTime at = 0;
  std::array<std::uint64_t, 6> by_class{};  // failed attempts on it, by FaultClass
  std::uint64_t silences = 0;               // heartbeats that came late
  int exclusions = 0;                       // since it was last well for long
  MonoTime readmitted = 0;
  bool probes = false;                 // excluded by its score: probed when the time is over
  std::optional<std::uint64_t> probe;  // the attempt that decides
  // The last tasks that were held against it: a task that fails again and again on one worker says
  // no more than once.
  std::array<TaskRef, 8> blamed{};
  std::size_t next_blamed = 0;

  double score_at(MonoTime now) const;
  void add(double weight, MonoTime now);
  std::vector<std::pair<FaultClass, std::uint64_t>> faults() const;  // those that happened
};

// How much a fault tells about the worker it happened on: 0 for the user's errors, memory, our own
// defects, and what was killed from outside.
double weight_of(FaultClass fault_class, bool lost);
std::int64_t exclusion_ms(int exclusions);  // of the n-th in a row, from 1

// Counts a failed attempt; a probe's decides. Its worker may be excluded at the end of the step.
void note_fault(Machine& m, const Attempt& a, const Fault& fault);
void note_success(Machine& m, const Attempt& a);
// A probe that told nothing: it was taken back, or failed by no fault of a worker.
void note_no_answer(const Attempt& a);
// A heartbeat came after so long a silence; of more than a third of the lease it is noted.
void note_silence(Machine& m, Worker& worker, MonoTime silence);
// Excludes those whose score asks for it; probes the best excluded one when none can be used.
void judge_workers(Machine& m);

}  // namespace polysome::core
