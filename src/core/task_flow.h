// Attempts of tasks: started, progressed, finished, failed, lost. Reports about attempts the core
// has given up are dropped, so repeated and late messages change nothing.
#pragma once

#include <cstdint>
#include <string>

#include "core/machine.h"

namespace polysome::core {

void task_started(Machine& m, const TaskStarted& event);
void task_progressed(Machine& m, const TaskProgressed& event);
void task_finished(Machine& m, const TaskFinished& event);
void task_failed(Machine& m, const TaskFailed& event);
void output_lost(Machine& m, const OutputLost& event);
void slot_lost(Machine& m, const SlotLost& event);

// Gives an attempt to a slot and tells the slot.
void start_attempt(Machine& m, Worker& worker, int slot, JobRun& job, StageRun& stage, bool again,
                   std::uint64_t grant);
// A second attempt of a running task on another worker; the first to finish wins.
void start_twin(Machine& m, Attempt& first, Worker& worker, int slot);
// Asks for an attempt back; the answer makes its task ready again, uncharged.
void take_back(Machine& m, Attempt& attempt);
// Gives up all attempts of a worker that is gone or will be. `blame_loss`: running ones count a
// loss (at most 20 a task); else nothing is counted (a stop was asked for).
void give_up_attempts(Machine& m, Worker& worker, bool blame_loss, const std::string& why);
void backoff_over(Machine& m, const Timer& timer);

}  // namespace polysome::core
