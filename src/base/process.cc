#include "base/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace polysome {
namespace {

// Files of /proc have no size; these are short and come in one read.
std::optional<std::string> read_proc(pid_t pid, const char* name) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", static_cast<int>(pid), name);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  char buffer[1024];
  const ssize_t n = ::read(fd, buffer, sizeof buffer);
  ::close(fd);
  if (n <= 0) return std::nullopt;
  return std::string(buffer, static_cast<std::size_t>(n));
}

}  // namespace

std::optional<ProcessTimes> process_times(pid_t pid) {
  const auto text = read_proc(pid, "stat");
  if (!text) return std::nullopt;
  // The second field is the program's name in brackets and may hold anything.
  const auto name_end = text->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  unsigned long long user = 0, system = 0, start = 0;
  const int got = std::sscanf(
      text->c_str() + name_end + 1,
      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu", &user,
      &system, &start);
  if (got != 3) return std::nullopt;
  static const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return ProcessTimes{start, static_cast<double>(user + system) / ticks_per_second};
}

std::optional<ProcessMemory> parse_statm(std::string_view text) {
  unsigned long long resident = 0, shared = 0, data = 0;
  if (std::sscanf(std::string(text).c_str(), "%*u %llu %llu %*u %*u %llu", &resident, &shared,
                  &data) != 3)
    return std::nullopt;
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return ProcessMemory{resident * page, shared * page, data * page};
}

std::optional<ProcessMemory> process_memory(pid_t pid) {
  const auto text = read_proc(pid, "statm");
  if (!text) return std::nullopt;
  return parse_statm(*text);
}

}  // namespace polysome
