// Evidence that the kernel ended a process for memory: a count of its kills, read before and after.
#pragma once

#include <cstdint>

namespace polysome {

// Out-of-memory kills so far in this process's control group (v2, else v1), else on the machine; 0
// when nothing can be read.
std::uint64_t count_oom_kills();

}  // namespace polysome
