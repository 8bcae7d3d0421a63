#include "data/file_look.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/bytes.h"
#include "base/files.h"
#include "base/unique_fd.h"
#include "data/file_map.h"
#include "data/table_source.h"

namespace polysome {
namespace {

constexpr std::size_t kEnd = 4096;

std::string compression_by(std::string_view head) {
  if (head.starts_with("\x1f\x8b")) return "gzip";
  if (head.starts_with("\x28\xb5\x2f\xfd")) return "zstd";
  // A frame that is to be skipped, as pzstd puts before each of its own.
  if (head.size() >= 4 && (head[0] & 0xf0) == 0x50 && head.substr(1, 3) == "\x2a\x4d\x18")
    return "zstd";
  return {};
}

}  // namespace

Result<FileLook> look_at_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st{};
  if (file.get() < 0 || ::fstat(file.get(), &st) != 0)
    return fail(errno_error("cannot open", path, errno));
  if (!S_ISREG(st.st_mode)) return fail(errno_error("cannot read", path, EINVAL));
  FileLook out;
  out.bytes = static_cast<std::uint64_t>(st.st_size);
  out.mtime_ns = static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec;
  std::array<char, 2 * kEnd + 8> bytes{};
  const ssize_t head = ::pread(file.get(), bytes.data(), kEnd, 0);
  if (head < 0) return fail(errno_error("cannot read", path, errno));
  auto used = static_cast<std::size_t>(head);
  if (out.bytes > kEnd) {
    const ssize_t tail =
        ::pread(file.get(), bytes.data() + used, kEnd, static_cast<off_t>(out.bytes - kEnd));
    if (tail < 0) return fail(errno_error("cannot read", path, errno));
    used += static_cast<std::size_t>(tail);
  }
  for (int i = 0; i < 8; ++i) bytes[used++] = static_cast<char>(out.bytes >> (8 * i));
  out.fingerprint = fmt::format("{:016x}", XXH3_64bits(bytes.data(), used));
  out.compression = compression_by({bytes.data(), static_cast<std::size_t>(head)});
  return out;
}

Status check_unchanged(const SourceFile& file) {
  const auto changed = [&](const std::string& how) {
    return fail(Code::kIo, fmt::format("{} was changed while the job ran{}", file.path, how),
                "submit the job again");
  };
  if (file.fingerprint.empty()) {
    POLYSOME_ASSIGN(const FileStamp stamp, stamp_of(file.path));
    if (stamp.bytes != file.bytes || stamp.mtime_ns != file.mtime_ns) return changed("");
    return {};
  }
  POLYSOME_ASSIGN(const FileLook now, look_at_file(file.path));
  if (now.bytes != file.bytes)
    return changed(fmt::format(" ({} bytes at its start, {} now)", file.bytes, now.bytes));
  if (now.mtime_ns != file.mtime_ns || now.fingerprint != file.fingerprint)
    return changed(" (its size is the same, its content is not known to be)");
  return {};
}

}  // namespace polysome
