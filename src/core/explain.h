// Why a pending job waits: a code, a sentence with numbers and the way out. Asks the same
// predicates as placement (resource_manager.h), so the reason is the true one. O(workers + log
// jobs).
#pragma once

#include "core/machine.h"

namespace polysome::core {

// `job` is pending. Always has a code and a message.
Waiting explain(const Machine& m, const JobRun& job);

}  // namespace polysome::core
