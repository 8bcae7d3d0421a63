#include "cli/follow.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "cli/interrupt.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

constexpr MonoTime kGiveUpMs = 60'000;
constexpr int kRetryMs = 500;

}  // namespace

bool is_over(const Json& status) {
  const std::string state = text_of(status, "status");
  return state == "completed" || state == "failed" || state == "cancelled";
}

int exit_code_of(const Json& status) {
  const std::string state = text_of(status, "status");
  if (state == "completed") return 0;
  if (state == "failed") return 1;
  return state == "cancelled" ? 3 : 8;
}

Result<Json> follow_job(ServiceClient& client, const std::string& id,
                        const FollowOptions& options) {
  const std::string path = fmt::format("jobs/{}/status", id);
  std::string version;  // of the last status; empty: answer at once
  MonoTime lost_since = 0;
  bool reached = false;
  for (;;) {
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    double wait = options.poll_seconds;
    if (options.until)
      wait = std::clamp(static_cast<double>(*options.until - mono_now()) / 1000, 0.0, wait);
    Query query;
    if (!version.empty()) query = {{"wait", fmt::format("{:.3f}", wait)}, {"after", version}};
    auto status = client.get(path, query);
    if (!status) {
      const bool gone = status.error().code == Code::kUnavailable;
      if (!gone) return status;
      const MonoTime now = mono_now();
      if (lost_since == 0) {
        lost_since = now;
        if (!reached) return status;
        if (options.on_lost) options.on_lost(status.error());
      }
      if (now - lost_since > kGiveUpMs || (options.until && now >= *options.until)) return status;
      // A service that started again counts versions anew: ask for the state as it is.
      version.clear();
      (void)::poll(nullptr, 0, kRetryMs);  // ends early on Ctrl-C
      continue;
    }
    reached = true;
    lost_since = 0;
    version = text_of(*status, "version", "0");
    if (options.on_status) options.on_status(*status);
    if (is_over(*status)) return status;
    if (options.until && mono_now() >= *options.until) return status;
  }
}

}  // namespace polysome::cli
