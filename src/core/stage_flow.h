// How a job's plan grows and its stages move: tasks become ready, finish, are forgotten; stages
// become complete and open those after them. Keeps the counters that make placement O(log n).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/machine.h"

namespace polysome::core {

// The stage every job begins with.
Stage root_stage();
// Appends a fragment's stages. Errors: kInternal naming what is wrong; nothing was appended then.
Status append_stages(Machine& m, JobRun& job, const std::vector<Stage>& stages);
// Marks what an earlier service had finished of a stage just appended; completes it if that was
// all.
void restore_stage(Machine& m, JobRun& job, std::uint32_t stage, const RestoredStage& restored,
                   bool later_stage_began);

// The next ready task of a stage, retried ones first; it is no longer ready. The stage has one.
std::uint32_t take_ready(Machine& m, JobRun& job, StageRun& stage, bool again);
// Ready again, uncharged.
void make_ready(Machine& m, JobRun& job, StageRun& stage, std::uint32_t index);
// Counts a finished task; true when the stage is complete now. `bytes` as reported (0: its share).
bool finish_task(Machine& m, JobRun& job, std::uint32_t stage, std::uint32_t index,
                 std::uint64_t bytes);
// A finished task is to be done again.
void forget_task(Machine& m, JobRun& job, std::uint32_t stage, std::uint32_t index);
// Brings the job's and machine's counts of ready tasks up to date with the stage's.
void count_ready(Machine& m, JobRun& job, StageRun& stage);
// Moves a job in or out of the runnable ones.
void place_in_queue(Machine& m, JobRun& job);

}  // namespace polysome::core
