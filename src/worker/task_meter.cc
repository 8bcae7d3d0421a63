#include "worker/task_meter.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "base/process.h"

namespace polysome {
namespace {

#ifdef POLYSOME_SANITIZED
constexpr bool kLimits = false;  // sanitizers reserve address space and die under RLIMIT_DATA
#else
constexpr bool kLimits = true;
#endif
// The high-water mark is put back when it is this far above what is in use.
constexpr std::uint64_t kSlack = 1 << 20;
// Tasks that are shorter than this and took less leave the allocator as it is.
constexpr double kTrimAfterSeconds = 0.05;
constexpr std::uint64_t kTrimAfterBytes = 8 << 20;
// What a process that has lived long may have more than a new one, in memory that it cannot give
// back.
constexpr std::uint64_t kMostGrown = 64 << 20;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
}

ProcessMemory read_statm(int fd) {
  char text[256];
  const ssize_t n = ::pread(fd, text, sizeof text, 0);
  if (n <= 0) return {};
  return parse_statm({text, static_cast<std::size_t>(n)}).value_or(ProcessMemory{});
}

}  // namespace

TaskMeter::TaskMeter()
    : statm_(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)),
      clear_refs_(::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)) {}

void TaskMeter::begin(std::uint64_t grant, bool new_job) {
  const ProcessMemory memory = read_statm(statm_.get());
  if (peak_ == 0 || peak_ > memory.resident + kSlack)
    // Without the right to do so the peak is that of the process's life: too much, never too
    // little.
    if (::pwrite(clear_refs_.get(), "5", 1, 0) == 1) peak_ = memory.resident;
  resident_before_ = memory.resident;
  if (idle_data_ == 0) idle_data_ = memory.data;
  if (new_job || base_ == 0) base_ = std::min(memory.data, idle_data_ + kMostGrown);
  if (kLimits && grant > 0 && memory.data > 0) {
    rlimit limit{};
    ::getrlimit(RLIMIT_DATA, &limit);
    limit.rlim_cur = base_ + grant;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_cur > limit.rlim_max)
      limit.rlim_cur = limit.rlim_max;
    limited_ = ::setrlimit(RLIMIT_DATA, &limit) == 0;
  }
  cpu_before_ = process_cpu_seconds();
  started_ = now_seconds();
}

void TaskMeter::lift() {
  if (!limited_) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_DATA, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_DATA, &limit);
  limited_ = false;
}

double TaskMeter::process_cpu_seconds() {
  rusage own{}, children{};
  ::getrusage(RUSAGE_SELF, &own);
  ::getrusage(RUSAGE_CHILDREN, &children);
  return seconds(own.ru_utime) + seconds(own.ru_stime) + seconds(children.ru_utime) +
         seconds(children.ru_stime);
}

TaskUse TaskMeter::end() {
  lift();
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  TaskUse use;
  // The kernel counts in kB; its mark is that of the memory map, which clear_refs puts back.
  peak_ = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  use.peak_memory = peak_;
  use.cpu_seconds = cpu_seconds();
  use.wall_seconds = now_seconds() - started_;
  // What a large task freed goes back to the machine, not to this process's next task.
  if (use.wall_seconds > kTrimAfterSeconds || peak_ > resident_before_ + kTrimAfterBytes)
    ::malloc_trim(0);
  return use;
}

std::uint64_t TaskMeter::resident() const { return read_statm(statm_.get()).resident; }

}  // namespace polysome
