// polysome status, watch, wait, cancel: one job or a few.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/bytes.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/interrupt.h"
#include "cli/phrases.h"
#include "cli/progress.h"
#include "cli/result_view.h"
#include "model/job.h"

namespace polysome::cli {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::string parameters_text(const Json& parameters) {
  std::string out;
  for (const auto& [key, value] : parameters.items()) {
    std::string text;
    if (value.is_array() &&
        std::ranges::all_of(value, [](const Json& v) { return v.is_primitive(); })) {
      for (const auto& v : value) text += (text.empty() ? "" : ",") + cell_text(v);
    } else {
      text = cell_text(value);
    }
    if (text.find(' ') != std::string::npos) text = fmt::format("\"{}\"", text);
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", key, text);
  }
  return out;
}

std::string when(const Json& status, const char* key) {
  const auto time = parse_time(text_of(status, key));
  return time ? format_age(*time, wall_now()) : "";
}

std::string state_text(const Json& s) {
  if (is_over(s)) return end_line(s);
  std::string out = text_of(s, "status");
  const std::string phase = text_of(s, "phase");
  if (out == "running" || phase == "held") {
    if (!phase.empty() && phase != out && phase != "waiting") out = phase;
  }
  if (text_of(s, "status") == "running") out += fmt::format(", {:.0f} %", number_of(s, "progress"));
  if (const double eta = number_of(s, "eta_seconds", -1); eta >= 0)
    out += ", " + format_remaining(eta) + " left";
  return out;
}

// Where the answer goes, or went.
std::string output_text(const Json& s) {
  const Json& asked = object_of(s, "output");
  const std::string database = text_of(asked, "database");
  return printable(database.empty() ? text_of(asked, "path") : database);
}

// ": scan 56MB, merge 83MB" where there is more than one stage to tell.
std::string peaks_of_stages(const Json& s) {
  constexpr std::size_t kMostStages = 8;
  std::string out;
  std::size_t n = 0;
  for (const auto& stage : list_of(s, "stages")) {
    const auto peak = whole_of(stage, "peak_memory_bytes");
    if (peak == 0 || ++n > kMostStages) continue;
    out += fmt::format("{} {} {}", out.empty() ? ":" : ",", printable(text_of(stage, "name")),
                       format_bytes(peak));
  }
  return n > 1 ? out : "";
}

Fields status_fields(const Json& s) {
  Fields out;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) out.emplace_back(name, value);
  };
  std::string datasets;
  for (const auto& d : list_of(s, "dataset_ids"))
    datasets += (datasets.empty() ? "" : ", ") + cell_text(d);
  add("job", text_of(s, "job_id"));
  add("name", printable(text_of(s, "name")));
  add("operation", text_of(s, "operation"));
  add("dataset", datasets);
  add("parameters", parameters_text(object_of(s, "parameters")));
  add("status", state_text(s));
  add("waiting", printable(text_of(s, "waiting_reason")));
  add("stalled", printable(text_of(object_of(s, "stall"), "message")));
  add("priority", text_of(s, "priority_name"));
  add("user", printable(text_of(s, "user")));
  add("submitted", when(s, "created_at"));
  if (const auto peak = whole_of(object_of(s, "resources"), "peak_memory_bytes"); peak > 0)
    add("peak memory", format_bytes(peak) + peaks_of_stages(s));
  const Json& result = object_of(s, "result");
  if (result.contains("value")) add("value", cell_text(result["value"]));
  if (const auto written = output_text(s); !written.empty()) add("output", written);
  if (const auto rows = whole_of(result, "rows"); rows > 0)
    add("result", fmt::format("{}, {}", counted(rows, "row"),
                              counted(whole_of(result, "columns"), "column")));
  return out;
}

void print_stages(const Output& output, const Json& status) {
  const Json& stages = list_of(status, "stages");
  if (stages.empty() || is_over(status)) return;
  const int width = std::max(60, output.terminal().width);
  auto lines = progress_lines(status, 0, 0, width, output.colour());
  lines.pop_back();
  output.line("");
  output.lines(lines);
}

void print_attempts(const Output& output, const Json& status) {
  const Json& attempts = list_of(status, "attempts");
  if (attempts.empty()) return;
  std::vector<std::vector<std::string>> rows;
  const std::size_t first = attempts.size() > 5 ? attempts.size() - 5 : 0;
  for (std::size_t i = first; i < attempts.size(); ++i)
    rows.push_back({text_of(attempts[i], "task"), text_of(attempts[i], "attempt"),
                    text_of(attempts[i], "worker"), text_of(attempts[i], "class"),
                    printable(text_of(attempts[i], "message"))});
  output.line("");
  output.lines(
      layout_table({{"failed task"}, {"try", Align::kRight}, {"worker"}, {"class"}, {"why"}},
                   std::move(rows), output.layout())
          .lines);
}

void print_problem(const Context& context, const Json& status) {
  const Json& problem = object_of(status, "error");
  if (!problem.empty()) print_error(error_from_problem(problem), context.terminal.colour_err);
}

