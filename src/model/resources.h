// What a job may use and what a cluster has. Sizes in bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "model/json.h"

namespace polysome {

inline constexpr int kMaxWorkers = 32;
inline constexpr int kMaxThreadsPerWorker = 64;

// The size of a cluster as wanted by its owner.
struct ClusterSpec {
  int n_workers = 4;
  int threads_per_worker = 2;
  std::uint64_t memory_limit = 2'000'000'000;  // of one worker

  bool operator==(const ClusterSpec&) const = default;
  // The least grant of a task that asks for nothing.
  std::uint64_t memory_per_slot() const {
    return memory_limit / static_cast<std::uint64_t>(threads_per_worker);
  }
};

// Ceilings and requests of one job (contract.md, Submit).
struct JobLimits {
  std::optional<int> max_cores;                    // over the job's running tasks
  std::optional<std::uint64_t> max_memory;         // sum of the grants of its running tasks
  std::optional<int> n_workers;                    // most workers used at once
  std::optional<std::uint64_t> memory_per_worker;  // least grant of one task
  int max_attempts = 3;
  std::optional<std::int64_t> timeout_ms;  // running time

  bool operator==(const JobLimits&) const = default;
};

// What one user may hold at a time (resources/limits). Absent: no limit.
struct UserLimits {
  std::optional<int> max_pending_jobs;  // refused at submit
  std::optional<int> max_running_jobs;  // the others wait
  std::optional<int> max_cores;         // over the user's running tasks
  std::optional<std::uint64_t> max_memory;
  std::optional<int> max_priority;  // 1-4; higher ones are refused at submit

  bool operator==(const UserLimits&) const = default;
};

// GET|PUT resources/limits: {"max_pending_jobs", "per_user": {…}, "users": {"LOGIN": {"weight",
// …}}}.
struct QueueLimits {
  struct User {
    double weight = 1;  // of the user's fair share
    UserLimits own;     // what is given wins over per_user
    bool operator==(const User&) const = default;
  };
  std::optional<int> max_pending_jobs;  // of all users together
  UserLimits per_user;
  std::map<std::string, User> users;

  bool operator==(const QueueLimits&) const = default;
  double weight_of(const std::string& user) const;
  UserLimits of(const std::string& user) const;  // per_user with the user's own over it
  Json to_json() const;
  // Strict: unknown members, types and ranges are refused with pointer and nearest name.
  static Result<QueueLimits> from_json(const Json& j);
};

// PUT cluster/autoscale. The number of workers stays within [min, max].
struct AutoscalePolicy {
  bool enabled = false;
  int min_workers = 1;
  int max_workers = kMaxWorkers;

  bool operator==(const AutoscalePolicy&) const = default;
  Json to_json() const;  // {"enabled", "min", "max"}
  static Result<AutoscalePolicy> from_json(const Json& j, const AutoscalePolicy& present);
};

}  // namespace polysome
