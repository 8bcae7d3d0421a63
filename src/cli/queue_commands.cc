// What steers a shared queue: queue pause and resume, hold, release, set, limits.
#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/nearest.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/phrases.h"
#include "cli/queue_view.h"

namespace polysome::cli {
namespace {

Result<int> queue(const Context& context, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json body, client.get("queue/status"));
  if (output.for_people()) {
    output.line(queue_line(body));
    print_users(output, body);
    if (list_of(body, "jobs").empty()) return 0;
    output.line("");
  }
  print_queue(output, body);
  return 0;
}

Result<int> pause(const Context& context, bool resume, const std::string& reason,
                  const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  Json asked = Json::object();
  if (!reason.empty()) asked["reason"] = reason;
  POLYSOME_ASSIGN(const Json body, client.post(resume ? "queue/resume" : "queue/pause", asked));
  output.record(body, {{"queue", queue_line(body)}}, "paused");
  if (!resume && output.for_people())
    output.line(paint(output.colour(), Paint::kDim, "  " + context.command("queue resume")));
  return 0;
}

// ---- PATCH jobs/{id} ----

const std::vector<std::string>& settable() {
  static const std::vector<std::string> names{"priority", "held", "name", "tags", "keep"};
  return names;
}

Result<Json> read_flag(const std::string& key, const std::string& value) {
  if (value == "true" || value == "yes" || value == "1") return Json(true);
  if (value == "false" || value == "no" || value == "0") return Json(false);
  return fail(Code::kInvalid, fmt::format("{}={}: it is true or false", key, value));
}

Result<Json> read_change(const std::string& key, const std::string& value) {
  if (key == "held" || key == "keep") return read_flag(key, value);
  if (key == "priority") {
    const bool digit = value.size() == 1 && value[0] >= '0' && value[0] <= '9';
    return digit ? Json(value[0] - '0') : Json(value);
  }
  if (key == "name") return Json(value);
  if (key == "tags") {
    Json tags = Json::array();
    for (std::size_t at = 0; at <= value.size();) {
      const auto comma = std::min(value.find(',', at), value.size());
      if (comma > at) tags.push_back(value.substr(at, comma - at));
      at = comma + 1;
    }
    return tags;
  }
  return fail(Code::kInvalid,
              fmt::format("{} can't be changed{}", key, did_you_mean(key, settable())),
              "priority=HIGH held=true|false name=TEXT tags=A,B keep=true|false");
}

Result<int> change(const Context& context, const std::vector<std::string>& words, Json body,
                   const CommonFlags& flags) {
  std::vector<std::string> names;
  for (const auto& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) {
      names.push_back(word);
      continue;
    }
    const std::string key = word.substr(0, equals);
    POLYSOME_ASSIGN(body[key], read_change(key, word.substr(equals + 1)));
  }
  if (names.empty() || body.empty())
    return fail(Code::kInvalid, names.empty() ? "no job is named" : "nothing to change is given",
                context.command("set JOB priority=HIGH held=false name=TEXT tags=A,B keep=true"));
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  std::vector<std::string> ids;
  for (const auto& name : names) {
    POLYSOME_ASSIGN(std::string id, client.job_id(name));
    ids.push_back(std::move(id));
  }
  Json changed = Json::array();
  for (const auto& id : ids) {
    POLYSOME_ASSIGN(Json job, client.patch(fmt::format("jobs/{}", id), body));
    changed.push_back(std::move(job));
  }
  output.list(changed.size() == 1 ? changed.front() : Json{{"jobs", changed}}, changed,
              {{"job", "job_id", Align::kLeft,
                [](const Json& j) { return short_id(text_of(j, "job_id")); }},
               {"status", "status"},
               {"phase", "phase"},
               {"priority", "priority_name"},
               {"name", "name"},
               {"tags", "tags", Align::kLeft,
                [](const Json& j) {
                  std::string out;
                  for (const auto& t : list_of(j, "tags"))
                    out += (out.empty() ? "" : ",") + cell_text(t);
                  return out;
                }}},
              "job_id");
  return 0;
}

// ---- limits ----

std::string limit_text(const Json& of, const char* key) {
  const auto it = of.find(key);
  if (it == of.end() || it->is_null()) return "";
  if (std::string_view(key) == "max_memory" && it->is_number_unsigned())
    return format_bytes(it->get<std::uint64_t>());
  return cell_text(*it);
}

