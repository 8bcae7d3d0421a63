#include "data/manifest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <memory>

#include "base/files.h"
#include "base/unique_fd.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;

// A manifest that keeps being replaced under us is not waited for longer.
constexpr int kMostReplacements = 3;

std::string attempt_prefix(const TaskSpec& spec) {
  return fmt::format("{}.{}.{}.", spec.task.index, spec.attempt.epoch, spec.attempt.n);
}

// "output lost: scan/17: …": the stage and the task that must be done again.
std::unexpected<Error> lost(const fs::path& manifest, std::string why) {
  const auto name = manifest.filename().string();
  return fail(Code::kIo,
              fmt::format("output lost: {}/{}: {}", manifest.parent_path().filename().string(),
                          name.substr(0, name.find('.')), why));
}

struct Content {
  std::uint64_t bytes = 0;
  std::string xxhash;
};

Result<Content> hash_file(const fs::path& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return fail(errno_error("cannot open", path, errno));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  XXH3_64bits_reset(state.get());
  constexpr std::size_t kBlock = 1 << 18;
  const auto block = std::make_unique_for_overwrite<char[]>(kBlock);
  Content content;
  for (;;) {
    const ssize_t n = ::read(file.get(), block.get(), kBlock);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error("cannot read", path, errno));
    if (n == 0) break;
    XXH3_64bits_update(state.get(), block.get(), static_cast<std::size_t>(n));
    content.bytes += static_cast<std::uint64_t>(n);
  }
  content.xxhash = fmt::format("{:016x}", XXH3_64bits_digest(state.get()));
  return content;
}

Json file_json(const OutputFile& f) {
  return {{"name", f.name},
          {"role", f.role},
          {"bytes", f.bytes},
          {"rows", f.rows},
          {"xxhash", f.xxhash}};
}

void remove_files(const fs::path& folder, const std::vector<OutputFile>& files) {
  for (const auto& f : files) ::unlink((folder / f.name).c_str());
}

// A manifest whose files are gone or damaged must not keep a good one out. It is moved aside first
// and looked at again, as another attempt may have put its own there in between.
Status set_aside(const fs::path& path, const TaskSpec& spec) {
  const fs::path aside = path.string() + ".lost." + spec.attempt.text();
  if (::rename(path.c_str(), aside.c_str()) != 0)
    return errno == ENOENT ? Status{} : fail(errno_error("cannot set aside", path, errno));
  // ENOENT and EEXIST both mean that there is nothing to put back.
  if (read_manifest_at(aside, true)) (void)::link(aside.c_str(), path.c_str());
  ::unlink(aside.c_str());
  return {};
}

}  // namespace

Json Manifest::to_json() const {
  Json list = Json::array();
  for (const auto& f : files) list.push_back(file_json(f));
  return {{"attempt", attempt.text()}, {"files", std::move(list)}, {"result", result.to_json()}};
}

Result<Manifest> Manifest::from_json(const Json& j) {
  Manifest m;
  try {
    const auto attempt = AttemptId::parse(j.at("attempt").get<std::string>());
    if (!attempt) return fail(Code::kInternal, "unreadable manifest: its attempt is not an id");
    m.attempt = *attempt;
    for (const auto& file : j.at("files")) {
      OutputFile f;
      f.name = file.at("name").get<std::string>();
      f.role = file.at("role").get<std::string>();
      f.bytes = file.at("bytes").get<std::uint64_t>();
      f.rows = file.at("rows").get<std::uint64_t>();
      f.xxhash = file.at("xxhash").get<std::string>();
      if (f.name.empty() || f.name.find('/') != std::string::npos)
        return fail(Code::kInternal,
                    fmt::format("unreadable manifest: \"{}\" is not a file's name", f.name));
      m.files.push_back(std::move(f));
    }
    POLYSOME_ASSIGN(m.result, TaskResult::from_json(j.at("result")));
  } catch (const Json::exception& e) {
    return fail(Code::kInternal, std::string("unreadable manifest: ") + e.what());
  }
  return m;
}

fs::path stage_folder(const TaskSpec& spec) { return fs::path(spec.job_folder) / spec.stage_name; }

fs::path output_path(const TaskSpec& spec, std::string_view role) {
  return stage_folder(spec) / (attempt_prefix(spec) + std::string(role));
}

fs::path manifest_path(const fs::path& stage_folder, std::uint32_t index,
                       bool start_inside_quotes) {
  return stage_folder / fmt::format("{}{}.json", index, start_inside_quotes ? ".in" : "");
}

Result<bool> publish(const TaskSpec& spec, Manifest manifest, bool durable) {
  const auto folder = stage_folder(spec);
  for (auto& f : manifest.files) {
    if (f.xxhash.empty()) {
      POLYSOME_ASSIGN(const Content content, hash_file(folder / f.name));
      f.bytes = content.bytes;
      f.xxhash = content.xxhash;
    }
    if (durable) POLYSOME_TRY(sync_file(folder / f.name));
  }
  // The names must be on disk before the manifest that promises them.
  if (durable) POLYSOME_TRY(sync_folder(folder));

  const auto path = manifest_path(folder, spec.task.index, spec.start_inside_quotes);
  const std::string text = dump(manifest.to_json());
  for (int replaced = 0; replaced <= kMostReplacements; ++replaced) {
    POLYSOME_ASSIGN(const bool won, publish_file(path, text, spec.attempt.text()));
    if (won) return true;
    const auto winner = read_manifest_at(path, true);
    if (winner && winner->attempt == spec.attempt) return true;
    if (winner) {
      remove_files(folder, manifest.files);
      return false;
    }
    POLYSOME_TRY(set_aside(path, spec));
  }
  return fail(Code::kIo,
              fmt::format("cannot publish {}: its name is taken by manifests whose files "
                          "are missing, again and again",
                          path.string()));
}

Result<Manifest> read_manifest_at(const fs::path& path, bool check_hash) {
  const auto text = read_file(path);
  if (!text) return lost(path, text.error().message);
  const auto json = parse_trusted_json(*text);
  if (!json) return lost(path, path.string() + " is not valid JSON");
  auto manifest = Manifest::from_json(*json);
  if (!manifest) return lost(path, path.string() + ": " + manifest.error().message);
  for (const auto& f : manifest->files) {
    const auto file = path.parent_path() / f.name;
    std::error_code ec;
    const auto bytes = fs::file_size(file, ec);
    if (ec) return lost(path, file.string() + ": " + ec.message());
    if (bytes != f.bytes)
      return lost(path, fmt::format("{} has {} bytes; its manifest says {}", file.string(), bytes,
                                    f.bytes));
    if (!check_hash) continue;
    const auto content = hash_file(file);
    if (!content) return lost(path, content.error().message);
    if (content->xxhash != f.xxhash)
      return lost(path, file.string() + " was changed after it was written (its hash differs)");
  }
  return manifest;
}

Result<Manifest> read_manifest(const fs::path& stage_folder, std::uint32_t index, bool check_hash) {
  const auto rerun = manifest_path(stage_folder, index, true);
  std::error_code ec;
  if (fs::exists(rerun, ec)) return read_manifest_at(rerun, check_hash);
  return read_manifest_at(manifest_path(stage_folder, index, false), check_hash);
}

void discard_outputs(const TaskSpec& spec) {
  const std::string prefix = attempt_prefix(spec);
  std::error_code ec;
  for (fs::directory_iterator it(stage_folder(spec), ec), end; !ec && it != end; it.increment(ec))
    if (it->path().filename().string().starts_with(prefix)) ::unlink(it->path().c_str());
}

}  // namespace polysome
