// `polysome serve`: folders, listener, signals.
#include <fmt/format.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "api/access.h"
#include "api/caller.h"
#include "api/guard.h"
#include "api/router.h"
#include "api/routes.h"
#include "api/server.h"
#include "base/log.h"
#include "daemon/host.h"
#include "daemon/service.h"

namespace polysome {
namespace fs = std::filesystem;
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string default_state_dir() {
  if (const auto dir = environment("STATE_DIRECTORY"); !dir.empty()) return dir;
  if (const auto dir = environment("XDG_STATE_HOME"); !dir.empty()) return dir + "/polysome";
  const auto home = environment("HOME");
  return (home.empty() ? std::string("/var/lib") : home + "/.local/state") + "/polysome";
}

int say(const Error& error) {
  std::fprintf(stderr, "polysome: %s\n", error.message.c_str());
  if (!error.hint.empty()) std::fprintf(stderr, "  %s\n", error.hint.c_str());
  return info(error.code).exit_code;
}

// Folders made absolute, defaults filled in, data folders checked.
Result<Host::Options> options_of(const ServeConfig& given) {
  Host::Options out;
  out.config = given;
  auto& c = out.config;
  c.state_dir = absolute_path(c.state_dir.empty() ? default_state_dir() : c.state_dir);
  c.work_dir = c.work_dir.empty() ? c.state_dir + "/work" : absolute_path(c.work_dir);
  c.scratch =
      c.scratch.empty() ? c.state_dir + "/scratch" : absolute_path(c.scratch) + "/polysome-scratch";
  for (auto& dir : c.output_dirs) dir = absolute_path(dir);
  if (!c.connections.empty()) c.connections = absolute_path(c.connections);
  if (c.output_dirs.empty()) c.output_dirs = {c.state_dir + "/results"};
  if (c.data_dirs.empty()) c.data_dirs = {fs::is_directory("data") ? "data" : "."};
  for (const auto& dir : c.data_dirs) {
    std::error_code ec;
    const auto real = fs::canonical(dir, ec);
    if (ec || !fs::is_directory(real, ec))
      return fail(Code::kInvalid, fmt::format("the data folder {} is not there", dir),
                  "make it, or name another with --data-dir");
    out.data_dirs.push_back(real.string());
  }
  return out;
}

Result<api::AccessConfig> access_of(const ServeConfig& c) {
  api::AccessConfig out;
  out.token_file = c.token_file.empty() ? default_token_file(c.state_dir) : c.token_file;
  std::error_code ec;
  if (c.token_file.empty() && !fs::exists(out.token_file, ec)) out.token_file.clear();
  out.allow_origins = c.allow_origins;
  out.allow_hosts = c.allow_hosts;
  for (const auto& text : c.trust_proxies) {
    auto network = api::parse_network(text);
    if (!network)
      return fail(Code::kInvalid, fmt::format("--trust-proxy: {}", network.error().message),
                  network.error().hint);
    out.trust_proxies.push_back(std::move(*network));
  }
  for (const auto& name : c.allow_groups) {
    POLYSOME_ASSIGN(const gid_t group, api::group_of(name));
    out.allow_groups.push_back(group);
  }
  out.allow_all_local = c.allow_all_local;
  out.owners_known = api::owners_can_be_told();
  return out;
}

std::vector<std::string> access_warnings(const ServeConfig& c, const api::AccessConfig& rights) {
  std::vector<std::string> out;
  if (c.allow_all_local)
    out.emplace_back("--allow-all-local: every user of this machine may hand in jobs");
  if (!rights.owners_known)
    out.emplace_back(
        "this system does not tell who owns a connection: every local caller is \"anonymous\", and "
        "anonymous callers share their jobs");
  return out;
}

}  // namespace

std::string default_token_file(const std::string& state_dir) {
  return absolute_path(state_dir.empty() ? default_state_dir() : state_dir) + "/tokens";
}

int serve(const ServeConfig& config, std::string_view operations_json) {
  log::configure(config.log_format == "json" ? log::Format::kJson : log::Format::kText,
                 log::Level::kInfo);
  if (config.backend != "local")
    return say(Error(Code::kInvalid, fmt::format("backend \"{}\" is not available", config.backend),
                     "this version runs worker processes on this machine: --backend local"));
  auto options = options_of(config);
  if (!options) return say(options.error());
  auto rights = access_of(options->config);
  if (!rights) return say(rights.error());
  const auto warnings = access_warnings(options->config, *rights);
  api::Router router(std::move(*rights));
  if (const auto tokens = router.access().load_tokens(); !tokens) return say(tokens.error());
  const std::size_t tokens = router.access().tokens();
  if (const auto bindable = api::check_bind_host(config.host, tokens > 0); !bindable)
    return say(bindable.error());
  const auto data_dirs = options->data_dirs;
  const std::string state_dir = options->config.state_dir;

  auto host = Host::open(std::move(*options), operations_json);
  if (!host) return say(host.error());
  auto& loop = (*host)->loop();
  Engine& engine = (*host)->engine();

  api::ServerConfig listen;
  listen.host = config.host;
  listen.port = static_cast<std::uint16_t>(config.port);
  listen.dashboard_port = config.dashboard_port;
  listen.has_tokens = tokens > 0;
  api::add_routes(router, engine);
  api::Server server(loop, listen, router);
  if (const auto listening = server.start(); !listening) return say(listening.error());
  const auto lines = engine.start(config.cluster_flags_given, config.autostart);
  if (!lines) return say(lines.error());

  const auto known = engine.datasets()["total"].get<std::size_t>();
  std::string where;
  for (const auto& dir : data_dirs) where += (where.empty() ? "" : ", ") + dir;
  log::info("Polysome {} at http://localhost:{}", POLYSOME_VERSION, server.port());
  log::info("data: {} ({} dataset{})", where, known, known == 1 ? "" : "s");
  log::info("state: {}", state_dir);
  if (tokens > 0) log::info("tokens: {} in {}", tokens, router.access().token_file());
  if (!api::is_loopback_host(config.host))
    log::warning("--host {}: calls and tokens travel as plain text; put TLS in front of it",
                 config.host);
  for (const auto& line : warnings) log::warning("{}", line);
  for (const auto& line : *lines) log::info("{}", line);
  const auto cluster = engine.cluster_status();
  if (cluster["status"] == "stopped")
    log::info(
        "the cluster is stopped; start it: polysome cluster start, or POST "
        "/api/processing/cluster/start");
  else
    log::info("the cluster starts with {} workers x {} threads",
              cluster["target_workers"].get<int>(), cluster["threads_per_worker"].get<int>());

  std::signal(SIGPIPE, SIG_IGN);
  boost::asio::signal_set signals(loop, SIGINT, SIGTERM);
  signals.async_wait([&](const boost::system::error_code& ec, int signal) {
    if (ec) return;
    log::info("{}: stopping; unfinished jobs go on at the next start",
              signal == SIGINT ? "SIGINT" : "SIGTERM");
    server.stop([&] {
      engine.shut_down();
      loop.stop();
    });
  });
  loop.run();
  return 0;
}

}  // namespace polysome
