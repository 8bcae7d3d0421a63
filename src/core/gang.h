// Stages whose tasks talk to each other: all of them run at once or none does. One is admitted only
// when there is room for all (so two can't wait for each other with half of what they need), and
// when one of its tasks must be done again all are: running ones are taken back, finished ones
// forgotten, nobody but the one at fault is charged. StageRun::ready() is 0 until the whole gang is
// ready.
#pragma once

#include "core/machine.h"

namespace polysome::core {

// A task of the stage is no longer running and not finished. Does nothing to other stages.
void disband_gang(Machine& m, JobRun& job, StageRun& stage);

// The most memory one task may be given: of a gang what still lets all of it run at once.
std::uint64_t most_grant_of(const Machine& m, const JobRun& job, const StageRun& stage);

// Refuses stages with gangs that neither the cluster as configured, at its largest, nor the limits
// of the job and its user could ever hold. kInvalid with the largest possible.
Status check_gangs(const Machine& m, const JobRun& job, const std::vector<Stage>& stages);

}  // namespace polysome::core
