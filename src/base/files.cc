#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/unique_fd.h"

namespace polysome {
namespace {

Status write_new_file(const std::filesystem::path& path, std::string_view content, bool durable) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (fd.get() < 0) return fail(errno_error("cannot create", path, errno));
  if (auto written = write_all(fd.get(), content, path); !written) {
    ::unlink(path.c_str());
    return written;
  }
  if (durable && ::fsync(fd.get()) != 0) return fail(errno_error("cannot sync", path, errno));
  return {};
}

std::filesystem::path beside(const std::filesystem::path& path, std::string_view owner) {
  return path.parent_path() / ("." + path.filename().string() + "." + std::string(owner) + ".tmp");
}

}  // namespace

Error errno_error(std::string_view what, const std::filesystem::path& path, int error_number) {
  const Code code = error_number == ENOSPC || error_number == EDQUOT ? Code::kDiskFull : Code::kIo;
  return Error(code, std::string(what) + " " + path.string() + ": " +
                         std::system_category().message(error_number));
}

Status write_all(int fd, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("cannot write", path, errno));
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return fail(errno_error("cannot open", path, errno));
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail(errno_error("cannot read", path, errno));
  if (S_ISDIR(st.st_mode)) return fail(errno_error("cannot read", path, EISDIR));
  if (static_cast<std::uint64_t>(st.st_size) > max_bytes)
    return fail(Code::kTooLarge, path.string() + " is larger than expected");
  std::string out;
  out.resize(static_cast<std::size_t>(st.st_size));
  std::size_t got = 0;
  for (;;) {
    if (got == out.size()) out.resize(got + 4096);
    const ssize_t n = ::read(fd.get(), out.data() + got, out.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("cannot read", path, errno));
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
    if (got > max_bytes) return fail(Code::kTooLarge, path.string() + " is larger than expected");
  }
  out.resize(got);
  return out;
}

Status write_file(const std::filesystem::path& path, std::string_view content, bool durable) {
  const auto temporary = beside(path, std::to_string(::getpid()));
  POLYSOME_TRY(write_new_file(temporary, content, durable));
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    auto error = errno_error("cannot rename to", path, errno);
    ::unlink(temporary.c_str());
    return fail(std::move(error));
  }
  return durable ? sync_folder(path.parent_path()) : Status{};
}

Status make_folders(const std::filesystem::path& path) {
  std::error_code ec;
  std::filesystem::create_directories(path, ec);
  if (ec) return fail(errno_error("cannot create folder", path, ec.value()));
  return {};
}

Status sync_file(const std::filesystem::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return fail(errno_error("cannot open", path, errno));
  if (::fsync(fd.get()) != 0) return fail(errno_error("cannot sync", path, errno));
  return {};
}

Status sync_folder(const std::filesystem::path& path) {
  const UniqueFd fd(::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return fail(errno_error("cannot open folder", path, errno));
  if (::fsync(fd.get()) != 0 && errno != EINVAL)
    return fail(errno_error("cannot sync folder", path, errno));
  return {};
}

Result<bool> publish_file(const std::filesystem::path& path, std::string_view content,
                          std::string_view owner) {
  const auto temporary = beside(path, owner);
  POLYSOME_TRY(write_new_file(temporary, content, true));
  const bool published = ::link(temporary.c_str(), path.c_str()) == 0;
  const int reason = errno;
  ::unlink(temporary.c_str());
  if (!published && reason == EEXIST) return false;
  if (!published) return fail(errno_error("cannot publish", path, reason));
  POLYSOME_TRY(sync_folder(path.parent_path()));
  return true;
}

Status remove_all(const std::filesystem::path& path) {
  std::error_code ec;
  std::filesystem::remove_all(path, ec);
  if (ec && ec != std::errc::no_such_file_or_directory)
    return fail(errno_error("cannot remove", path, ec.value()));
  return {};
}

std::optional<std::uint64_t> free_disk_bytes(const std::filesystem::path& path) {
  struct statvfs vfs{};
  if (::statvfs(path.c_str(), &vfs) != 0) return std::nullopt;
  return static_cast<std::uint64_t>(vfs.f_bavail) * vfs.f_frsize;
}

}  // namespace polysome
