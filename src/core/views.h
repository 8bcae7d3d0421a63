// What the API shows of the machine: jobs, tasks, cluster, queue. Reads only; O(stages) for a job.
#pragma once

#include <cstdint>
#include <vector>

#include "core/machine.h"

namespace polysome::core {

JobView view_job(const Machine& m, const JobRun& job, MonoTime now);
std::vector<TaskView> view_tasks(const Machine& m, const JobRun& job, std::uint64_t offset,
                                 std::uint32_t limit, std::uint64_t* total);
std::vector<UserView> view_users(const Machine& m);
ClusterView view_cluster(const Machine& m);

}  // namespace polysome::core
