// polysome run: one job with no service, its progress on stderr, its result on stdout or in a file.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/bytes.h"
#include "base/files.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/interrupt.h"
#include "cli/local_run.h"
#include "cli/phrases.h"
#include "cli/progress.h"
#include "cli/result_view.h"
#include "model/database_url.h"
#include "model/job.h"

namespace polysome::cli {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMostSecondsToStop = 4;
constexpr std::uint64_t kShownRows = 20;

struct Options {
  std::string operation, params, out, memory, scratch, partition_size, on_bad_value, config,
      connections;
  std::vector<std::string> words;
  int workers = 0;
  bool replace = false, fresh = false;
};

struct Prepared {
  RunRequest request;
  std::string share_line;
};

Status add_output(const Options& o, RunRequest& request) {
  if (o.out.empty()) return {};
  if (is_url(o.out)) {
    POLYSOME_ASSIGN(const std::string url, absolute_database(o.out, false));
    request.submit_body["output"]["database"] = url;
    if (o.replace) request.submit_body["output"]["if_exists"] = "replace";
    return {};
  }
  std::error_code ec;
  const fs::path out = fs::absolute(o.out, ec).lexically_normal();
  const bool folder = o.out.ends_with('/') || fs::is_directory(out, ec);
  if (!folder && fs::exists(out, ec) && !o.replace)
    return fail(Code::kConflict, fmt::format("{} is there already", o.out),
                "--replace overwrites it");
  const fs::path parent =
      (folder ? out.string().ends_with('/') ? out.parent_path() : out : out).parent_path();
  if (!fs::is_directory(parent, ec))
    return fail(Code::kInvalid, fmt::format("there is no folder {} for {}", parent.string(), o.out),
                fmt::format("make it: mkdir -p {}", parent.string()));
  request.out = folder && out.string().ends_with('/') ? out.parent_path().string() : out.string();
  Json& output = request.submit_body["output"];
  if (folder) output["files"] = "parts";
  if (o.replace) output["if_exists"] = "replace";
  return {};
}

Result<Prepared> prepare(const Context& context, const Options& o) {
  Prepared out;
  RunRequest& request = out.request;
  POLYSOME_ASSIGN(const OperationCatalog catalog, context.operations());
  POLYSOME_ASSIGN(const OperationDescription* operation, find_operation(catalog, o.operation));
  POLYSOME_ASSIGN(JobArguments arguments, read_job_arguments(*operation, o.words, o.params));
  if (arguments.datasets.empty() && operation->min_datasets > 0)
    return fail(Code::kInvalid, fmt::format("{} needs a file", operation->name),
                context.command(fmt::format("run {} FILE key=value …", operation->name)));
  if (!arguments.datasets.empty() && operation->max_datasets == 0)
    return fail(Code::kInvalid,
                fmt::format("{} takes no file, but \"{}\" is given", operation->name,
                            arguments.datasets.front()),
                "parameters are written key=value");
  POLYSOME_ASSIGN(request.files, absolute_sources(arguments.datasets));
  request.files_are_layers = operation->max_datasets > 1 && request.files.size() > 1;
  request.submit_body = std::move(arguments.body);
  request.submit_body.erase("dataset_id");
  if (!o.partition_size.empty()) request.submit_body["partition_size"] = o.partition_size;
  if (!o.on_bad_value.empty()) request.submit_body["on_bad_value"] = o.on_bad_value;
  POLYSOME_TRY(add_output(o, request));
  request.work_folder = work_folder_of(request.submit_body, request.files);

  std::map<std::string, std::vector<std::string>> flags;
  if (!o.scratch.empty()) flags["scratch"] = {o.scratch};
  if (!o.connections.empty()) flags["connections"] = {o.connections};
  CommonFlags common;
  common.config = o.config;
  POLYSOME_ASSIGN(const Settings settings, settings_of(common, std::move(flags)));
  POLYSOME_ASSIGN(request.base, base_config(settings));
  std::uint64_t memory = 0;
  if (!o.memory.empty()) {
    POLYSOME_ASSIGN(memory, parse_bytes(o.memory));
  }
  const LocalShare share = share_of(look_at_machine(environment_value), o.workers, memory,
                                    settings.text("scratch"), environment_value);
  request.cluster = share.cluster;
  request.base.scratch = share.scratch;
  out.share_line = share.line;
  return out;
}

// The table as its preview has it, when that is all of it, or `rows` rows and `columns` columns of
// it: then no process has to open the result.
std::optional<Json> page_of_preview(const Json& table, std::uint64_t enough_rows,
                                    std::uint64_t enough_columns) {
  const Json& rows = list_of(table, "preview");
  const std::uint64_t n_rows = whole_of(table, "n_rows");
  const std::uint64_t n_columns = whole_of(table, "n_columns");
  const std::uint64_t wanted = std::min(n_columns, enough_columns);
  Json columns = list_of(table, "columns");
  if (rows.size() < std::min(n_rows, enough_rows) || columns.size() < wanted) return std::nullopt;
  columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(wanted), columns.end());
  for (const auto& row : rows)
    if (row.size() < wanted) return std::nullopt;
  return Json{{"columns", std::move(columns)},
              {"rows", rows},
              {"n_rows", n_rows},
              {"n_columns", n_columns}};
}

