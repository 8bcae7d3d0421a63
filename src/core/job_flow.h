// A job's life: accepted, waiting for others, pending, running, going to its end, ended. The only
// place that changes a job's status and that emits JobEnded (once a job).
#pragma once

#include <optional>
#include <string>

#include "core/machine.h"

namespace polysome::core {

void submit_job(Machine& m, const JobSubmitted& event);
void restore_job(Machine& m, const JobRestored& event);
void cancel_job(Machine& m, const CancelRequested& event);
void patch_job(Machine& m, const JobPatched& event);
void dependency_known(Machine& m, JobId dependency, JobStatus status);

// From here on nothing new starts; running attempts are cancelled; the job ends when they answered.
// The first ending wins.
void begin_ending(Machine& m, JobRun& job, Ending ending);
void fail_job(Machine& m, JobRun& job, Error error, FaultClass fault_class, std::string task);

// Called when the job's first attempt begins and when its last one is over.
void attempts_began(Machine& m, JobRun& job);
void attempts_ended(Machine& m, JobRun& job);
void timeout_due(Machine& m, JobId id);

// Ends jobs that can end and takes jobs back to pending when the cluster stops, until nothing
// moves.
void settle_jobs(Machine& m);
// Tells what changed of the jobs touched in this step.
void tell_changes(Machine& m);

}  // namespace polysome::core
