#include "daemon/host.h"

#include <boost/asio/post.hpp>
#include <filesystem>

#include "base/control_groups.h"
#include "base/files.h"
#include "base/log.h"
#include "base/scratch.h"
#include "executor/local_executor.h"
#include "model/connections.h"
#include "store/sqlite_store.h"

namespace polysome {
namespace fs = std::filesystem;

std::string absolute_path(const std::string& path) {
  std::error_code ec;
  const auto whole =
      fs::absolute(path);  // weakly_canonical leaves a relative path that is not there
  const auto real = fs::weakly_canonical(whole, ec);
  return ec ? whole.string() : real.string();
}

Result<std::unique_ptr<Host>> Host::open(Options options, std::string_view operations_json) {
  std::unique_ptr<Host> host(new Host());
  const ServeConfig& c = options.config;
  const std::string tmp = c.state_dir + "/tmp";
  // Half-made answers of an earlier service.
  (void)remove_all(tmp);
  const std::string kept = c.state_dir + "/datasets";
  for (const auto& dir : {c.state_dir, c.work_dir, tmp, c.state_dir + "/workers", kept})
    POLYSOME_TRY(make_folders(dir));
  for (const auto& dir : c.output_dirs) POLYSOME_TRY(make_folders(dir));

  auto& loop = host->loop_;
  SqliteStoreOptions store;
  store.retention.jobs = c.keep_jobs;
  POLYSOME_ASSIGN(
      host->store_,
      open_sqlite_store(
          c.state_dir, [&loop](std::function<void()> f) { boost::asio::post(loop, std::move(f)); },
          store));
  POLYSOME_TRY(LocalExecutor::fence(c.state_dir + "/workers"));
  POLYSOME_ASSIGN(OperationCatalog catalog, OperationCatalog::from_json(operations_json));

  // Nobody of an earlier service lives any more.
  std::vector<std::string> roots = c.output_dirs;
  roots.insert(roots.end(), options.writable.begin(), options.writable.end());
  (void)remove_scratch(c.scratch, roots);
  POLYSOME_TRY(make_folders(c.scratch));

  std::vector<std::string> arguments;
  const auto add = [&](const char* flag, const std::string& dir) {
    arguments.emplace_back(flag);
    arguments.push_back(dir);
  };
  if (options.any_path) add("--read", "/");
  for (const auto& dir : options.data_dirs) add("--read", dir);
  add("--read", c.work_dir);
  add("--read", kept);
  std::vector<std::string> reader_arguments = arguments;
  add("--write", c.work_dir);
  for (const auto& dir : c.output_dirs) add("--write", dir);
  for (const auto& dir : options.writable) add("--write", dir);
  if (options.workers_answer) add("--write", tmp);
  if (!c.connections.empty()) {
    POLYSOME_TRY(Connections::read(c.connections));  // told at start, not by the first job
    add("--connections", c.connections);
    reader_arguments.insert(reader_arguments.end(), {"--connections", c.connections});
  }
  add("--scratch", c.scratch);
  reader_arguments.insert(reader_arguments.end(), {"--write", tmp, "--scratch", c.scratch});

  DataServiceConfig reader;
  reader.worker_program = c.worker_program;
  reader.arguments = reader_arguments;
  host->data_ = std::make_unique<DataService>(loop, reader);

  EngineConfig engine;
  engine.work_dir = c.work_dir;
  engine.state_dir = c.state_dir;
  engine.output_roots = c.output_dirs;
  if (!options.any_path) engine.read_roots = options.data_dirs;
  engine.cluster = c.cluster;
  engine.machine_memory = c.machine_memory;
  engine.backend = c.backend;
  engine.submit = {c.max_attempts, c.partition_size};
  engine.retry_delay_ms = c.retry_delay_ms;
  engine.dashboard_port = c.dashboard_port;
  engine.max_upload = c.max_upload;
  engine.keep_results_ms = c.keep_results_ms;
  engine.workers_answer = options.workers_answer;
  engine.keep_tables = options.keep_tables;
  if (!options.any_path) engine.log_dir = c.state_dir + "/logs";
  // With one job to come, every slot is going to need it.
  if (options.workers_answer) arguments.emplace_back("--prepare");
  if (const auto group = claim_control_group())
    add("--control-group", *group);
  else
    log::info("workers keep to their memory by their own limits, without control groups: {}",
              group.error().message);
  LocalExecutorConfig local{c.worker_program, arguments, c.state_dir + "/workers"};
  host->engine_ = std::make_unique<Engine>(
      loop, engine, *host->store_, std::move(catalog),
      DatasetCatalog(options.data_dirs, options.any_path),
      [&loop, local](Executor::Sink sink) -> std::unique_ptr<Executor> {
        return std::make_unique<LocalExecutor>(loop, local, std::move(sink));
      },
      *host->data_);
  return host;
}

Host::~Host() {
  if (engine_) engine_->shut_down();
  data_.reset();
  // The store commits what is queued; its callbacks are never run, so nothing they refer to is
  // used.
  store_.reset();
  engine_.reset();
}

}  // namespace polysome