Json limit_row(std::string who, const Json& of) {
  Json row = {{"who", std::move(who)}};
  for (const char* key : {"weight", "max_pending_jobs", "max_running_jobs", "max_cores",
                          "max_memory", "max_priority"})
    row[key] = limit_text(of, key);
  return row;
}

void print_limits(const Output& output, const Json& limits) {
  Json rows = Json::array();
  rows.push_back(limit_row("all users together", limits));
  rows.push_back(limit_row("each user", object_of(limits, "per_user")));
  for (const auto& [login, own] : object_of(limits, "users").items())
    rows.push_back(limit_row(login, own));
  output.list(limits, rows,
              {{"who", "who"},
               {"weight", "weight", Align::kRight},
               {"pending jobs", "max_pending_jobs", Align::kRight},
               {"running jobs", "max_running_jobs", Align::kRight},
               {"cores", "max_cores", Align::kRight},
               {"memory", "max_memory", Align::kRight},
               {"priority", "max_priority", Align::kRight}},
              "who");
}

Result<int> limits(const Context& context, const std::string& wanted, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  Json body;
  if (!wanted.empty()) {
    POLYSOME_ASSIGN(body, json_or_file(wanted, "--set"));
  }
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json now, wanted.empty() ? client.get("resources/limits")
                                                 : client.put("resources/limits", body));
  const bool none =
      now.value("max_pending_jobs", Json()).is_null() && object_of(now, "users").empty() &&
      std::ranges::all_of(object_of(now, "per_user"), [](const Json& v) { return v.is_null(); });
  if (none && output.for_people()) {
    output.line("no limits: every user may use all there is, shares are equal");
    output.line(paint(
        output.colour(), Paint::kDim,
        "  " + context.command(R"(limits --set '{"per_user": {"max_pending_jobs": 1000}}')")));
    return 0;
  }
  print_limits(output, now);
  return 0;
}

void add_queue(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("queue", "what waits and why; queue pause, queue resume");
  auto flags = std::make_shared<CommonFlags>();
  add_service_flags(command, flags);
  command->callback([&context, command, flags] {
    // Runs also after a subcommand, which has set its own work.
    if (command->get_subcommands().empty())
      context.action = [&context, flags] { return queue(context, *flags); };
  });
  for (const bool resume : {false, true}) {
    auto* sub = command->add_subcommand(
        resume ? "resume" : "pause",
        resume ? "pending jobs start again" : "no pending job starts; running ones go on");
    auto own = std::make_shared<CommonFlags>();
    auto reason = std::make_shared<std::string>();
    if (!resume)
      sub->add_option("--reason", *reason, "shown to everybody who waits")->type_name("TEXT");
    add_service_flags(sub, own);
    context.on(sub,
               [&context, resume, reason, own] { return pause(context, resume, *reason, *own); });
  }
}

}  // namespace

void add_queue_commands(CLI::App& app, Context& context) {
  add_queue(app, context);
  {
    auto* command =
        app.add_subcommand("set", "change jobs: priority=HIGH held=true name=X tags=A,B");
    auto flags = std::make_shared<CommonFlags>();
    auto words = std::make_shared<std::vector<std::string>>();
    command->add_option("words", *words, "jobs, and what to change as key=value")->required();
    add_service_flags(command, flags);
    command->footer(
        "  polysome set 7c1e09aa priority=CRITICAL\n"
        "  polysome set last keep=true tags=paper,figure2");
    context.on(command, [&context, words, flags] {
      return change(context, *words, Json::object(), *flags);
    });
  }
  for (const bool held : {true, false}) {
    auto* command =
        app.add_subcommand(held ? "hold" : "release",
                           held ? "keep pending jobs from starting" : "let held jobs start");
    auto flags = std::make_shared<CommonFlags>();
    auto jobs = std::make_shared<std::vector<std::string>>();
    command->add_option("jobs", *jobs, "ids, their ends, unique names, or last")->required();
    add_service_flags(command, flags);
    context.on(command, [&context, held, jobs, flags] {
      return change(context, *jobs, {{"held", held}}, *flags);
    });
  }
  {
    auto* command =
        app.add_subcommand("limits", "what users may hold at a time, and their weights");
    auto flags = std::make_shared<CommonFlags>();
    auto wanted = std::make_shared<std::string>();
    command->add_option("--set", *wanted, "new limits as JSON, or @FILE; they replace the old ones")
        ->type_name("JSON");
    add_service_flags(command, flags);
    context.on(command, [&context, wanted, flags] { return limits(context, *wanted, *flags); });
  }
}

}  // namespace polysome::cli