Status print_table(const Context& context, const Output& output, const RunOutcome& outcome,
                   const Json& table) {
  const TableLayout layout = output.layout();
  auto page = page_of_preview(table, kShownRows, most_columns(layout));
  if (!page) {
    POLYSOME_ASSIGN(page, outcome.page(kShownRows, columns_to_show(table, layout)));
    (*page)["n_columns"] = whole_of(table, "n_columns");
  }
  POLYSOME_ASSIGN(
      const auto lines,
      preview_lines(*page, layout,
                    fmt::format("--out {}.csv writes all", text_of(outcome.status, "operation"))));
  if (context.terminal.err) note("");
  output.lines(lines);
  return {};
}

Status print_result(const Context& context, const Output& output, const RunOutcome& outcome) {
  const Json& result = object_of(outcome.status, "result");
  if (output.format() == Format::kJson) return write_out(dump_pretty(result) + "\n");
  if (output.format() == Format::kId) return write_out(text_of(outcome.status, "job_id") + "\n");
  if (!has_table(result)) {
    output.record(result, summary_fields(result), "value");
    return {};
  }
  const Json& table = list_of(result, "tables").front();
  if (output.for_people()) return print_table(context, output, outcome, table);
  const Format format = output.format() == Format::kNdjson ? Format::kNdjson : Format::kCsv;
  if (const auto whole = page_of_preview(table, UINT64_MAX, UINT64_MAX))
    return write_rows(*whole, format);
  POLYSOME_TRY(outcome.text(format == Format::kNdjson ? "ndjson" : "csv", write_out));
  return flush_out();
}

// Removes the work of a job that is over, and .polysome with it when nothing else is kept there.
void clean_up(const RunOutcome& outcome, const std::string& work_folder) {
  if (outcome.clean)
    outcome.clean();
  else if (const auto removed = remove_all(work_folder); !removed)
    note(removed.error().message);
  std::error_code ec;
  fs::remove(".polysome", ec);  // only if empty
}

// For programs that drive this one (-o json): why there is no result, as the object of the API.
void print_problem_json(const Output& output, const Json& problem) {
  if (output.format() == Format::kJson) put(dump_pretty(problem) + "\n");
}

void note_resumed(const RunOutcome& outcome) {
  std::uint64_t total = 0;
  for (const auto& stage : list_of(outcome.status, "stages"))
    total += whole_of(stage, "tasks_total");
  note(fmt::format("resumed: {} of {}", format_count(outcome.resumed_tasks),
                   counted(total, "task")));
}

