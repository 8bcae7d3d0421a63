#include "cli/program.h"

#include <fmt/format.h>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <exception>
#include <set>

#include "base/nearest.h"
#include "cli/command.h"
#include "cli/completion.h"

namespace polysome::cli {
namespace {

constexpr std::string_view kHelp = R"(Polysome runs big multi-omics data jobs on many workers.

usage: {0} COMMAND …

One job, no service:
  run OPERATION FILE… key=value…        run it here, result on stdout or in --out

A service and its jobs:
  serve                                 start the service
  submit OPERATION DATASET key=value…   hand in a job
  list, queue, top                      jobs, newest first; what waits and why; live
  status, watch, wait, cancel JOB       one job
  retry JOB key=value…, logs JOB [-f]   once more; what was said about it
  explain JOB                           its plan, and why it waits
  result JOB                            its table
  set JOB key=value, hold, release JOB  change a job that waits
  load NAME SOURCE, partition DATASET   data
  cluster start|stop|scale N|status|workers|drain|exclude|readmit W|autoscale

A shared queue:
  queue pause|resume, limits            nothing starts; what users may hold
  usage, faults, recommend              what was used, what failed, what jobs will need
  health                                whether the service is well

More:
  ops [OPERATION]                       the operations and their parameters
  token new|list|revoke                 who may call from elsewhere
  demo                                  make a small omics study to try things on
  config show, doctor, completion       settings; is all in place; for your shell
  version

JOB is an id, its last 6 or more characters, a unique name, or last.
Results and lists: -o table|json|ndjson|csv|id.  A command's flags: {0} COMMAND --help
)";

// The words people take from other tools.
const std::vector<std::pair<std::string, std::string>>& other_words() {
  static const std::vector<std::pair<std::string, std::string>> words{
      {"ls", "list"},
      {"jobs", "list"},
      {"ps", "list"},
      {"start", "cluster start"},
      {"stop", "cluster stop"},
      {"scale", "cluster scale"},
      {"workers", "cluster workers"},
      {"kill", "cancel"},
      {"rm", "cancel"},
      {"operations", "ops"},
      {"server", "serve"},
      {"why", "explain"},
      {"pause", "queue pause"},
      {"resume", "queue resume"},
      {"drain", "cluster drain"},
      {"autoscale", "cluster autoscale"},
      {"show", "status"},
      {"follow", "watch"},
      {"exec", "run"}};
  return words;
}

std::string called_as(const std::string& argv0) {
  return argv0.find('/') == std::string::npos ? "polysome" : argv0;
}

// Flags that every command takes may stand before its name too: they are moved behind it.
std::vector<std::string> commands_first(std::vector<std::string> line) {
  static const std::set<std::string> kWithValue{"--url", "--config", "-o"};
  static const std::set<std::string> kAlone{"-q", "--quiet"};
  std::vector<std::string> before;
  std::size_t at = 0;
  while (at < line.size() && line[at].starts_with('-')) {
    const bool joined = line[at].starts_with("--url=") || line[at].starts_with("--config=");
    if (joined || kAlone.contains(line[at])) {
      before.push_back(line[at++]);
    } else if (kWithValue.contains(line[at]) && at + 1 < line.size()) {
      before.insert(before.end(), {line[at], line[at + 1]});
      at += 2;
    } else {
      break;
    }
  }
  if (at == line.size()) return line;  // no command at all
  line.erase(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(at));
  line.insert(line.end(), before.begin(), before.end());
  return line;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> out;
  for (const auto* sub : app.get_subcommands(nullptr)) out.push_back(sub->get_name());
  return out;
}

Error unknown_command(const Context& context, const CLI::App& app, const std::string& word) {
  const auto names = command_names(app);
  for (const auto& [theirs, ours] : other_words())
    if (theirs == word)
      return {Code::kInvalid,
              fmt::format("there is no command \"{}\"; here it is \"{}\"", word, ours),
              context.command(ours)};
  const bool top = app.get_parent() == nullptr;
  return {Code::kInvalid,
          fmt::format("there is no {}command \"{}\"{}", top ? "" : app.get_name() + " ", word,
                      did_you_mean(word, names)),
          top ? context.command("--help shows them")
              : fmt::format("{}", context.command(app.get_name() + " --help shows them"))};
}

// The command that was being read when the line turned out wrong.
const CLI::App* deepest(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().back();
  return at;
}

Error unexpected(const Context& context, const CLI::App& app) {
  const CLI::App* at = deepest(app);
  const auto extras = app.remaining(true);
  const std::string extra = extras.empty() ? "" : extras.front();
  const std::string name = at == &app ? "" : at->get_name();
  const std::string help = context.command(name.empty() ? "--help" : name + " --help");
  if (!extra.starts_with('-')) {
    if (!at->get_subcommands(nullptr).empty()) return unknown_command(context, *at, extra);
    return {Code::kInvalid, fmt::format("{} does not take \"{}\"", name, extra), help};
  }
  std::vector<std::string> known;
  for (const auto* option : at->get_options()) {
    for (const auto& l : option->get_lnames()) known.push_back("--" + l);
    for (const auto& s : option->get_snames()) known.push_back("-" + s);
  }
  const std::string flag = extra.substr(0, extra.find('='));
  return {Code::kInvalid,
          fmt::format("{}unknown flag {}{}", name.empty() ? "" : name + ": ", flag,
                      did_you_mean(flag, known)),
          help};
}

Error wrong_line(const Context& context, const CLI::App& app, const CLI::ParseError& e) {
  if (dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr) return unexpected(context, app);
  const CLI::App* at = deepest(app);
  const std::string name = at == &app ? "" : at->get_name();
  const auto extras = app.remaining(true);
  if (dynamic_cast<const CLI::RequiredError*>(&e) != nullptr &&
      !at->get_subcommands(nullptr).empty()) {
    if (!extras.empty() && !extras.front().starts_with('-'))
      return unknown_command(context, *at, extras.front());
    return {Code::kInvalid, fmt::format("{} needs a command", name.empty() ? "polysome" : name),
            context.command(name.empty() ? "--help shows them" : name + " --help shows them")};
  }
  return {Code::kInvalid, fmt::format("{}{}", name.empty() ? "" : name + ": ", e.what()),
          context.command(name.empty() ? "--help" : name + " --help")};
}

void add_commands(CLI::App& app, Context& context) {
  add_serve_command(app, context);
  add_run_command(app, context);
  add_submit_command(app, context);
  add_job_commands(app, context);
  add_list_commands(app, context);
  add_queue_commands(app, context);
  add_insight_commands(app, context);
  add_top_command(app, context);
  add_result_command(app, context);
  add_data_commands(app, context);
  add_cluster_commands(app, context);
  add_demo_command(app, context);
  add_again_commands(app, context);
  add_token_command(app, context);
  add_machine_commands(app, context);
  add_completion_command(app, context);
  add_about_commands(app, context);
}

int act(Context& context) {
  const auto exit_code = context.action();
  const auto flushed = flush_out();
  if (!exit_code) {
    print_error(exit_code.error(), context.terminal.colour_err);
    return info(exit_code.error().code).exit_code;
  }
  if (!flushed) {
    print_error(flushed.error(), context.terminal.colour_err);
    return 1;
  }
  return *exit_code;
}

}  // namespace

