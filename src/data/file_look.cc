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

// Of the first and last bytes (none: the first are all) and the size.
std::uint64_t hash_of_ends(std::string_view head, std::string_view tail, std::uint64_t size) {
  std::array<char, 2 * kEnd + 8> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled
  std::size_t used = head.copy(bytes.data(), head.size());
  used += tail.copy(bytes.data() + used, tail.size());
  for (int i = 0; i < 8; ++i) bytes[used++] = static_cast<char>(size >> (8 * i));
  const std::uint64_t hash = XXH3_64bits(bytes.data(), used);
  return hash == 0 ? 1 : hash;
}

}  // namespace

std::uint64_t first_line_hash(std::string_view line) {
  const std::uint64_t hash = XXH3_64bits(line.data(), line.size());
  return hash == 0 ? 1 : hash;
}

Result<FileLook> look_at_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st{};
  if (file.get() < 0 || ::fstat(file.get(), &st) != 0)
    return fail(errno_error("cannot open", path, errno));
  if (!S_ISREG(st.st_mode)) return fail(errno_error("cannot read", path, EINVAL));
  FileLook out;
  out.bytes = static_cast<std::uint64_t>(st.st_size);
  out.mtime_ns = static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec;
  std::array<char, 2 * kEnd> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  const ssize_t head = ::pread(file.get(), bytes.data(), kEnd, 0);
  if (head < 0) return fail(errno_error("cannot read", path, errno));
  ssize_t tail = 0;
  if (out.bytes > kEnd) {
    tail = ::pread(file.get(), bytes.data() + head, kEnd, static_cast<off_t>(out.bytes - kEnd));
    if (tail < 0) return fail(errno_error("cannot read", path, errno));
  }
  const std::string_view begin(bytes.data(), static_cast<std::size_t>(head));
  out.fingerprint =
      hash_of_ends(begin, {bytes.data() + head, static_cast<std::size_t>(tail)}, out.bytes);
  out.compression = compression_by(begin);
  if (const auto line = begin.find('\n'); line != std::string_view::npos)
    out.first_line = first_line_hash(begin.substr(0, line + 1));
  return out;
}

Result<FileLook> glance_at_file(const std::string& path) {
  POLYSOME_ASSIGN(const FileStamp stamp, stamp_of(path));
  FileLook out;
  out.bytes = stamp.bytes;
  out.mtime_ns = stamp.mtime_ns;
  const auto ends = [&](std::string_view a, std::string_view b) {
    return path.ends_with(a) || path.ends_with(b);
  };
  if (ends(".gz", ".gzip") || path.ends_with(".bgz")) out.compression = "gzip";
  if (ends(".zst", ".zstd")) out.compression = "zstd";
  return out;
}

namespace {

Status changed(const SourceFile& file, const std::string& how) {
  return fail(Code::kIo, fmt::format("{} was changed while the job ran{}", file.path, how),
              "submit the job again");
}

Status compare(const SourceFile& file, std::uint64_t bytes, std::int64_t mtime_ns,
               std::uint64_t fingerprint) {
  if (bytes != file.bytes)
    return changed(file, fmt::format(" ({} bytes at its start, {} now)", file.bytes, bytes));
  if (mtime_ns != file.mtime_ns || fingerprint != file.fingerprint)
    return changed(file, " (its size is the same, its content is not known to be)");
  return {};
}

}  // namespace

Status check_unchanged(const SourceFile& file) {
  if (file.fingerprint == 0) {
    POLYSOME_ASSIGN(const FileStamp stamp, stamp_of(file.path));
    return compare(file, stamp.bytes, stamp.mtime_ns, 0);
  }
  POLYSOME_ASSIGN(const FileLook now, look_at_file(file.path));
  return compare(file, now.bytes, now.mtime_ns, now.fingerprint);
}

Status check_unchanged(const SourceFile& file, const FileMap& now) {
  const auto text = now.text();
  std::uint64_t fingerprint = 0;
  if (file.fingerprint != 0 && text.size() == file.bytes)
    fingerprint =
        hash_of_ends(text.substr(0, kEnd),
                     text.size() > kEnd ? text.substr(text.size() - kEnd) : "", text.size());
  return compare(file, text.size(), now.mtime_ns(), fingerprint);
}

}  // namespace polysome
