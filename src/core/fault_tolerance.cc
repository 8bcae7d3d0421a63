#include "core/fault_tolerance.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"

namespace polysome::core {
namespace {

Decision give_up(Error error) { return {Verdict::kGiveUp, 0, std::move(error)}; }

Decision charge_loss(TaskTrouble& trouble, const Fault& fault, const std::string& task) {
  if (++trouble.losses <= kMostLosses) return {};
  return give_up(Error(fault.error.code,
                       fmt::format("task {} was lost {} times without a fault of its own; last: {}",
                                   task, trouble.losses, fault.error.message),
                       "Something on the machine keeps ending worker processes; look into its log "
                       "(dmesg, journalctl) for what kills them."));
}

// What the task knows to need and a half, else one and a half times what it was seen to use but at
// least double; the last level is all there is.
std::uint64_t next_grant(const TaskTrouble& trouble, const Fault& fault,
                         const FaultLimits& limits) {
  if (fault.needed_memory > limits.most_grant) return limits.grant;  // no grant will do
  if (trouble.larger + 2 >= kMostGrants) return limits.most_grant;
  const std::uint64_t next = fault.needed_memory > 0
                                 ? fault.needed_memory / 2 * 3
                                 : std::max(limits.grant * 2, fault.peak_memory / 2 * 3);
  return std::min(next, limits.most_grant);
}

Decision charge_memory(TaskTrouble& trouble, const Fault& fault, const FaultLimits& limits,
                       const std::string& task) {
  ++trouble.out_of_memory;
  const std::uint64_t next = next_grant(trouble, fault, limits);
  if (next > limits.grant && trouble.larger + 1 < kMostGrants) {
    ++trouble.larger;
    trouble.grant = next;
    return {};
  }
  if (limits.can_split && trouble.split < kMostSplit) {
    trouble.split = std::min(trouble.split * kSplitStep, kMostSplit);
    return {};
  }
  if (fault.ended_by_system && fault.peak_memory < limits.grant) {
    // It kept to its grant; the machine had less than it promised, perhaps for a while only.
    if (trouble.out_of_memory < kMostGrants) return {};
    return give_up(Error(
        Code::kOutOfMemory,
        fmt::format(
            "task {} was ended by the system {} times for want of memory, the last time with "
            "{} in use of the {} granted",
            task, trouble.out_of_memory, format_bytes(fault.peak_memory),
            format_bytes(limits.grant)),
        "The machine has less memory free than its workers may use: start the cluster with fewer "
        "workers or a smaller memory_limit."));
  }
  const std::uint64_t needed = std::max(fault.needed_memory, fault.peak_memory);
  const std::string need =
      needed > limits.grant ? format_bytes(needed) : "more than " + format_bytes(limits.grant);
  std::string pieces;
  if (trouble.split > 1) pieces = fmt::format(", also when cut into {} pieces", trouble.split);
  return give_up(
      Error(Code::kOutOfMemory,
            fmt::format("task {} needed {} of memory{}; the most it can be given is {}", task, need,
                        pieces, format_bytes(limits.most_grant)),
            "Start the cluster with a larger memory_limit, raise max_memory_gb, or cut the data "
            "smaller (partition_size)."));
}

}  // namespace

std::int64_t backoff_ms(std::int64_t delay_ms, int failures, double chance) {
  std::int64_t longest = std::min(std::max<std::int64_t>(delay_ms, 0), kLongestBackoffMs);
  for (int i = 1; i < failures && longest < kLongestBackoffMs; ++i)
    longest = std::min(longest * 2, kLongestBackoffMs);
  return static_cast<std::int64_t>(static_cast<double>(longest) * chance);
}

Decision charge(TaskTrouble& trouble, const Fault& fault, const FaultLimits& limits,
                const std::string& task, double chance) {
  if (fault.lost) return charge_loss(trouble, fault, task);
  switch (fault.fault_class) {
    case FaultClass::kUser: return give_up(fault.error);
    case FaultClass::kOutOfMemory: return charge_memory(trouble, fault, limits, task);
    case FaultClass::kWorkerLost:
    case FaultClass::kTimeout:
    case FaultClass::kIo:
    case FaultClass::kInternal: break;
  }
  ++trouble.counted;
  if (trouble.counted < limits.max_attempts)
    return {Verdict::kRetryLater, backoff_ms(limits.retry_delay_ms, trouble.counted, chance), {}};
  Error error = fault.error;
  if (trouble.counted > 1)
    error.message = fmt::format("task {} failed {} times; last: {}", task, trouble.counted,
                                fault.error.message);
  return give_up(std::move(error));
}

}  // namespace polysome::core
