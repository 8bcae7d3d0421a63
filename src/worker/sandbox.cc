#include "worker/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "base/unique_fd.h"
#include "kernels/arrow_library.h"

namespace polysome {
namespace {

// Rights of newer kernels than the build machine's header may know.
constexpr std::uint64_t kRefer = 1ULL << 13;     // ABI 2: link and rename across folders
constexpr std::uint64_t kTruncate = 1ULL << 14;  // ABI 3

constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kWriteFile = LANDLOCK_ACCESS_FS_WRITE_FILE;
constexpr std::uint64_t kChange = LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                  LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG;
// Never allowed: programs, devices, sockets, links that point elsewhere.
constexpr std::uint64_t kNever = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

int landlock_abi() {
  return static_cast<int>(
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

std::unexpected<Error> refused(const std::string& what) {
  return fail(Code::kInternal, "the sandbox could not be set up: " + what + ": " +
                                   std::system_category().message(errno));
}

Status allow(int ruleset, const std::string& path, std::uint64_t access) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat st{};
  if (!fd || ::fstat(fd.get(), &st) != 0) return {};
  if (!S_ISDIR(st.st_mode)) access &= LANDLOCK_ACCESS_FS_READ_FILE | kWriteFile | kTruncate;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = fd.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    return refused(path);
  return {};
}

// Folders of the shared libraries in use: those of an install outside /usr too.
std::set<std::string> library_folders() {
  std::set<std::string> out;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto slash = line.find('/');
    if (slash == std::string::npos || line.find(".so", slash) == std::string::npos) continue;
    out.insert(std::filesystem::path(line.substr(slash)).parent_path().string());
  }
  return out;
}

Status allow_reading(int ruleset, const std::vector<std::string>& read) {
  for (const auto& dir : read) POLYSOME_TRY(allow(ruleset, dir, kRead));
  for (const auto& dir : library_folders()) POLYSOME_TRY(allow(ruleset, dir, kRead));
  for (const auto& path : arrow_library_paths()) POLYSOME_TRY(allow(ruleset, path, kRead));
  for (const char* path :
       {"/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
        "/etc/localtime", "/etc/timezone", "/proc", "/dev/urandom", "/dev/random",
        "/sys/devices/system/cpu",
        "/sys/fs/cgroup"})  // DuckDB asks for the memory limit there when it opens
    POLYSOME_TRY(allow(ruleset, path, kRead));
  return {};
}

}  // namespace

bool sandbox_available() { return landlock_abi() >= 1; }

Result<bool> restrict_to_folders(const std::vector<std::string>& read,
                                 const std::vector<std::string>& write) {
  const int abi = landlock_abi();
  if (abi < 1) return false;
  std::uint64_t write_access = kWriteFile | kChange;
  if (abi >= 2) write_access |= kRefer;
  if (abi >= 3) write_access |= kTruncate;
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = write_access | kNever | (read.empty() ? 0 : kRead);
  const UniqueFd ruleset(static_cast<int>(
      ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0)));
  if (!ruleset) return refused("no rules could be made");

  const std::uint64_t reading = read.empty() ? 0 : kRead;
  if (!read.empty()) POLYSOME_TRY(allow_reading(ruleset.get(), read));
  for (const auto& dir : write) POLYSOME_TRY(allow(ruleset.get(), dir, write_access | reading));
  POLYSOME_TRY(allow(ruleset.get(), "/dev/null", kWriteFile | reading));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refused("no_new_privs");
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0)
    return refused("the rules were not taken");
  return true;
}

}  // namespace polysome
