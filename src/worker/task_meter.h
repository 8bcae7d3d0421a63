// What one attempt may use and what it used: the memory limit of the process while it runs, and its
// peak memory, CPU and wall time. Made before the sandbox (it keeps files of /proc open); begin,
// lift and end are called by the slot's main thread, resident() by any.
#pragma once

#include <cstdint>

#include "worker/unique_fd.h"

namespace polysome {

struct TaskUse {
  std::uint64_t peak_memory = 0;  // bytes resident, of the whole process
  double cpu_seconds = 0;         // all threads of the process
  double wall_seconds = 0;
};

class TaskMeter {
 public:
  TaskMeter();

  // Starts counting. With a grant, the process may then have that much more data memory than now;
  // allocations beyond fail (std::bad_alloc) and the process lives. 0: no limit.
  void begin(std::uint64_t grant);
  // Takes the limit away, so that publishing and reporting cannot fail for it.
  void lift();
  TaskUse end();

  std::uint64_t resident() const;

 private:
  UniqueFd statm_;
  UniqueFd clear_refs_;
  std::uint64_t peak_ = 0;  // last read of the process's high-water mark
  double cpu_before_ = 0;
  double started_ = 0;
  bool limited_ = false;
};

}  // namespace polysome