int run_program(const std::vector<std::string>& arguments, std::string_view operations_json) {
  Context context;
  context.program = called_as(arguments.empty() ? "" : arguments.front());
  context.terminal = Terminal::look();
  context.operations_json = operations_json;
  try {
    const std::string first = arguments.size() > 1 ? arguments[1] : "";
    if (first.empty() || first == "--help" || first == "-h" || first == "help") {
      put_fitted(context.terminal, fmt::format(fmt::runtime(kHelp), context.program));
      return first.empty() ? 2 : 0;
    }
    CLI::App app("", context.program);
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
    add_commands(app, context);
    if (first == "__complete") {
      const auto operations = context.operations();
      if (operations)
        for (const auto& word :
             complete(app, *operations, {arguments.begin() + 2, arguments.end()}))
          put(word + "\n");
      return flush_out() ? 0 : 1;
    }
    std::vector<std::string> line = commands_first({arguments.begin() + 1, arguments.end()});
    if (first == "--version" || first == "-V") line.front() = "version";
    const auto names = command_names(app);
    if (!line.front().starts_with('-') && std::ranges::find(names, line.front()) == names.end()) {
      print_error(unknown_command(context, app, line.front()), context.terminal.colour_err);
      return 2;
    }
    std::ranges::reverse(line);
    try {
      app.parse(line);
    } catch (const CLI::CallForHelp&) {
      put_fitted(context.terminal, deepest(app)->help(context.program));
      return 0;
    } catch (const CLI::ParseError& e) {
      print_error(wrong_line(context, app, e), context.terminal.colour_err);
      return 2;
    }
    return act(context);
  } catch (const std::exception& e) {
    print_error(Error(Code::kInternal, fmt::format("a defect of the program: {}", e.what())),
                context.terminal.colour_err);
    return 1;
  }
}

}  // namespace polysome::cli
