#include "cli/local_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/bytes.h"
#include "base/nearest.h"
#include "model/database_url.h"

namespace polysome::cli {
namespace {

namespace fs = std::filesystem;

// Less than this for each thread and jobs spill all the time.
constexpr std::uint64_t kLeastPerThread = 256'000'000;
constexpr double kShareOfMemory = 0.8;

bool has_glob(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? fs::path(".") : folder, ec)) {
    out.push_back(entry.path().filename().string());
    if (out.size() == 10'000) break;
  }
  return out;
}

}  // namespace

LocalShare share_of(const MachineShare& machine, int workers, std::uint64_t memory,
                    const std::string& scratch, const Environment& environment) {
  LocalShare out;
  const bool own_memory = memory > 0;
  std::uint64_t total =
      own_memory ? memory
                 : static_cast<std::uint64_t>(static_cast<double>(machine.memory) * kShareOfMemory);
  total = std::max<std::uint64_t>(total, 64'000'000);
  const int by_memory =
      static_cast<int>(std::clamp<std::uint64_t>(total / kLeastPerThread, 1, 4096));
  const int threads = std::max(1, std::min(machine.cores, by_memory));
  int n = workers > 0 ? workers : (threads + kMaxThreadsPerWorker - 1) / kMaxThreadsPerWorker;
  n = std::clamp(n, 1, kMaxWorkers);
  out.cluster.n_workers = n;
  out.cluster.threads_per_worker = std::clamp(threads / n, 1, kMaxThreadsPerWorker);
  out.cluster.memory_limit = total / static_cast<std::uint64_t>(n);
  out.scratch = scratch;
  for (const char* name : {"SLURM_TMPDIR", "TMPDIR"})
    if (out.scratch.empty()) out.scratch = environment(name);

  const int used = n * out.cluster.threads_per_worker;
  out.line = fmt::format("{} core{}", used, used == 1 ? "" : "s");
  if (used == machine.cores && machine.cores_by != "this machine")
    out.line += fmt::format(" ({})", machine.cores_by);
  out.line += fmt::format(", {} memory", format_bytes(total));
  if (!own_memory)
    out.line += fmt::format(" (80 % of {}{})", format_bytes(machine.memory),
                            machine.memory_by == "this machine" ? "" : ", " + machine.memory_by);
  if (n > 1) out.line += fmt::format(", {} workers", n);
  if (!out.scratch.empty()) out.line += fmt::format(", scratch {}", out.scratch);
  return out;
}

std::string work_folder_of(const Json& body, const std::vector<std::string>& files) {
  // FNV-1a, 64 bits: tells one command of a folder from another, not friend from foe.
  std::uint64_t hash = 14'695'981'039'346'656'037ULL;
  const auto add = [&](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211ULL;
    hash = (hash ^ 0xFF) * 1'099'511'628'211ULL;
  };
  add(nlohmann::json(body).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  for (const auto& file : files) add(file);
  return fmt::format(".polysome/{:016x}", hash);
}

Result<std::string> absolute_database(const std::string& given, bool must_exist) {
  POLYSOME_ASSIGN(DatabaseUrl url, parse_database_url(given));
  if (url.kind != DatabaseUrl::Kind::kSqlite) return url.text();
  std::error_code ec;
  // sqlite:///srv/x.db, with a slash too few, is what most people write.
  const auto there = [&](const fs::path& path) {
    return must_exist ? fs::exists(path, ec) : fs::is_directory(path.parent_path(), ec);
  };
  fs::path path = fs::absolute(url.path, ec).lexically_normal();
  if (const fs::path from_root = "/" + url.path; !there(path) && there(from_root)) path = from_root;
  if (!there(path))
    return fail(Code::kInvalid,
                must_exist ? fmt::format("there is no file {}", url.path)
                           : fmt::format("there is no folder {} for {}",
                                         path.parent_path().string(), url.path),
                "a path is relative to the current folder: sqlite:///file.db?table=t, or from the "
                "root: sqlite:////srv/file.db?table=t");
  url.path = path.string();
  return url.text();
}

Result<std::vector<std::string>> absolute_sources(const std::vector<std::string>& given) {
  std::vector<std::string> out;
  for (const auto& name : given) {
    if (is_url(name)) {
      POLYSOME_ASSIGN(std::string url, absolute_database(name, true));
      out.push_back(std::move(url));
      continue;
    }
    std::error_code ec;
    const fs::path path(name);
    const fs::path absolute = fs::absolute(path, ec).lexically_normal();
    if (!fs::exists(path, ec) && !has_glob(name)) {
      const fs::path folder = path.parent_path();
      std::string meant;
      if (const auto near = nearest(path.filename().string(), names_in(folder)))
        meant = fmt::format("; did you mean \"{}\"?", (folder / *near).string());
      return fail(Code::kInvalid, fmt::format("there is no file or folder {}{}", name, meant),
                  "files are relative to the current folder");
    }
    out.push_back(absolute.string());
  }
  return out;
}

Result<ServeConfig> base_config(const Settings& s) {
  ServeConfig c;
  c.scratch = s.text("scratch");
  POLYSOME_ASSIGN(const std::int64_t attempts, s.integer("max_attempts", 1, 10));
  c.max_attempts = static_cast<int>(attempts);
  POLYSOME_ASSIGN(c.retry_delay_ms, s.duration_ms("retry_delay"));
  POLYSOME_ASSIGN(c.partition_size, s.size("partition_size"));
  c.connections = s.text("connections");
  c.worker_program = s.text("worker_program");
  if (c.worker_program.empty()) {
    std::error_code ec;
    const fs::path self = fs::read_symlink("/proc/self/exe", ec);
    c.worker_program = (self.parent_path() / "polysome-worker").string();
  }
  std::error_code ec;
  if (!fs::exists(c.worker_program, ec))
    return fail(Code::kInvalid, fmt::format("the worker program {} is not there", c.worker_program),
                "it lies beside polysome; scripts/setup.sh builds both");
  return c;
}

}  // namespace polysome::cli
