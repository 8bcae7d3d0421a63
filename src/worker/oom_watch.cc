#include "worker/oom_watch.h"

#include <fstream>
#include <optional>
#include <string>

namespace polysome {
namespace {

// The value behind "oom_kill " in a file of "name value" lines.
std::optional<std::uint64_t> oom_kill_of(const std::string& path) {
  std::ifstream file(path);
  std::string name;
  std::uint64_t value = 0;
  while (file >> name >> value)
    if (name == "oom_kill") return value;
  return std::nullopt;
}

std::optional<std::uint64_t> oom_kill_of_group() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    const auto group = line.substr(second + 1);
    std::optional<std::uint64_t> count;
    if (controllers.empty())
      count = oom_kill_of("/sys/fs/cgroup" + group + "/memory.events");
    else if (controllers == "memory")
      count = oom_kill_of("/sys/fs/cgroup/memory" + group + "/memory.oom_control");
    if (count) return count;
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t count_oom_kills() {
  if (const auto count = oom_kill_of_group()) return *count;
  return oom_kill_of("/proc/vmstat").value_or(0);
}

}  // namespace polysome