Result<int> status(const Context& context, const std::string& name, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const std::string id, client.job_id(name));
  POLYSOME_ASSIGN(const Json s, client.get(fmt::format("jobs/{}/status", id)));
  output.record(s, status_fields(s), "job_id");
  if (output.for_people()) {
    print_stages(output, s);
    print_attempts(output, s);
    POLYSOME_TRY(flush_out());
    print_problem(context, s);
  }
  return 0;
}

struct WaitOptions {
  std::vector<std::string> jobs;
  std::string timeout;
};

Result<int> wait_for(const Context& context, const WaitOptions& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  FollowOptions options;
  if (!o.timeout.empty()) {
    POLYSOME_ASSIGN(const std::int64_t ms, parse_duration(o.timeout));
    options.until = mono_now() + ms;
  }
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  std::vector<std::string> ids;
  for (const auto& name : o.jobs) {
    POLYSOME_ASSIGN(std::string id, client.job_id(name));
    ids.push_back(std::move(id));
  }
  options.poll_seconds = 30;
  catch_interrupts();
  int worst = 0;
  Json all = Json::array();
  for (const auto& id : ids) {
    auto end = follow_job(client, id, options);
    if (!end && end.error().code == Code::kCancelled) return 8;
    if (!end) return fail(end.error());
    // Still running hides nothing; a failure weighs more than a cancel.
    const int code = exit_code_of(*end);
    if (worst != 8 && (code == 8 || worst == 0 || code == 1)) worst = code == 0 ? worst : code;
    all.push_back(std::move(*end));
  }
  output.list(Json{{"jobs", all}}, all,
              {{"job", "job_id", Align::kLeft,
                [](const Json& j) { return short_id(text_of(j, "job_id")); }},
               {"status", "status", Align::kLeft, [](const Json& j) { return state_text(j); }}},
              "job_id");
  return worst;
}

struct CancelOptions {
  std::vector<std::string> jobs;
  std::string user, status, tag, name, batch, reason;
  bool yes = false;
};

Status confirm(const Context& context, std::size_t n, bool yes) {
  if (yes || n == 0) return {};
  if (::isatty(STDIN_FILENO) != 1 || !context.terminal.err)
    return fail(Code::kInvalid, fmt::format("this would cancel {}", counted(n, "job")),
                "add --yes to do it");
  std::fprintf(stderr, "cancel %s? [y/N] ", counted(n, "job").c_str());
  const int answer = std::getchar();
  if (answer == 'y' || answer == 'Y') return {};
  return fail(Code::kCancelled, "nothing was cancelled");
}

Result<std::size_t> matching_jobs(ServiceClient& client, const CancelOptions& o) {
  std::size_t n = 0;
  std::vector<std::string> states{"running", "pending"};
  if (!o.status.empty()) states = {o.status};
  for (const auto& state : states) {
    POLYSOME_ASSIGN(const Json page, client.get("jobs/list", {{"status", state},
                                                              {"user", o.user},
                                                              {"tag", o.tag},
                                                              {"name", o.name},
                                                              {"batch_id", o.batch},
                                                              {"limit", "1"}}));
    n += whole_of(page, "total");
  }
  return n;
}

Result<int> cancel_matching(const Context& context, const Output& output, ServiceClient& client,
                            const CancelOptions& o) {
  POLYSOME_ASSIGN(const std::size_t n, matching_jobs(client, o));
  if (n == 0) {
    note("no job to cancel");
    return 0;
  }
  POLYSOME_TRY(confirm(context, n, o.yes));
  Json body = Json::object();
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) body[key] = value;
  };
  add("user", o.user);
  add("status", o.status);
  add("tag", o.tag);
  add("name", o.name);
  add("batch_id", o.batch);
  add("reason", o.reason);
  POLYSOME_ASSIGN(const Json answer, client.post("jobs/cancel", body));
  if (output.format() == Format::kId) {
    for (const auto& id : list_of(answer, "job_ids")) output.line(cell_text(id));
    return 0;
  }
  std::string text = counted(whole_of(answer, "cancelled"), "job") + " cancelled";
  if (const auto left = whole_of(answer, "cancelling"); left > 0)
    text += fmt::format(", {} stopping", format_count(left));
  output.record(answer, {{"cancel", text}}, "matched");
  return 0;
}

