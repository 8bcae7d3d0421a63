#include "store/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "base/clock.h"
#include "base/files.h"

namespace polysome {
namespace {

// f_type values of statfs(2) and of the filesystems' own headers.
constexpr std::array<std::pair<std::int64_t, std::string_view>, 11> kUnsafe{{
    {0x6969, "NFS"},
    {0x0BD00BD0, "Lustre"},
    {0x517B, "SMB"},
    {0xFE534D42, "SMB"},
    {0xFF534D42, "CIFS"},
    {0x00C36400, "CephFS"},
    {0x19830326, "BeeGFS"},
    {0x47504653, "GPFS"},
    {0x7461636F, "OCFS2"},
    {0x01161970, "GFS2"},
    {0x5346414F, "AFS"},
}};

std::string holder_of(int fd) {
  std::array<char, 128> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  std::string holder(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!holder.empty() && holder.back() == '\n') holder.pop_back();
  const auto space = holder.find(' ');
  if (space == std::string::npos) return "by another process";
  return "by pid " + holder.substr(0, space) + " since " + holder.substr(space + 1);
}

}  // namespace

std::optional<std::string_view> unsafe_filesystem(std::int64_t magic) {
  // Some kernels sign-extend the 32-bit numbers.
  for (const auto& [known, name] : kUnsafe)
    if (known == (magic & 0xFFFFFFFF)) return name;
  return std::nullopt;
}

Result<StateFolder> StateFolder::take(const std::filesystem::path& folder) {
  POLYSOME_TRY(make_folders(folder));
  struct statfs fs{};
  if (::statfs(folder.c_str(), &fs) != 0)
    return fail(errno_error("cannot look at state folder", folder, errno));
  if (const auto name = unsafe_filesystem(static_cast<std::int64_t>(fs.f_type)))
    return fail(Code::kInvalid,
                "the state folder " + folder.string() + " is on " + std::string(*name) +
                    ", where the locks of the store can't be trusted",
                "Give a folder on a local disk: --state-dir DIR (task outputs may stay shared: "
                "--work-dir DIR).");
  const auto file = folder / "lock";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return fail(errno_error("cannot open", file, errno));
  StateFolder taken(folder, fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(errno_error("cannot lock", file, errno));
    return fail(Code::kConflict,
                "the state folder " + folder.string() + " is in use " + holder_of(fd),
                "Stop that service, or give this one a folder of its own: --state-dir DIR.");
  }
  const std::string holder = std::to_string(::getpid()) + " " + format_time(wall_now()) + "\n";
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, holder.data(), holder.size(), 0) != static_cast<ssize_t>(holder.size()))
    return fail(errno_error("cannot write", file, errno));
  return taken;
}

StateFolder::~StateFolder() {
  if (lock_ >= 0) ::close(lock_);
}

}  // namespace polysome