Result<int> run(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(Prepared prepared, prepare(context, o));
  RunRequest& request = prepared.request;
  if (o.fresh) POLYSOME_TRY(remove_all(request.work_folder));
  if (!flags.quiet) note(prepared.share_line);
  ProgressView view(context.terminal);
  request.on_progress = [&view](const Json& status) {
    if (!is_over(status)) view.update(status);
  };
  request.stop_requested = [] { return interrupted(); };
  catch_interrupts_with_limit(kMostSecondsToStop, 3);
  const RunOutcome outcome = run_job(request, context.operations_json);
  view.finish(outcome.status);
  if (outcome.resumed_tasks > 0) note_resumed(outcome);
  note_warnings(outcome.status);
  if (outcome.exit_code == 3) {
    print_problem_json(output, problem_json(Error(Code::kCancelled, "the job was cancelled")));
    note("cancelled; the same command goes on where it stopped, --fresh starts over");
    return 3;
  }
  if (outcome.exit_code != 0) {
    if (!outcome.problem.is_object())
      return fail(Code::kInternal, "the job ended without a reason");
    const Error problem = error_from_problem(outcome.problem);
    print_problem_json(output, outcome.problem);
    print_error(problem, context.terminal.colour_err);
    // What was wrong with the command itself is no work to go on with. (A conflict is another run
    // of the same command, whose folder this is.)
    const bool ours = problem.code == Code::kInvalid || problem.code == Code::kUserData;
    if (text_of(outcome.status, "status") == "failed" || ours)
      clean_up(outcome, request.work_folder);
    return outcome.exit_code;
  }
  const Json& result = object_of(outcome.status, "result");
  if (o.out.empty()) {
    POLYSOME_TRY(print_result(context, output, outcome));
    POLYSOME_TRY(flush_out());
  } else {
    note_files(result);
    if (output.format() == Format::kJson) POLYSOME_TRY(write_out(dump_pretty(result) + "\n"));
  }
  clean_up(outcome, request.work_folder);
  return 0;
}

}  // namespace

void add_run_command(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("run", "run one job here, with no service");
  auto o = std::make_shared<Options>();
  auto flags = std::make_shared<CommonFlags>();
  command->add_option("operation", o->operation, "what to do; polysome ops lists them")->required();
  command->add_option("words", o->words,
                      "files, folders, globs or databases' tables, and key=value parameters");
  command->add_option("--params", o->params, "parameters as JSON, or @FILE")->type_name("JSON");
  command
      ->add_option("--out", o->out,
                   "write the result there; its ending says the format; DIR/: in parts; or a "
                   "database's table: sqlite:///results.db?table=t")
      ->type_name("FILE");
  command->add_flag("--replace", o->replace, "overwrite the file of --out");
  command->add_option("--workers", o->workers, "worker processes")
      ->type_name("N")
      ->check(CLI::Range(1, 32));
  command->add_option("--memory", o->memory, "memory to use (default: 80 % of what there is)")
      ->type_name("SIZE");
  command->add_option("--scratch", o->scratch, "folder to spill to ($SLURM_TMPDIR, $TMPDIR)")
      ->type_name("DIR");
  command->add_option("--partition-size", o->partition_size, "size of the pieces (100MB)")
      ->type_name("SIZE");
  command
      ->add_option("--on-bad-value", o->on_bad_value, "a value that is not a number: fail, or null")
      ->type_name("WHAT");
  command
      ->add_option("--connections", o->connections,
                   "databases by name, lines of name = postgresql://… (mode 0600)")
      ->type_name("FILE");
  command->add_flag("--fresh", o->fresh, "forget what an earlier run of this command finished");
  command->add_option("--config", o->config, "configuration file in place of the usual ones")
      ->type_name("FILE");
  add_output_flags(command, flags);
  command->footer(
      "  polysome run describe proteins.tsv\n"
      "  polysome run aggregate long.csv column=expression operation=mean,std group_by=gene --out "
      "means.csv\n"
      "Lists are written a,b; key:=JSON gives anything else; layout.KEY=value tells how a file "
      "lies.");
  context.on(command, [&context, o, flags]() -> Result<int> {
    auto done = run(context, *o, *flags);
    if (!done)
      if (const auto output = output_of(context, *flags))
        print_problem_json(*output, problem_json(done.error()));
    return done;
  });
}

}  // namespace polysome::cli