Result<int> cancel(const Context& context, const CancelOptions& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  const bool filter =
      !o.user.empty() || !o.status.empty() || !o.tag.empty() || !o.name.empty() || !o.batch.empty();
  if (o.jobs.empty() != filter)
    return fail(Code::kInvalid,
                o.jobs.empty() ? "no job is named" : "give jobs or a filter, not both",
                context.command("cancel JOB…, or cancel --user NAME --status pending"));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  if (filter) return cancel_matching(context, output, client, o);
  std::vector<std::string> ids;
  for (const auto& name : o.jobs) {
    POLYSOME_ASSIGN(std::string id, client.job_id(name));
    ids.push_back(std::move(id));
  }
  Json body = Json::object();
  if (!o.reason.empty()) body["reason"] = o.reason;
  Json done = Json::array();
  int exit_code = 0;
  for (const auto& id : ids) {
    auto answer = client.post(fmt::format("jobs/{}/cancel", id), body);
    if (answer) {
      done.push_back(std::move(*answer));
      continue;
    }
    if (answer.error().code == Code::kUnavailable) return fail(answer.error());
    print_error(answer.error(), context.terminal.colour_err);
    exit_code = info(answer.error().code).exit_code;
  }
  if (!done.empty())
    output.list(
        done.size() == 1 ? done.front() : Json{{"jobs", done}}, done,
        {{"job", "job_id", Align::kLeft,
          [](const Json& j) { return short_id(text_of(j, "job_id")); }},
         {"status", "status", Align::kLeft,
          [](const Json& j) { return is_over(j) ? text_of(j, "status") : text_of(j, "phase"); }}},
        "job_id");
  else if (exit_code == 0)
    note("no job to cancel");
  return exit_code;
}

}  // namespace

Result<int> watch_job(const Context& context, const Output& output, ServiceClient& client,
                      const std::string& id) {
  catch_interrupts();
  ProgressView view(context.terminal);
  FollowOptions options;
  options.poll_seconds = context.terminal.err ? 1 : 10;
  options.on_status = [&view](const Json& s) {
    if (!is_over(s)) view.update(s);
  };
  options.on_lost = [&view](const Error& why) {
    view.clear();
    note(why.message + "; trying again");
  };
  const auto end = follow_job(client, id, options);
  if (!end && end.error().code == Code::kCancelled) {
    note(fmt::format("the job goes on; come back with: {}",
                     context.command("watch " + short_id(id))));
    return 8;
  }
  if (!end) return fail(end.error());
  view.finish(*end);
  note_warnings(*end);
  print_problem(context, *end);
  if (text_of(*end, "status") != "completed") return exit_code_of(*end);
  const bool asked = output.format() != Format::kAuto && output.format() != Format::kId;
  if (asked) {
    POLYSOME_TRY(show_result(context, output, client, *end, "", std::nullopt));
    return 0;
  }
  const Json& result = object_of(*end, "result");
  note_files(result);
  if (!context.terminal.out || output.format() == Format::kId) return 0;
  if (result.contains("value"))
    output.line(fmt::format("{}", cell_text(result["value"])));
  else if (has_table(result))
    output.line(paint(output.colour(), Paint::kDim,
                      fmt::format("{}: {}", counted(whole_of(result, "rows"), "row"),
                                  context.command("result " + short_id(id)))));
  return exit_code_of(*end);
}

void add_job_commands(CLI::App& app, Context& context) {
  {
    auto* command = app.add_subcommand("status", "one job: how far it is, what it waits for");
    auto flags = std::make_shared<CommonFlags>();
    auto job = std::make_shared<std::string>();
    command->add_option("job", *job, "id, its end, a unique name, or last")->required();
    add_service_flags(command, flags);
    context.on(command, [&context, job, flags] { return status(context, *job, *flags); });
  }
  {
    auto* command =
        app.add_subcommand("watch", "live progress to a job's end; Ctrl-C leaves it running");
    auto flags = std::make_shared<CommonFlags>();
    auto job = std::make_shared<std::string>();
    command->add_option("job", *job, "id, its end, a unique name, or last")->required();
    add_service_flags(command, flags);
    context.on(command, [&context, job, flags]() -> Result<int> {
      POLYSOME_ASSIGN(const Output output, output_of(context, *flags));
      POLYSOME_ASSIGN(ServiceClient client, connect(*flags));
      POLYSOME_ASSIGN(const std::string id, client.job_id(*job));
      return watch_job(context, output, client, id);
    });
  }
  {
    auto* command = app.add_subcommand(
        "wait", "wait for jobs to end; exit 0 done, 1 failed, 3 cancelled, 8 running");
    auto flags = std::make_shared<CommonFlags>();
    auto o = std::make_shared<WaitOptions>();
    command->add_option("jobs", o->jobs, "ids, their ends, unique names, or last")->required();
    command->add_option("--timeout", o->timeout, "give up after this time")->type_name("TIME");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] { return wait_for(context, *o, *flags); });
  }
  {
    auto* command = app.add_subcommand("cancel", "end jobs; their work stops within a second");
    auto flags = std::make_shared<CommonFlags>();
    auto o = std::make_shared<CancelOptions>();
    command->add_option("jobs", o->jobs, "ids, their ends, unique names, or last");
    command->add_option("--user", o->user, "all of this user")->type_name("NAME");
    command->add_option("--status", o->status, "all in this state: pending or running")
        ->type_name("STATE");
    command->add_option("--tag", o->tag, "all with this tag")->type_name("TAG");
    command->add_option("--name", o->name, "all with this name")->type_name("NAME");
    command->add_option("--batch", o->batch, "all of this batch")->type_name("BATCH_ID");
    command->add_option("--reason", o->reason, "noted with the job")->type_name("TEXT");
    command->add_flag("--yes", o->yes, "do not ask");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] { return cancel(context, *o, *flags); });
  }
}

}  // namespace polysome::cli
