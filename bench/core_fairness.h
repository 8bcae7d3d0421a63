// The same load of several users in virtual time, once shared between them and once as plain FIFO
// (everybody's jobs as one user's, in the order they came): who waits how long. Nothing is random
// but the load, which follows from its seed; the figures are exact and the same on any machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace polysome::bench {

struct LoadJob {
  std::string user;
  MonoTime at = 0;  // submitted
  std::uint32_t tasks = 1;
  MonoTime task_ms = 1000;
};
struct Load {
  std::string name;
  int workers = 6, threads = 2;
  std::vector<LoadJob> jobs;  // by time
};
// One user floods the queue, one works through the day, one now and then asks something small.
Load flood();
// Three users submit 200 jobs of mixed sizes each within ten minutes.
Load mixed();

struct UserFigures {
  std::string user;
  std::size_t jobs = 0;
  double mean_wait_s = 0, p95_wait_s = 0, max_wait_s = 0;  // submission to first task
  double mean_turnaround_s = 0;
  double mean_slowdown = 0;  // turnaround over what the job takes on the empty cluster
  // Mean turnaround over that on a cluster of his own, of the size of his even part of this one:
  // 1 or less means that sharing costs him nothing (the sharing incentive of Ghodsi et al. 2011).
  double against_own_part = 0;
};
struct Figures {
  std::string load, order;
  std::vector<UserFigures> users;
  // Jain's index of min(1, 1 / against_own_part): 1 when nobody is worse off than with his part.
  double jain = 0;
  double makespan_s = 0;
};
Figures run(const Load& load, bool shared);

double jain(const std::vector<double>& values);

}  // namespace polysome::bench
