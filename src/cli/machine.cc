#include "cli/machine.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

namespace polysome::cli {
namespace {

namespace fs = std::filesystem;

std::optional<std::uint64_t> whole(const std::string& text) {
  std::uint64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc() || end == text.data()) return std::nullopt;
  return n;
}

std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::uint64_t physical_memory(const fs::path& root) {
  std::ifstream in(root / "proc/meminfo");
  std::string name;
  std::uint64_t kib = 0;
  std::string rest;
  while (in >> name >> kib && std::getline(in, rest))
    if (name == "MemTotal:") return kib * 1024;
  return 0;
}

int affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return 0;
  return CPU_COUNT(&set);
}

// The folders of this process's control groups, from its own up to the top of the hierarchy.
std::vector<fs::path> groups(const fs::path& root, const std::string& controller) {
  std::vector<fs::path> out;
  std::ifstream in(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::string number, controllers, path;
    if (!std::getline(fields, number, ':') || !std::getline(fields, controllers, ':') ||
        !std::getline(fields, path))
      continue;
    const bool unified = controllers.empty();
    if (!unified && ("," + controllers + ",").find("," + controller + ",") == std::string::npos)
      continue;
    const fs::path top = unified ? root / "sys/fs/cgroup" : root / "sys/fs/cgroup" / controller;
    fs::path own = fs::path(path).relative_path();
    for (;;) {
      out.push_back(own.empty() ? top : top / own);
      if (own.empty()) break;
      own = own.parent_path();
    }
  }
  return out;
}

// CPUs' worth of time, rounded up: 1.5 of a CPU can keep two threads busy some of the time.
std::optional<int> group_cores(const fs::path& folder) {
  std::istringstream v2(first_line(folder / "cpu.max"));
  std::string quota, period;
  if (!(v2 >> quota >> period)) {
    quota = first_line(folder / "cpu.cfs_quota_us");
    period = first_line(folder / "cpu.cfs_period_us");
  }
  const auto q = whole(quota), p = whole(period);
  if (!q || !p || *p == 0 || *q == 0) return std::nullopt;
  return static_cast<int>(std::ceil(static_cast<double>(*q) / static_cast<double>(*p)));
}

std::optional<std::uint64_t> group_memory(const fs::path& folder) {
  if (const auto n = whole(first_line(folder / "memory.max"))) return n;
  return whole(first_line(folder / "memory.limit_in_bytes"));
}

}  // namespace

MachineShare look_at_machine(const Environment& environment, const fs::path& root) {
  MachineShare out;
  out.cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  out.cores_by = "this machine";
  const auto fewer_cores = [&](int n, const char* by) {
    if (n < 1 || n >= out.cores) return;
    out.cores = n;
    out.cores_by = by;
  };
  fewer_cores(affinity(), "affinity");
  for (const auto& folder : groups(root, "cpu"))
    if (const auto n = group_cores(folder)) fewer_cores(*n, "cgroup");
  const auto slurm_cores = whole(environment("SLURM_CPUS_PER_TASK"));
  if (slurm_cores)
    fewer_cores(static_cast<int>(std::min<std::uint64_t>(*slurm_cores, 4096)), "Slurm");

  out.memory = physical_memory(root);
  out.memory_by = "this machine";
  const auto less_memory = [&](std::uint64_t n, const char* by) {
    if (n == 0 || (out.memory != 0 && n >= out.memory)) return;
    out.memory = n;
    out.memory_by = by;
  };
  for (const auto& folder : groups(root, "memory"))
    if (const auto n = group_memory(folder)) less_memory(*n, "cgroup");
  constexpr std::uint64_t kMiB = 1 << 20;
  if (const auto mb = whole(environment("SLURM_MEM_PER_NODE"))) less_memory(*mb * kMiB, "Slurm");
  if (const auto mb = whole(environment("SLURM_MEM_PER_CPU")))
    less_memory(*mb * kMiB * slurm_cores.value_or(static_cast<std::uint64_t>(out.cores)), "Slurm");
  return out;
}

}  // namespace polysome::cli
