// `polysome serve`: folders, listener, signals.
#include <fmt/format.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>

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

}  // namespace

int serve(const ServeConfig& config, std::string_view operations_json) {
  log::configure(config.log_format == "json" ? log::Format::kJson : log::Format::kText,
                 log::Level::kInfo);
  static const std::set<std::string> kLoopback{"localhost", "127.0.0.1", "::1", "[::1]"};
  if (!kLoopback.contains(config.host))
    return say(Error(
        Code::kForbidden,
        fmt::format("--host {} would let other machines in, and this version has no tokens to tell "
                    "them apart",
                    config.host),
        "listen on localhost and use an SSH tunnel: ssh -L 8001:localhost:8001 HOST"));
  if (config.backend != "local")
    return say(Error(Code::kInvalid, fmt::format("backend \"{}\" is not available", config.backend),
                     "this version runs worker processes on this machine: --backend local"));
  auto options = options_of(config);
  if (!options) return say(options.error());
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
  api::Router router;
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
