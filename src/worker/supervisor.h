// The supervisor of one worker: starts its slot processes, routes frames between them and the
// service by header alone, starts a new process where one died, kills a slot that does not obey a
// cancel, and reports health each second. It touches no data, so it outlives whatever a task does.
// One thread, one epoll loop; it ends, and its slots with it, when the service's end of the socket
// closes.
#pragma once

#include "worker/options.h"
#include "worker/slot_process.h"

namespace polysome {

// The exit status: 0 after a shutdown or the service's end; else what made it give up.
inline constexpr int kExitBadFrames = 1;
inline constexpr int kExitSlotsDoNotStart = 3;
inline constexpr int kExitLocked = 4;

// `slot` runs in each of its slots' processes.
int run_supervisor(const WorkerOptions& options, const SlotMain& slot);

}  // namespace polysome
