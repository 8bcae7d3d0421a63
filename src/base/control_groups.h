// Control groups of version 2 for worker processes: the kernel's own limit on a worker's memory,
// and its word on which slot it ended for it. A process may make groups below its own when that is
// its alone (systemd: Delegate=yes, or root in a container); nothing here needs them to work. Owned
// by who makes them, one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace polysome {

// Where the kernel tells of groups; tests give a folder of their own.
struct ControlGroupFiles {
  std::string root = "/sys/fs/cgroup";
  std::string own = "/proc/self/cgroup";
};

// Makes this process's group a home for groups with a memory limit, and answers its folder: the
// process itself moves into a group "service" below it, as the kernel wants no processes beside
// groups with limits. Errors: kUnavailable with the reason, nothing was changed.
Result<std::string> claim_control_group(const ControlGroupFiles& files = {});

// A group made by this process; removed with the object, when its processes are gone.
class ControlGroup {
 public:
  // Errors: kUnavailable.
  static Result<ControlGroup> make(const std::string& folder);
  ~ControlGroup();
  ControlGroup(ControlGroup&& other) noexcept;
  ControlGroup& operator=(ControlGroup&&) = delete;

  const std::string& folder() const { return folder_; }
  Status limit_memory(std::uint64_t bytes) const;
  // Groups below this one are accounted (and can be limited) each by itself.
  Status divide() const;
  Status add(pid_t pid) const;
  // Processes of this group that the kernel ended for memory so far.
  std::uint64_t oom_kills() const;

 private:
  explicit ControlGroup(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

}  // namespace polysome
