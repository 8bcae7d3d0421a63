// The lock file of a supervisor: flock'ed while it or one of its slots lives, and naming it by pid
// and start time, so that a new service can wait for the workers of an earlier one, or end them.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace polysome {

// Errors: kConflict when another process holds it, kIo.
Result<UniqueFd> take_worker_lock(const std::string& path);

}  // namespace polysome
