// The cluster's size: start, stop, scale, replace lost workers, drain, and who is not heard of. A
// worker that drains gets no new tasks, gives back those queued behind running ones, and is stopped
// when its running ones are over.
#pragma once

#include <optional>
#include <string>

#include "core/machine.h"

namespace polysome::core {

void start_cluster(Machine& m, const ClusterStarted& event);
void stop_cluster(Machine& m, const ClusterStopped& event);
void scale_cluster(Machine& m, const ClusterScaled& event);
// Set aside (drained, excluded) and taken again; unknown and stopping workers are left alone.
void drain_worker(Machine& m, const WorkerDrainRequested& event);
void exclude_worker(Machine& m, const WorkerExcludeRequested& event);
void readmit_worker(Machine& m, WorkerId id);
void readmit_due(Machine& m);  // exclusions whose time is over
void worker_ready(Machine& m, const WorkerReady& event);
void worker_lost(Machine& m, const WorkerLost& event);
void worker_heard(Machine& m, const WorkerHeard& event);

// After a pause of the whole service: nobody could be heard, so nobody is late.
void forgive_silence(Machine& m);
// Gives up workers not heard of for longer than the lease.
void check_leases(Machine& m);
// The next time that check_leases has to run; often enough to tell a pause from silence.
std::optional<MonoTime> next_lease_check(const Machine& m);
// Starts, drains and stops workers until their number is as wanted. Cheap when nothing changed.
void resize_cluster(Machine& m);
// stopped, starting, running, stopping
std::string cluster_status(const Machine& m);

}  // namespace polysome::core
