// What every command shares: how it was called, its common flags, and how its work is run after the
// line was read. The groups of commands add themselves to the program with the functions below.
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cli/output.h"
#include "cli/service_client.h"
#include "cli/settings.h"
#include "model/operation.h"

namespace polysome::cli {

struct Context {
  std::string program;  // as it was called, for the commands in messages
  Terminal terminal;
  std::string_view operations_json;
  // The chosen command's work; answers with the exit code.
  std::function<Result<int>()> action;

  Result<OperationCatalog> operations() const {
    return OperationCatalog::from_json(operations_json);
  }
  // `polysome watch 7c1e09aa`, with the name it was called by.
  std::string command(std::string_view rest) const { return program + " " + std::string(rest); }
  void on(CLI::App* command, std::function<Result<int>()> work) {
    command->callback([this, work = std::move(work)] { action = work; });
  }
};

struct CommonFlags {
  std::string url, config, format;
  bool quiet = false;
};
using CommonFlagsPtr = std::shared_ptr<CommonFlags>;

// -o FORMAT and -q
void add_output_flags(CLI::App* command, const CommonFlagsPtr& flags);
// --url, --config, and those for output
void add_service_flags(CLI::App* command, const CommonFlagsPtr& flags);

Result<Output> output_of(const Context& context, const CommonFlags& flags);
// `given`: flags of the command that are settings.
Result<Settings> settings_of(const CommonFlags& flags,
                             std::map<std::string, std::vector<std::string>> given = {});
Result<ServiceClient> connect(const CommonFlags& flags);

void add_serve_command(CLI::App& app, Context& context);
void add_run_command(CLI::App& app, Context& context);
void add_submit_command(CLI::App& app, Context& context);
void add_job_commands(CLI::App& app, Context& context);  // status watch wait cancel
void add_list_commands(CLI::App& app, Context& context);
void add_queue_commands(CLI::App& app, Context& context);  // queue set hold release limits
void add_insight_commands(CLI::App& app,
                          Context& context);  // explain usage recommend faults health
void add_top_command(CLI::App& app, Context& context);
void add_result_command(CLI::App& app, Context& context);
void add_data_commands(CLI::App& app, Context& context);  // load partition
void add_cluster_commands(CLI::App& app, Context& context);
void add_demo_command(CLI::App& app, Context& context);
void add_again_commands(CLI::App& app, Context& context);    // retry logs
void add_machine_commands(CLI::App& app, Context& context);  // config doctor
void add_completion_command(CLI::App& app, Context& context);
void add_token_command(CLI::App& app, Context& context);
void add_about_commands(CLI::App& app, Context& context);  // ops version

// Watches a job on stderr until its end; the exit code of its state. Then says where its result is,
// or with -o prints it. On Ctrl-C says how to come back: 8.
Result<int> watch_job(const Context& context, const Output& output, ServiceClient& client,
                      const std::string& id);
// The result of a completed job on stdout.
Status show_result(const Context& context, const Output& output, ServiceClient& client,
                   const Json& status, const std::string& table,
                   std::optional<std::uint64_t> limit);

}  // namespace polysome::cli
