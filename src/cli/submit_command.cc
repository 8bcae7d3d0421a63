// polysome submit: hands a job to the service; with --wait stays until its end.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "base/bytes.h"
#include "base/files.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/phrases.h"
#include "model/database_url.h"
#include "model/submit_batch.h"

namespace polysome::cli {
namespace {

struct Options {
  std::string operation, params, out, priority, max_memory, memory_per_worker, timeout,
      partition_size, name, on_bad_value;
  std::vector<std::string> words, tags, depends_on;
  int max_cores = 0, n_workers = 0, max_attempts = 0;
  std::int64_t max_bad_values = -1;
  bool replace = false, wait = false, held = false;
  std::string batch;
};

// A file of the current folder is named by its path from the root: the service has a folder of its
// own.
std::string dataset_of(const std::string& given, bool this_machine) {
  std::error_code ec;
  const bool path_like =
      given.find('/') != std::string::npos || given.find('.') != std::string::npos;
  if (!this_machine || !path_like || given.starts_with("job:") ||
      !std::filesystem::exists(given, ec))
    return given;
  return std::filesystem::absolute(given, ec).lexically_normal().string();
}

// "job:NAME[/table]" with any way of naming a job.
Result<std::string> resolve_dataset(ServiceClient& client, const std::string& given) {
  if (!given.starts_with("job:")) return dataset_of(given, client.is_this_machine());
  const auto slash = std::min(given.find('/'), given.size());
  POLYSOME_ASSIGN(const std::string id, client.job_id(given.substr(4, slash - 4)));
  return "job:" + id + given.substr(slash);
}

Status add_limits(const Options& o, Json& body) {
  if (!o.max_memory.empty()) {
    POLYSOME_ASSIGN(const std::uint64_t bytes, parse_bytes(o.max_memory));
    body["max_memory_gb"] = static_cast<double>(bytes) / 1e9;
  }
  if (o.max_cores > 0) body["max_cores"] = o.max_cores;
  if (o.n_workers > 0) body["n_workers"] = o.n_workers;
  if (!o.memory_per_worker.empty()) body["memory_per_worker"] = o.memory_per_worker;
  if (o.max_attempts > 0) body["max_attempts"] = o.max_attempts;
  if (!o.timeout.empty()) {
    POLYSOME_ASSIGN(const std::int64_t ms, parse_duration(o.timeout));
    body["timeout_seconds"] = static_cast<double>(ms) / 1000;
  }
  if (!o.partition_size.empty()) body["partition_size"] = o.partition_size;
  return {};
}

Result<Json> body_of(const Context& context, const Options& o, ServiceClient& client) {
  POLYSOME_ASSIGN(const OperationCatalog catalog, context.operations());
  POLYSOME_ASSIGN(const OperationDescription* operation, find_operation(catalog, o.operation));
  POLYSOME_ASSIGN(JobArguments arguments,
                  read_job_arguments(*operation, o.words, o.params, !o.batch.empty()));
  Json body = std::move(arguments.body);
  Json datasets = Json::array();
  for (const auto& given : arguments.datasets) {
    POLYSOME_ASSIGN(std::string dataset, resolve_dataset(client, given));
    datasets.push_back(std::move(dataset));
  }
  if (datasets.size() == 1)
    body["dataset_id"] = datasets.front();
  else if (!datasets.empty())
    body["dataset_id"] = std::move(datasets);
  else if (operation->min_datasets > 0 && !body.contains("dataset_id") && o.batch.empty())
    return fail(Code::kInvalid, fmt::format("{} needs a dataset", operation->name),
                context.command(fmt::format("submit {} DATASET key=value …", operation->name)));
  POLYSOME_TRY(add_limits(o, body));
  if (!o.priority.empty()) {
    const bool digit = o.priority.size() == 1 && o.priority[0] >= '0' && o.priority[0] <= '9';
    body["priority"] = digit ? Json(o.priority[0] - '0') : Json(o.priority);
  }
  if (!o.name.empty()) body["name"] = o.name;
  if (!o.tags.empty()) body["tags"] = o.tags;
  for (const auto& name : o.depends_on) {
    POLYSOME_ASSIGN(std::string id, client.job_id(name));
    body["depends_on"].push_back(std::move(id));
  }
  if (!o.on_bad_value.empty()) body["on_bad_value"] = o.on_bad_value;
  if (o.max_bad_values >= 0) body["max_bad_values"] = o.max_bad_values;
  if (!o.out.empty()) body["output"][is_url(o.out) ? "database" : "path"] = o.out;
  if (o.replace) body["output"]["if_exists"] = "replace";
  if (o.held) body["held"] = true;
  return body;
}

Result<std::string> text_of_file(const std::string& path) {
  if (path != "-") return read_file(path, kMostBatchBytes);
  std::string out;
  std::array<char, 65536> buffer{};
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), stdin)) {
    out.append(buffer.data(), n);
    if (out.size() > kMostBatchBytes) break;
  }
  return out;
}

