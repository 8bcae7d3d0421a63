// What this process may use of the machine: CPUs by affinity, control groups and Slurm; memory by
// the machine, control groups and Slurm. Reads /proc and /sys below `root`, so that tests can make
// their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace polysome::cli {

using Environment = std::function<std::string(const std::string& name)>;  // empty: not set

struct MachineShare {
  int cores = 1;
  std::string cores_by;      // what limits them: "this machine", "affinity", "cgroup", "Slurm"
  std::uint64_t memory = 0;  // bytes; all of it, before any margin
  std::string memory_by;
};

MachineShare look_at_machine(const Environment& environment,
                             const std::filesystem::path& root = "/");

}  // namespace polysome::cli
