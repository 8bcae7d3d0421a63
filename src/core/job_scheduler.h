// Placement: which ready task goes to which slot. Jobs in the order of the queue, which is asked
// anew after each task; what the first can't use, the next may (work-conserving), as far as it does
// not delay the first that is blocked (backfill.h). A pass ends when slots run out or after a
// bounded number of jobs that can't be placed, so a step never costs O(jobs).
#pragma once

#include <optional>

#include "core/machine.h"

namespace polysome::core {

// Jobs that can't be placed which one pass looks at.
inline constexpr int kMostBlockedLooks = 64;

void place_tasks(Machine& m);
// As place_tasks, when nothing changed since but that this job came: a batch of many jobs costs no
// look at those that are blocked.
void place_job(Machine& m, JobId id);
// Takes back tasks that wait behind slow ones when idle slots could run them.
void rebalance(Machine& m);

// What the job's first ready stage needs to go on; nullopt when it has none.
std::optional<Need> next_need(const Machine& m, const JobRun& job);
// What stands in its way, as placement sees it; kNone: nothing does.
Obstacle obstacle_of(const Machine& m, const JobRun& job, const Need& need);

}  // namespace polysome::core