// The file is a body of jobs/batch, a list of jobs, or a job a line.
Result<Json> read_jobs(const std::string& path) {
  POLYSOME_ASSIGN(const std::string text, text_of_file(path));
  constexpr JsonLimits kLimits{.depth = 32, .members = 4096, .bytes = kMostBatchBytes};
  if (auto whole = parse_json(text, kLimits)) {
    if (whole->is_array()) return Json{{"jobs", std::move(*whole)}};
    if (whole->is_object() && whole->contains("jobs")) return whole;
  }
  Json jobs = Json::array();
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto job = parse_json(line);
    if (!job || !job->is_object())
      return fail(
          Code::kInvalid,
          fmt::format("{}, line {}: {}", path == "-" ? "stdin" : path, number,
                      job ? "a job is an object" : job.error().message),
          "a batch is {\"defaults\": {…}, \"jobs\": [{…}]}, a list of jobs, or a job a line");
    jobs.push_back(std::move(*job));
  }
  return Json{{"jobs", std::move(jobs)}};
}

Result<int> submit_batch(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  if (o.wait)
    return fail(Code::kInvalid, "--wait goes with one job",
                context.command("list shows the jobs of a batch"));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(Json body, read_jobs(o.batch));
  if (!o.operation.empty()) {
    // The line is the template; what the file says of it wins.
    POLYSOME_ASSIGN(Json defaults, body_of(context, o, client));
    if (const auto own = body.find("defaults"); own != body.end() && own->is_object())
      defaults.update(*own, true);
    body["defaults"] = std::move(defaults);
  }
  POLYSOME_ASSIGN(const Json answer, client.submit(body, "jobs/batch"));
  const std::string id = text_of(answer, "batch_id");
  if (output.format() == Format::kId ||
      (output.format() == Format::kAuto && !context.terminal.out)) {
    output.line(id);
    return 0;
  }
  output.record(answer,
                {{"batch", id},
                 {"jobs", fmt::format("{}, {} to {}", format_count(whole_of(answer, "n_jobs")),
                                      short_id(text_of(answer, "first_job_id")),
                                      short_id(text_of(answer, "last_job_id")))}},
                "batch_id");
  if (output.for_people())
    output.line(paint(output.colour(), Paint::kDim, "  " + context.command("list --batch " + id)));
  return 0;
}

void say_submitted(const Context& context, const Output& output, ServiceClient& client,
                   const Json& answer) {
  const std::string id = text_of(answer, "job_id");
  std::string line = fmt::format("job {}", paint(output.colour(), Paint::kBold, short_id(id)));
  const auto status = client.get(fmt::format("jobs/{}/status", id));
  if (status) line += "  " + text_of(*status, "status", text_of(answer, "status"));
  if (const auto position = whole_of(answer, "queue_position"); position > 0)
    line += fmt::format(", number {} in the queue", format_count(position));
  output.line(line);
  if (status)
    if (const auto why = text_of(*status, "waiting_reason"); !why.empty())
      output.line("  " + printable(why));
  output.line(paint(output.colour(), Paint::kDim, "  " + context.command("watch " + short_id(id))));
}

