#include "base/control_groups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <utility>

#include "base/files.h"

namespace polysome {
namespace {

// These files take one write and say with it what is wrong.
Status put(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool good =
      fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (good) return {};
  return fail(Code::kUnavailable, errno_error("cannot write", path, error).message);
}

Status make_group(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return fail(Code::kUnavailable, errno_error("cannot make", folder, errno).message);
}

// This process's group of version 2: the line "0::/path".
std::string own_group(const std::string& file) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::")) return line.substr(3);
  return {};
}

bool has_word(const std::string& path, const std::string& wanted) {
  std::ifstream in(path);
  for (std::string word; in >> word;)
    if (word == wanted) return true;
  return false;
}

}  // namespace

Result<std::string> claim_control_group(const ControlGroupFiles& files) {
  const std::string path = own_group(files.own);
  if (path.empty()) return fail(Code::kUnavailable, "this machine has none of version 2");
  const std::string home = files.root + (path == "/" ? "" : path);
  if (!has_word(home + "/cgroup.controllers", "memory"))
    return fail(Code::kUnavailable, "those of version 2 do not account memory here (" + home + ")");
  if (::access((home + "/cgroup.subtree_control").c_str(), W_OK) != 0)
    return fail(Code::kUnavailable,
                "this account may not make them in " + home + " (systemd: Delegate=yes)");
  const std::string self = std::to_string(::getpid());
  std::ifstream in(home + "/cgroup.procs");
  for (std::string pid; in >> pid;)
    if (pid != self)
      return fail(Code::kUnavailable, "other processes share the service's own, " + home);
  POLYSOME_TRY(make_group(home + "/service"));
  POLYSOME_TRY(put(home + "/service/cgroup.procs", self));
  if (auto divided = put(home + "/cgroup.subtree_control", "+memory"); !divided) {
    (void)put(home + "/cgroup.procs", self);
    ::rmdir((home + "/service").c_str());
    return std::unexpected(std::move(divided).error());
  }
  return home;
}

Result<ControlGroup> ControlGroup::make(const std::string& folder) {
  POLYSOME_TRY(make_group(folder));
  return ControlGroup(folder);
}

ControlGroup::~ControlGroup() {
  if (!folder_.empty()) ::rmdir(folder_.c_str());
}

ControlGroup::ControlGroup(ControlGroup&& other) noexcept
    : folder_(std::exchange(other.folder_, {})) {}

Status ControlGroup::limit_memory(std::uint64_t bytes) const {
  return put(folder_ + "/memory.max", std::to_string(bytes));
}

Status ControlGroup::divide() const { return put(folder_ + "/cgroup.subtree_control", "+memory"); }

Status ControlGroup::add(pid_t pid) const {
  return put(folder_ + "/cgroup.procs", std::to_string(pid));
}

std::uint64_t ControlGroup::oom_kills() const {
  std::ifstream in(folder_ + "/memory.events");
  std::string name;
  for (std::uint64_t value = 0; in >> name >> value;)
    if (name == "oom_kill") return value;
  return 0;
}

}  // namespace polysome
