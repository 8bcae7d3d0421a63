// What the kernel tells about a process of this machine, from /proc. Any thread. Absent (nullopt)
// when the process is gone. A pid alone may be used again; a pid with its start time is one process
// for ever.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace polysome {

struct ProcessTimes {
  std::uint64_t start_ticks = 0;  // since the machine's start, in clock ticks
  double cpu_seconds = 0;         // user and system, all threads
};
std::optional<ProcessTimes> process_times(pid_t pid);

struct ProcessMemory {  // bytes
  std::uint64_t resident = 0;
  std::uint64_t shared = 0;  // the part of `resident` that is files and shared memory
  std::uint64_t data = 0;    // what RLIMIT_DATA counts, and the stack
};
std::optional<ProcessMemory> process_memory(pid_t pid);
// The content of a statm file, for those who keep theirs open.
std::optional<ProcessMemory> parse_statm(std::string_view text);

}  // namespace polysome