Result<int> submit(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json body, body_of(context, o, client));
  POLYSOME_ASSIGN(const Json answer, client.submit(body));
  const std::string id = text_of(answer, "job_id");
  const bool id_alone =
      output.format() == Format::kId || (output.format() == Format::kAuto && !context.terminal.out);
  if (o.wait) {
    if (id_alone) {
      output.line(id);
      POLYSOME_TRY(flush_out());
    } else {
      note(fmt::format("job {}", short_id(id)));
    }
    return watch_job(context, output, client, id);
  }
  if (id_alone)
    output.line(id);
  else if (output.for_people())
    say_submitted(context, output, client, answer);
  else
    output.record(answer, {}, "job_id");
  return 0;
}

}  // namespace

void add_submit_command(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("submit", "hand a job to the service");
  auto o = std::make_shared<Options>();
  auto flags = std::make_shared<CommonFlags>();
  command->add_option("operation", o->operation, "what to do; polysome ops lists them");
  command->add_option("words", o->words, "datasets, and key=value parameters");
  command->add_option("--params", o->params, "parameters as JSON, or @FILE")->type_name("JSON");
  command->add_option("--priority", o->priority, "LOW, NORMAL, HIGH, CRITICAL or 1-4")
      ->type_name("P");
  command->add_option("--max-memory", o->max_memory, "ceiling of its tasks together")
      ->type_name("SIZE");
  command->add_option("--max-cores", o->max_cores, "ceiling of its tasks together")->type_name("N");
  command->add_option("--n-workers", o->n_workers, "most workers used at once")->type_name("N");
  command->add_option("--memory-per-worker", o->memory_per_worker, "what a task needs")
      ->type_name("SIZE");
  command->add_option("--max-attempts", o->max_attempts, "attempts of a task, 1-10")
      ->type_name("N");
  command->add_option("--timeout", o->timeout, "longest running time")->type_name("TIME");
  command->add_option("--partition-size", o->partition_size, "size of the pieces")
      ->type_name("SIZE");
  command->add_option("--name", o->name, "a name for the job")->type_name("NAME");
  command->add_option("--tag", o->tags, "a tag, may be given again")
      ->type_name("TAG")
      ->take_all()
      ->expected(1);
  command->add_option("--depends-on", o->depends_on, "start after this job, may be given again")
      ->type_name("JOB")
      ->take_all()
      ->expected(1);
  command
      ->add_option("--on-bad-value", o->on_bad_value, "a value that is not a number: fail, or null")
      ->type_name("WHAT");
  command->add_option("--max-bad-values", o->max_bad_values, "fail above so many")->type_name("N");
  command
      ->add_option(
          "--out", o->out,
          "the service writes the result there, below its --output-dir; or a database's table")
      ->type_name("FILE");
  command->add_flag("--replace", o->replace, "overwrite the file of --out");
  command->add_flag("--held", o->held, "keep it from starting until it is released");
  command
      ->add_option(
          "--batch", o->batch,
          "many jobs from a file (- is stdin): a list, or a job a line; the line's operation "
          "and flags hold for all")
      ->type_name("FILE");
  command->add_flag("--wait", o->wait,
                    "stay until the end, with progress; Ctrl-C leaves the job running");
  add_service_flags(command, flags);
  command->footer(
      "  polysome submit aggregate my_dataset column=expression operation=mean --priority HIGH "
      "--wait\n"
      "  id=$(polysome submit describe my_dataset)    # piped, it prints the id alone");
  context.on(command, [&context, o, flags]() -> Result<int> {
    if (!o->batch.empty()) return submit_batch(context, *o, *flags);
    if (o->operation.empty())
      return fail(Code::kInvalid, "submit: operation is required",
                  context.command("submit --help"));
    return submit(context, *o, *flags);
  });
}

}  // namespace polysome::cli
