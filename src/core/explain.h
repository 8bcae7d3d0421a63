// Why a job waits: a code, a sentence with numbers and the way out, and when it will probably start
// as far as measured rates tell. Asks the same predicates as placement (job_scheduler.h), so the
// reason is the true one. O(slots + users).
#pragma once

#include "core/machine.h"

namespace polysome::core {

// `job` is pending, or runs but has no attempt. Always has a code and a message.
Waiting explain(const Machine& m, const JobRun& job);

}  // namespace polysome::core
