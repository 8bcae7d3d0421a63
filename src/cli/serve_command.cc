// polysome serve: every flag is a setting, so that file and environment know the same names.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/command.h"
#include "cli/local_run.h"
#include "cli/machine.h"
#include "cli/settings.h"
#include "daemon/service.h"

namespace polysome::cli {
namespace {

struct Flag {
  const char* name;  // as a flag
  const char* type;
  const char* text;
};
constexpr Flag kFlags[] = {
    {"host", "NAME", "address to listen on (localhost: 127.0.0.1 and ::1)"},
    {"port", "N", "port (8001; 0: any free one, printed)"},
    {"dashboard-port", "N", "second port (8787; 0: off)"},
    {"data-dir", "DIR", "folder of datasets, may be given again (./data, else here)"},
    {"state-dir", "DIR", "where jobs are kept ($STATE_DIRECTORY, else ~/.local/state/polysome)"},
    {"work-dir", "DIR", "outputs of tasks (STATE/work)"},
    {"scratch", "DIR", "fast local folder to spill to (STATE/scratch)"},
    {"output-dir", "DIR", "where jobs may write files, may be given again (STATE/results)"},
    {"backend", "NAME", "local"},
    {"n-workers", "N", "workers of the cluster, 1-32 (4)"},
    {"threads-per-worker", "N", "threads of each, 1-64 (2)"},
    {"memory-limit", "SIZE", "memory of each (2GB)"},
    {"max-upload", "SIZE", "largest content of a dataset that may be sent (10GB)"},
    {"keep-results", "TIME", "how long results of jobs are kept (30d)"},
    {"keep-jobs", "N", "how many ended jobs are remembered (1000000)"},
    {"connections", "FILE", "databases by name, lines of name = postgresql://… (mode 0600)"},
    {"max-attempts", "N", "attempts of a task, the first counts (3)"},
    {"retry-delay", "TIME", "before the second attempt, then doubling (5s)"},
    {"partition-size", "SIZE", "how large the pieces of a dataset are (100MB)"},
    {"log-format", "NAME", "text or json"},
    {"token-file", "FILE", "who may call with a token (STATE/tokens, if it is there)"},
    {"allow-origin", "ORIGIN", "let pages of this origin call, may be given again"},
    {"allow-host", "NAME", "answer to this host name too, may be given again"},
    {"trust-proxy", "CIDR", "believe proxies at these addresses, may be given again"},
    {"allow-group", "NAME", "let members of this group call, may be given again"},
};

std::string setting_of(std::string flag) {
  std::ranges::replace(flag, '-', '_');
  return flag;
}

Result<ServeConfig> config_of(const Settings& s) {
  ServeConfig c;
  POLYSOME_ASSIGN(c, base_config(s));
  c.host = s.text("host");
  POLYSOME_ASSIGN(const std::int64_t port, s.integer("port", 0, 65'535));
  POLYSOME_ASSIGN(const std::int64_t dashboard, s.integer("dashboard_port", 0, 65'535));
  c.port = static_cast<int>(port);
  c.dashboard_port = static_cast<int>(dashboard);
  c.data_dirs = s.list("data_dir");
  c.state_dir = s.text("state_dir");
  c.work_dir = s.text("work_dir");
  c.output_dirs = s.list("output_dir");
  POLYSOME_ASSIGN(const std::int64_t workers, s.integer("n_workers", 1, kMaxWorkers));
  POLYSOME_ASSIGN(const std::int64_t threads,
                  s.integer("threads_per_worker", 1, kMaxThreadsPerWorker));
  c.cluster.n_workers = static_cast<int>(workers);
  c.cluster.threads_per_worker = static_cast<int>(threads);
  POLYSOME_ASSIGN(c.cluster.memory_limit, s.size("memory_limit"));
  c.machine_memory = look_at_machine(environment_value).memory;
  c.cluster_flags_given =
      s.from_flag("n_workers") || s.from_flag("threads_per_worker") || s.from_flag("memory_limit");
  POLYSOME_ASSIGN(c.autostart, s.boolean("autostart"));
  c.backend = s.text("backend");
  c.token_file = s.text("token_file");
  c.allow_origins = s.list("allow_origin");
  c.allow_hosts = s.list("allow_host");
  c.trust_proxies = s.list("trust_proxy");
  c.allow_groups = s.list("allow_group");
  POLYSOME_ASSIGN(c.allow_all_local, s.boolean("allow_all_local"));
  c.connections = s.text("connections");
  POLYSOME_ASSIGN(c.max_upload, s.size("max_upload"));
  POLYSOME_ASSIGN(c.keep_results_ms, s.duration_ms("keep_results"));
  POLYSOME_ASSIGN(c.keep_jobs, s.integer("keep_jobs", 1, 1'000'000'000));
  c.log_format = s.text("log_format");
  if (c.log_format != "text" && c.log_format != "json")
    return fail(
        Code::kInvalid,
        fmt::format("log_format \"{}\" ({}) is not known", c.log_format, s.origin("log_format")),
        "text or json");
  c.origins = s.origins();
  return c;
}

}  // namespace

void add_serve_command(CLI::App& app, Context& context) {
  auto* command =
      app.add_subcommand("serve", "start the service; ends on Ctrl-C or SIGTERM, jobs go on later");
  auto common = std::make_shared<CommonFlags>();
  auto values = std::make_shared<std::map<std::string, std::vector<std::string>>>();
  auto autostart = std::make_shared<bool>(false);
  auto all_local = std::make_shared<bool>(false);
  for (const auto& flag : kFlags) {
    auto& value = (*values)[setting_of(flag.name)];
    command->add_option(fmt::format("--{}", flag.name), value, flag.text)
        ->type_name(flag.type)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  command->add_flag("--autostart", *autostart, "start the cluster at once");
  command->add_flag("--allow-all-local", *all_local, "let every user of this machine call");
  command->add_option("--config", common->config, "configuration file in place of the usual ones")
      ->type_name("FILE");
  command->footer(
      "Every flag is also POLYSOME_NAME in the environment (DASK_N_WORKERS, "
      "DASK_THREADS_PER_WORKER and\n"
      "DASK_MEMORY_LIMIT too; --token-file is POLYSOME_SERVE_TOKEN_FILE) and a key of config.toml "
      "in\n~/.config/polysome or /etc/polysome.");
  context.on(command, [&context, common, values, autostart, all_local]() -> Result<int> {
    std::map<std::string, std::vector<std::string>> flags;
    for (const auto& [name, texts] : *values) {
      if (texts.empty()) continue;
      const bool may_repeat = name == "data_dir" || name == "output_dir" || name == "trust_proxy" ||
                              name.starts_with("allow_");
      flags[name] = may_repeat ? texts : std::vector{texts.back()};
    }
    if (*all_local) flags["allow_all_local"] = {"true"};
    if (*autostart) flags["autostart"] = {"true"};
    POLYSOME_ASSIGN(const Settings settings, settings_of(*common, std::move(flags)));
    POLYSOME_ASSIGN(const ServeConfig config, config_of(settings));
    return serve(config, context.operations_json);
  });
}

}  // namespace polysome::cli
