// polysome config show and doctor: what the program works with, and whether that is sound.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/bytes.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/local_run.h"
#include "cli/phrases.h"
#include "daemon/service.h"
#include "model/access_tokens.h"

namespace polysome::cli {
namespace {

namespace fs = std::filesystem;

// ---- config show ----

Result<int> show_config(const Context& context, bool origin, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(const Settings settings, settings_of(flags));
  Json rows = Json::array();
  for (const auto& [name, from] : settings.origins()) {
    std::string value;
    for (const auto& text : settings.list(name)) value += (value.empty() ? "" : ", ") + text;
    rows.push_back({{"name", name}, {"value", value}, {"origin", from}});
  }
  std::vector<ListColumn> columns{{"setting", "name"}, {"value", "value"}};
  if (origin) columns.push_back({"from", "origin"});
  output.list(Json{{"settings", rows}}, rows, columns, "name");
  return 0;
}

// ---- doctor ----

struct Finding {
  std::string what, state, text;  // state: ok, warning, problem
};
using Findings = std::vector<Finding>;

// Filesystems on which SQLite's locks or durability are not to be trusted.
std::string shared_filesystem(const std::string& folder) {
  constexpr std::array<std::pair<long, const char*>, 6> kShared{{{0x6969, "NFS"},
                                                                 {0x0BD00BD0, "Lustre"},
                                                                 {0xFF534D42, "SMB"},
                                                                 {0xFE534D42, "SMB"},
                                                                 {0x47504653, "GPFS"},
                                                                 {0x19830326, "BeeGFS"}}};
  struct statfs s{};
  fs::path at(folder);
  while (::statfs(at.c_str(), &s) != 0 && at.has_relative_path()) at = at.parent_path();
  for (const auto& [magic, name] : kShared)
    if (static_cast<long>(s.f_type) == magic) return name;
  return {};
}

void check_programs(const Settings& settings, Findings* out) {
  const auto config = base_config(settings);
  if (!config)
    out->push_back({"worker program", "problem", config.error().message});
  else
    out->push_back({"worker program", "ok", config->worker_program});
}

void check_machine(Findings* out) {
  const MachineShare machine = look_at_machine(environment_value);
  out->push_back({"machine", "ok",
                  fmt::format("{} cores ({}), {} memory ({})", machine.cores, machine.cores_by,
                              format_bytes(machine.memory), machine.memory_by)});
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0)
    out->push_back(
        {"open files", files.rlim_max < 4096 ? "warning" : "ok",
         fmt::format("{} at once{}", files.rlim_max,
                     files.rlim_max < 4096 ? "; many clients need more: ulimit -n 65536" : "")});
}

void check_folder(const char* what, const std::string& folder, bool needs_locks, Findings* out) {
  std::error_code ec;
  fs::path there(folder);
  while (!fs::exists(there, ec) && there.has_relative_path()) there = there.parent_path();
  if (::access(there.c_str(), W_OK) != 0) {
    out->push_back({what, "problem", fmt::format("{} can't be written", there.string())});
    return;
  }
  const std::string shared = shared_filesystem(folder);
  if (needs_locks && !shared.empty()) {
    out->push_back(
        {what, "problem",
         fmt::format("{} is on {}; take a local folder: --state-dir DIR", folder, shared)});
    return;
  }
  const auto free = free_disk_bytes(there);
  const bool little = free && *free < 5'000'000'000;
  out->push_back({what, little ? "warning" : "ok",
                  fmt::format("{}, {} free{}", folder, format_bytes(free.value_or(0)),
                              little ? "; spills and results may need more" : "")});
}

void check_service(const CommonFlags& flags, Findings* out) {
  auto client = connect(flags);
  if (!client) {
    out->push_back({"service", "problem", client.error().message});
    return;
  }
  const auto version = client->get_root("/version");
  if (!version) {
    out->push_back({"service", "warning", version.error().message});
    return;
  }
  const std::string theirs = text_of(*version, "version");
  out->push_back({"service", theirs == POLYSOME_VERSION ? "ok" : "problem",
                  fmt::format("{} at {}{}", theirs, client->url(),
                              theirs == POLYSOME_VERSION
                                  ? ""
                                  : fmt::format("; this program is {}", POLYSOME_VERSION))});
  if (const auto health = client->get("health"); health) {
    const std::string state = text_of(*health, "status");
    out->push_back({"health", state == "healthy" ? "ok" : "problem", state});
  }
  const auto cluster = client->get("cluster/status");
  if (!cluster) return;
  const bool over = cluster->value("overcommitted", false);
  std::string text = text_of(*cluster, "status");
  if (const auto workers = whole_of(*cluster, "n_workers"); workers > 0)
    text += fmt::format(", {}", counted(workers, "worker"));
  if (over) text += "; more threads than CPUs: they wait for each other";
  out->push_back({"cluster", over ? "warning" : "ok", text});
}

void check_security(const Settings& settings, Findings* out) {
  const std::string host = settings.text("host");
  const bool loopback =
      host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.");
  out->push_back({"listens on", loopback ? "ok" : "warning",
                  loopback ? host + ": this machine only"
                           : host + ": other machines too; put TLS in front of it"});
  const std::string named = settings.text("token_file");
  const std::string file = named.empty() ? default_token_file(settings.text("state_dir")) : named;
  std::error_code ec;
  if (!fs::exists(file, ec)) {
    out->push_back({"tokens", loopback ? "ok" : "problem", fmt::format("none ({})", file)});
  } else {
    const auto text = read_private_file(file);
    const auto tokens = text ? parse_tokens(*text, file) : std::unexpected(text.error());
    if (tokens)
      out->push_back({"tokens", "ok", fmt::format("{} in {}", tokens->size(), file)});
    else
      out->push_back({"tokens", "problem", tokens.error().message + "; " + tokens.error().hint});
  }
  const bool all = settings.text("allow_all_local") == "true";
  out->push_back({"local users", all ? "warning" : "ok",
                  all ? "every user of this machine may hand in jobs"
                      : "the service's own account, root, and members of --allow-group"});
  if (const auto origins = settings.list("allow_origin"); !origins.empty())
    out->push_back({"foreign pages", "warning", fmt::format("of {}", origins.front())});
  struct stat st{};
  const std::string state = fs::path(default_token_file(settings.text("state_dir"))).parent_path();
  if (::stat(state.c_str(), &st) == 0)
    out->push_back({"state folder", (st.st_mode & 022) != 0 ? "problem" : "ok",
                    (st.st_mode & 022) != 0
                        ? fmt::format("{} may be written by others: chmod go-w {}", state, state)
                        : fmt::format("{} is written by its owner only", state)});
}

Result<int> doctor(const Context& context, bool security, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(const Settings settings, settings_of(flags));
  Findings found;
  if (security) {
    check_security(settings, &found);
  } else {
    check_programs(settings, &found);
    check_machine(&found);
    const std::string state =
        fs::path(default_token_file(settings.text("state_dir"))).parent_path().string();
    check_folder("state folder", state, true, &found);
    const std::string scratch = settings.text("scratch");
    if (!scratch.empty()) check_folder("scratch", scratch, false, &found);
    check_service(flags, &found);
  }
  Json rows = Json::array();
  bool problem = false;
  for (const auto& f : found) {
    rows.push_back({{"check", f.what}, {"state", f.state}, {"text", f.text}});
    problem = problem || f.state == "problem";
  }
  output.list(Json{{"checks", rows}, {"healthy", !problem}}, rows,
              {{"check", "check"},
               {"state", "state", Align::kLeft,
                [&](const Json& j) {
                  const std::string state = text_of(j, "state");
                  return paint(output.colour(),
                               state == "ok"        ? Paint::kGreen
                               : state == "warning" ? Paint::kYellow
                                                    : Paint::kRed,
                               state);
                }},
               {"what was found", "text"}},
              "check");
  return problem ? 1 : 0;
}

}  // namespace

void add_machine_commands(CLI::App& app, Context& context) {
  {
    auto* config = app.add_subcommand("config", "the settings in force");
    config->require_subcommand(1);
    auto* command = config->add_subcommand("show", "every setting and its value");
    auto flags = std::make_shared<CommonFlags>();
    auto origin = std::make_shared<bool>(false);
    command->add_flag("--origin", *origin, "and where it comes from");
    command->add_option("--config", flags->config, "configuration file in place of the usual ones")
        ->type_name("FILE");
    add_output_flags(command, flags);
    context.on(command,
               [&context, origin, flags] { return show_config(context, *origin, *flags); });
  }
  {
    auto* command = app.add_subcommand("doctor", "is everything in place? exit 1 when it is not");
    auto flags = std::make_shared<CommonFlags>();
    auto security = std::make_shared<bool>(false);
    command->add_flag("--security", *security, "who may call, and what they could read");
    add_service_flags(command, flags);
    context.on(command, [&context, security, flags] { return doctor(context, *security, *flags); });
  }
}

}  // namespace polysome::cli
