// What ended jobs teach: how much users and operations used, and what a job of an operation on
// input of a size will need. Pure: takes the store's records, gives the API's answers.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/json.h"
#include "store/store.h"

namespace polysome {

// resources/usage: one row a user or operation.
class UsageReport {
 public:
  explicit UsageReport(bool by_operation) : by_operation_(by_operation) {}
  void add(const StoredUsage& usage);
  Json rows();  // the most CPU seconds first

 private:
  struct Sum {
    std::uint64_t jobs = 0, bytes_read = 0;
    double cpu_seconds = 0, memory_gb_seconds = 0;
    std::vector<double> waits;
  };
  const bool by_operation_;
  std::map<std::string, Sum> sums_;
};

// resources/recommendations: by operation and size of input, from completed runs. Sizes are told
// apart by powers of four.
class RunsLearned {
 public:
  void add(const StoredUsage& usage);
  // `memory_per_slot`: what a task gets when nothing asks for more.
  Json operations(std::uint64_t memory_per_slot) const;

  // The size class of an input: 0 for none, then [4^(n-1), 4^n) MB.
  static int size_class(std::uint64_t bytes);

 private:
  struct Runs {
    std::vector<double> memory, seconds, cpu_seconds;
  };
  std::map<std::pair<std::string, int>, Runs> runs_;
};

// The value that the share `q` of them does not exceed: the smallest such one. 0 for none.
double quantile(std::vector<double> values, double q);

// What cluster and queue look like, for advice on its size.
struct Load {
  bool running = false;
  int n_workers = 0, threads_per_worker = 1;
  int total_cores = 0, used_cores = 0;
  std::uint64_t queued_tasks = 0, active_tasks = 0, pending_jobs = 0;
  double recent_utilisation = -1;  // of the last hour; below 0: unknown
  bool autoscaled = false;
};
// {"advice", "n_workers", "suggested_n_workers", numbers}
Json scaling_advice(const Load& load);

}  // namespace polysome
