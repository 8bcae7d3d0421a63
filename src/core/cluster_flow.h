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
// While it scales by itself, a size asked for is cut to the policy's bounds.
void scale_cluster(Machine& m, const ClusterScaled& event);
void scale_cluster(Machine& m, int wanted);
// Set aside (drained, excluded) and taken again; unknown and stopping workers are left alone.
void drain_worker(Machine& m, const WorkerDrainRequested& event);
void exclude_worker(Machine& m, const WorkerExcludeRequested& event);
void readmit_worker(Machine& m, WorkerId id);
// Exclusions whose time is over: probed when it was the worker's score, else readmitted.
void readmit_due(Machine& m);
// Its tasks move away uncharged. for_ms 0: until readmitted.
void set_excluded(Machine& m, Worker& worker, const std::string& reason, std::int64_t for_ms);
// The next task that it is given decides whether it is readmitted.
void probe_worker(Machine& m, Worker& worker);
void worker_ready(Machine& m, const WorkerReady& event);
void worker_lost(Machine& m, const WorkerLost& event);
void worker_heard(Machine& m, const WorkerHeard& event);

// The service itself was not there for `gap`, longer than it may sleep: nobody could be heard or
// answered, so nobody is late, and no task was slow.
void forgive_pause(Machine& m, MonoTime gap);
// Gives up workers not heard of for longer than the lease.
void check_leases(Machine& m);
// The next time that check_leases has to run; often enough to tell a pause from silence.
std::optional<MonoTime> next_lease_check(const Machine& m);
// Starts, drains and stops workers until their number is as wanted. Cheap when nothing changed.
void resize_cluster(Machine& m);
// stopped, starting, running, stopping
std::string cluster_status(const Machine& m);

}  // namespace polysome::core
