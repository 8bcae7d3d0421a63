// A reservation for the first job that fits nowhere, and what may pass it (EASY backfill, Lifka
// 1995, over memory and slots): the workers that will hold it, when they will have room as far as
// durations were measured, and what they have to spare then. A task of another job may use such a
// worker if it will surely be over before, or fits into what is spare. Other workers are free to
// all. Pure functions over the machine; computed anew in each pass, so it follows what happens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/machine.h"

namespace polysome::core {

// What a stage needs to go on: one task's memory, or all tasks of a gang at once.
Need need_of(const Machine& m, const JobRun& job, const StageRun& stage, bool again);

// How long tasks of this stage take: its own, for planners those of all jobs.
const TaskDuration& duration_of(const Machine& m, const StageRun& stage);
// So long a task will take at most, as far as can be told; nullopt: nothing is known.
std::optional<double> longest_ms(const TaskDuration& duration);

// When a busy slot will be empty: its running task and those queued behind it. nullopt: unknown.
struct SlotEnd {
  MonoTime likely = 0, late = 0;
};
std::optional<SlotEnd> slot_end(const Machine& m, const Slot& slot);

// nullopt: no state of the cluster as it is would do. `before`: of equal workers those that were
// chosen then.
std::optional<Reservation> reserve(const Machine& m, JobRun& job, const Need& need,
                                   const Reservation* before);
// When it will probably be there at the latest; nullopt: unknown.
std::optional<MonoTime> late_start(const Machine& m, const Reservation& reservation);

// Was it made for this need, or one that the same job has before it? Its other tasks are bound by
// it.
bool is_for(const Reservation& reservation, const JobRun& job, const Need& need);
// The door to reserved workers for this need: without a reservation in it all is open.
Passage passage(const Machine& m, const JobRun& job, const Need& need);

}  // namespace polysome::core
