// What one attempt may use and what it used: the memory limit of the process while it runs, and its
// peak memory, CPU and wall time. Made before the sandbox (it keeps files of /proc open); begin,
// lift and end are called by the slot's main thread, use() by any.
//
// The limit counts from what the process had when it entered the job, so whatever a job's tasks
// leave for each other (a database session) is within their own grant. Files that a task maps are
// the kernel's to take back: they are part of the peak, as /proc has it, but not of the limit.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/unique_fd.h"

namespace polysome {

struct TaskUse {
  std::uint64_t peak_memory = 0;  // bytes resident, of the whole process
  double cpu_seconds = 0;         // all threads of the process and its children
  double wall_seconds = 0;
};

class TaskMeter {
 public:
  TaskMeter();

  // Starts counting. With a grant, the process may have that much more data memory than it began
  // its job with; allocations beyond fail (std::bad_alloc) and the process lives. 0: no limit.
  // `new_job`: nothing is left of the task before.
  void begin(std::uint64_t grant, bool new_job);
  // Takes the limit away, so that publishing and reporting cannot fail for it.
  void lift();
  TaskUse end();

  std::uint64_t resident() const;
  // Of the process, since its start.
  static double process_cpu_seconds();
  double cpu_seconds() const { return process_cpu_seconds() - cpu_before_; }

 private:
  UniqueFd statm_;
  UniqueFd clear_refs_;
  std::uint64_t peak_ = 0;  // last read of the process's high-water mark
  std::uint64_t resident_before_ = 0;
  std::uint64_t idle_data_ = 0;  // data memory before the first task
  std::uint64_t base_ = 0;       // before the job's first task
  std::atomic<double> cpu_before_ = 0;
  double started_ = 0;
  bool limited_ = false;
};

}  // namespace polysome
