// Follows a job of a service to its end by long polls, through restarts of the service. Main
// thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cli/service_client.h"

namespace polysome::cli {

struct FollowOptions {
  int poll_seconds = 10;          // the longest time between two calls of on_status
  std::optional<MonoTime> until;  // give up then, with the state as it is
  std::function<void(const Json& status)> on_status;
  // Called when the service stops answering and we keep trying.
  std::function<void(const Error& why)> on_lost;
};

// The last status seen: of the end, or of the time `until`. Errors: kCancelled on Ctrl-C;
// kUnavailable when the service stays away for a minute; what it says otherwise.
Result<Json> follow_job(ServiceClient& client, const std::string& id, const FollowOptions& options);

bool is_over(const Json& status);
// The exit code of a job's state: 0 completed, 1 failed, 3 cancelled, 8 still running.
int exit_code_of(const Json& status);

}  // namespace polysome::cli
