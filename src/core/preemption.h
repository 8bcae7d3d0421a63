// CRITICAL jobs before all others: tasks of lower jobs that are queued behind running ones are
// taken back at once, and since a CRITICAL job is first in the queue, slots come to it as the tasks
// on them end. Running tasks are left to their end; nothing is charged. Only jobs that were
// submitted as CRITICAL preempt, and only those that have not risen to the top by waiting can be
// preempted.
#pragma once

#include "core/machine.h"

namespace polysome::core {

bool may_preempt(const Machine& m, const JobRun& job);
// Frees slots for a job that may preempt and found no place.
void preempt_for(Machine& m, const JobRun& job);

}  // namespace polysome::core
