// Placement: which ready task goes to which slot. Jobs in the order of the queue, which is asked
// anew after each task; what the first can't use, the next may (work-conserving), except a worker
// kept free for a larger task of a job before it. A pass ends when slots run out or after a bounded
// number of jobs that can't be placed, so a step never costs O(jobs).
#pragma once

#include "core/machine.h"

namespace polysome::core {

// Jobs that can't be placed which one pass looks at.
inline constexpr int kMostBlockedLooks = 256;

void place_tasks(Machine& m);
// Takes back tasks that wait behind slow ones when idle slots could run them.
void rebalance(Machine& m);

// What the job's first ready task needs; nullopt when it has none.
std::optional<std::uint64_t> next_grant(const Machine& m, const JobRun& job);

}  // namespace polysome::core
