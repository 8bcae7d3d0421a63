// polysome serve: every flag is a setting, so that file and environment know the same names.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/command.h"
#include "cli/local_run.h"
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
    {"max-attempts", "N", "attempts of a task, the first counts (3)"},
    {"retry-delay", "TIME", "before the second attempt, then doubling (5s)"},
    {"partition-size", "SIZE", "how large the pieces of a dataset are (100MB)"},
    {"log-format", "NAME", "text or json"},
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
  c.cluster_flags_given =
      s.from_flag("n_workers") || s.from_flag("threads_per_worker") || s.from_flag("memory_limit");
  POLYSOME_ASSIGN(c.autostart, s.boolean("autostart"));
  c.backend = s.text("backend");
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
  for (const auto& flag : kFlags) {
    auto& value = (*values)[setting_of(flag.name)];
    command->add_option(fmt::format("--{}", flag.name), value, flag.text)
        ->type_name(flag.type)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  command->add_flag("--autostart", *autostart, "start the cluster at once");
  command->add_option("--config", common->config, "configuration file in place of the usual ones")
      ->type_name("FILE");
  command->footer(
      "Every flag is also POLYSOME_NAME in the environment (DASK_N_WORKERS, "
      "DASK_THREADS_PER_WORKER and\n"
      "DASK_MEMORY_LIMIT too) and a key of config.toml in ~/.config/polysome or /etc/polysome.");
  context.on(command, [&context, common, values, autostart]() -> Result<int> {
    std::map<std::string, std::vector<std::string>> flags;
    for (const auto& [name, texts] : *values) {
      if (texts.empty()) continue;
      const bool may_repeat = name == "data_dir" || name == "output_dir";
      flags[name] = may_repeat ? texts : std::vector{texts.back()};
    }
    if (*autostart) flags["autostart"] = {"true"};
    POLYSOME_ASSIGN(const Settings settings, settings_of(*common, std::move(flags)));
    POLYSOME_ASSIGN(const ServeConfig config, config_of(settings));
    return serve(config, context.operations_json);
  });
}

}  // namespace polysome::cli
