// What a job may use and what a cluster has. Sizes in bytes.
#pragma once

#include <cstdint>
#include <optional>

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
};

}  // namespace polysome
