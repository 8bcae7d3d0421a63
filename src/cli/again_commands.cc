// polysome retry and logs: a job once more, and what was said about it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

struct RetryOptions {
  std::string job, params, priority, max_memory, on_bad_value;
  std::vector<std::string> words;
  bool wait = false;
};

// What the body of a retry takes beside the operation's parameters, as words of the command too.
const std::set<std::string>& members() {
  static const std::set<std::string> names{"on_bad_value", "max_bad_values", "max_memory_gb",
                                           "max_cores",    "priority",       "name"};
  return names;
}

Json member_value(const std::string& key, const std::string& text) {
  if (key == "on_bad_value" || key == "name") return text;
  // "4", "3.5" and "HIGH": what is JSON is taken as such.
  auto json = parse_json(text);
  return json && json->is_number() ? *json : Json(text);
}

Result<Json> retry_body(const Context& context, ServiceClient& client, const std::string& id,
                        const RetryOptions& o) {
  Json body = Json::object();
  std::vector<std::string> changes;
  for (const auto& word : o.words) {
    const auto equals = word.find('=');
    const std::string key = word.substr(0, std::min(equals, word.size()));
    if (equals == std::string::npos)
      return fail(Code::kInvalid, fmt::format("retry does not take \"{}\"", word),
                  context.command("retry JOB key=value … changes parameters"));
    if (members().contains(key))
      body[key] = member_value(key, word.substr(equals + 1));
    else
      changes.push_back(word);
  }
  if (!changes.empty() || !o.params.empty()) {
    POLYSOME_ASSIGN(const Json job, client.get(fmt::format("jobs/{}", id)));
    POLYSOME_ASSIGN(const OperationCatalog catalog, context.operations());
    POLYSOME_ASSIGN(const OperationDescription* operation,
                    find_operation(catalog, text_of(job, "operation")));
    POLYSOME_ASSIGN(Json parameters, read_changes(*operation, changes, o.params));
    body["parameters"] = std::move(parameters);
  }
  if (!o.on_bad_value.empty()) body["on_bad_value"] = o.on_bad_value;
  if (!o.priority.empty()) body["priority"] = member_value("priority", o.priority);
  if (!o.max_memory.empty()) {
    POLYSOME_ASSIGN(const std::uint64_t bytes, parse_bytes(o.max_memory));
    body["max_memory_gb"] = static_cast<double>(bytes) / 1e9;
  }
  return body;
}

Result<int> retry(const Context& context, const RetryOptions& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const std::string id, client.job_id(o.job));
  POLYSOME_ASSIGN(const Json body, retry_body(context, client, id, o));
  POLYSOME_ASSIGN(const Json answer, client.submit(body, fmt::format("jobs/{}/retry", id)));
  const std::string again = text_of(answer, "job_id");
  const bool id_alone =
      output.format() == Format::kId || (output.format() == Format::kAuto && !context.terminal.out);
  if (id_alone)
    output.line(again);
  else if (!output.for_people())
    output.record(answer, {}, "job_id");
  else
    output.line(fmt::format("job {} does {} again", short_id(again), short_id(id)));
  if (!o.wait) {
    if (output.for_people())
      output.line(
          paint(output.colour(), Paint::kDim, "  " + context.command("watch " + short_id(again))));
    return 0;
  }
  POLYSOME_TRY(flush_out());
  return watch_job(context, output, client, again);
}

// ---- logs ----

struct LogOptions {
  std::string job, task;
  bool follow = false;
};

std::vector<std::string> log_lines(const Json& line, const Terminal& terminal) {
  // The clock's time is enough to read along; -o json has all of it.
  const std::string time = text_of(line, "time");
  const auto t = time.find('T');
  std::string out = t == std::string::npos ? time : time.substr(t + 1, 8);
  const std::string level = text_of(line, "level");
  std::string who = text_of(line, "task");
  if (const auto worker = text_of(line, "worker"); !worker.empty())
    who += (who.empty() ? "" : " ") + worker;
  out += fmt::format("  {}{}{}", who, who.empty() ? "" : "  ", printable(text_of(line, "message")));
  auto lines = fit(out, terminal.out ? terminal.width : 0);
  for (auto& part : lines)
    if (level == "error" || level == "warning")
      part = paint(terminal.colour_out, level == "error" ? Paint::kRed : Paint::kYellow, part);
  return lines;
}

void print_log_line(const Output& output, const Json& line) {
  if (output.format() == Format::kJson || output.format() == Format::kNdjson)
    output.line(dump(line));
  else
    output.lines(log_lines(line, output.terminal()));
}

Status follow_log(const Output& output, ServiceClient& client, const std::string& path,
                  const LogOptions& o) {
  std::string rest;
  return client.download(
      path, {{"task", o.task}, {"follow", "true"}}, [&](std::string_view piece) -> Status {
        rest += piece;
        for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
          const auto line = parse_trusted_json(rest.substr(0, end));
          rest.erase(0, end + 1);
          if (line && line->is_object()) print_log_line(output, *line);  // others: heartbeats
        }
        return flush_out();
      });
}

Result<int> logs(const Context& context, const LogOptions& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const std::string id, client.job_id(o.job));
  const std::string path = fmt::format("jobs/{}/logs", id);
  if (o.follow) {
    POLYSOME_TRY(follow_log(output, client, path, o));
    return 0;
  }
  std::string token;
  bool any = false;
  do {
    POLYSOME_ASSIGN(const Json page,
                    client.get(path, {{"task", o.task}, {"limit", "1000"}, {"page_token", token}}));
    for (const auto& line : list_of(page, "logs")) print_log_line(output, line);
    any = any || !list_of(page, "logs").empty();
    token = text_of(page, "next_page_token");
  } while (!token.empty());
  if (!any && output.for_people()) note("nothing was said about it yet");
  return 0;
}

}  // namespace

void add_again_commands(CLI::App& app, Context& context) {
  {
    auto* command = app.add_subcommand(
        "retry", "a job once more, with changes; finished tasks are kept where they still hold");
    auto flags = std::make_shared<CommonFlags>();
    auto o = std::make_shared<RetryOptions>();
    command->add_option("job", o->job, "id, its end, a unique name, or last")->required();
    command->add_option("words", o->words,
                        "key=value: changed parameters, on_bad_value, priority, max_memory_gb");
    command->add_option("--params", o->params, "changed parameters as JSON, or @FILE")
        ->type_name("JSON");
    command->add_option("--on-bad-value", o->on_bad_value, "fail, or null")->type_name("WHAT");
    command->add_option("--priority", o->priority, "LOW, NORMAL, HIGH, CRITICAL or 1-4")
        ->type_name("P");
    command->add_option("--max-memory", o->max_memory, "ceiling of its tasks together")
        ->type_name("SIZE");
    command->add_flag("--wait", o->wait, "stay until the end, with progress");
    add_service_flags(command, flags);
    command->footer("  polysome retry last on_bad_value=null --wait");
    context.on(command, [&context, o, flags] { return retry(context, *o, *flags); });
  }
  {
    auto* command = app.add_subcommand("logs", "what was said about a job's tasks");
    auto flags = std::make_shared<CommonFlags>();
    auto o = std::make_shared<LogOptions>();
    command->add_option("job", o->job, "id, its end, a unique name, or last")->required();
    command->add_flag("-f,--follow", o->follow, "go on to the job's end");
    command->add_option("--task", o->task, "of this task alone, such as scan/17")
        ->type_name("TASK");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] { return logs(context, *o, *flags); });
  }
}

}  // namespace polysome::cli
