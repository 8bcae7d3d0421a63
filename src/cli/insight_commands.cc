// polysome explain, usage, faults, recommend, health: why, how much, what went wrong.
#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "cli/command.h"
#include "cli/phrases.h"
#include "cli/queue_view.h"

namespace polysome::cli {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::string start_text(const Json& waiting) {
  const Json& expected = object_of(waiting, "expected_start");
  const auto p50 = parse_time(text_of(expected, "p50"));
  const auto p90 = parse_time(text_of(expected, "p90"));
  if (!p50 || !p90) return "";
  const auto in = [](WallTime at) {
    return format_duration(static_cast<double>(std::max<WallTime>(0, at - wall_now())) / 1000);
  };
  return fmt::format("probably in {}, in nine of ten cases within {}", in(*p50), in(*p90));
}

std::string ceilings_text(const Json& c) {
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  if (const auto n = whole_of(c, "max_cores"); n > 0) add(fmt::format("{} cores", n));
  if (const auto n = whole_of(c, "max_memory_bytes"); n > 0) add(format_bytes(n) + " of memory");
  if (const auto n = whole_of(c, "n_workers"); n > 0) add(counted(n, "worker"));
  if (const auto n = whole_of(c, "memory_per_worker_bytes"); n > 0)
    add(format_bytes(n) + " a task at least");
  return out;
}

Fields explain_fields(const Json& e) {
  Fields out;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) out.emplace_back(name, value);
  };
  const Json& waiting = object_of(e, "waiting");
  const Json& plan = object_of(e, "plan");
  add("job", text_of(e, "job_id"));
  add("operation", text_of(e, "operation"));
  add("status", fmt::format("{}, {}", text_of(e, "status"), text_of(e, "phase")));
  if (const auto n = whole_of(e, "queue_position"); n > 0)
    add("queue", fmt::format("number {}, {}", format_count(n), text_of(e, "priority_name")));
  add("waits", printable(text_of(waiting, "message")));
  if (const auto since = parse_time(text_of(waiting, "since")))
    add("since", format_age(*since, wall_now()));
  add("unblocked by", printable(text_of(waiting, "unblocked_by")));
  add("starts", start_text(waiting));
  for (const auto& d : list_of(e, "depends_on"))
    add("after", fmt::format("{} ({})", text_of(d, "job_id"), text_of(d, "status", "gone")));
  add("ceilings", ceilings_text(object_of(e, "ceilings")));
  if (const auto n = whole_of(e, "running_tasks"); n > 0) add("running", counted(n, "task"));
  add("stalled", printable(text_of(object_of(e, "stall"), "message")));
  if (const double p50 = number_of(object_of(e, "eta"), "p50", -1); p50 >= 0)
    add("left", fmt::format("{}, in nine of ten cases at most {}", format_remaining(p50),
                            format_duration(number_of(object_of(e, "eta"), "p90"))));
  add("plan", plan.value("planned", false)
                  ? fmt::format("{} in {}, {} of input", counted(whole_of(plan, "tasks"), "task"),
                                counted(list_of(plan, "stages").size(), "stage"),
                                format_bytes(whole_of(plan, "bytes")))
                  : "not made yet: the job's first task makes it");
  return out;
}

void print_plan(const Output& output, const Json& e) {
  const Json& stages = list_of(object_of(e, "plan"), "stages");
  if (stages.empty()) return;
  output.line("");
  output.lines(table_lines(stages,
                           {{"stage", "name"},
                            {"kind", "kind"},
                            {"tasks", "tasks", Align::kRight,
                             [](const Json& s) { return format_count(whole_of(s, "tasks")); }},
                            {"done", "tasks_done", Align::kRight,
                             [](const Json& s) { return format_count(whole_of(s, "tasks_done")); }},
                            {"bytes", "bytes", Align::kRight,
                             [](const Json& s) {
                               const auto bytes = whole_of(s, "bytes");
                               return bytes > 0 ? format_bytes(bytes) : "";
                             }},
                            {"a task needs", "memory_per_task", Align::kRight},
                            {"one had", "peak_memory", Align::kRight,
                             [](const Json& s) {
                               const auto bytes = whole_of(s, "peak_memory_bytes");
                               return bytes > 0 ? format_bytes(bytes) : "";
                             }},
                            {"after", "after", Align::kLeft,
                             [](const Json& s) {
                               std::string out;
                               for (const auto& a : list_of(s, "after"))
                                 out += (out.empty() ? "" : ", ") + cell_text(a);
                               return out;
                             }}},
                           output.layout()));
}

Result<int> explain(const Context& context, const std::string& name, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const std::string id, client.job_id(name));
  POLYSOME_ASSIGN(const Json e, client.get(fmt::format("jobs/{}/explain", id)));
  output.record(e, explain_fields(e), "job_id");
  if (output.for_people()) print_plan(output, e);
  return 0;
}

struct UsageOptions {
  std::string by = "user", since;
};

Result<int> usage(const Context& context, const UsageOptions& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  std::string since = o.since;
  if (!since.empty() && !parse_time(since)) {
    const auto ago = parse_duration(since);
    if (!ago)
      return fail(Code::kInvalid, fmt::format("--since {}: neither a time nor how long ago", since),
                  "write it as 7d, 2h or 2026-01-31T12:00:00Z");
    since = format_time(wall_now() - *ago);
  }
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json rows, client.get("resources/usage", {{"by", o.by}, {"since", since}}));
  if (rows.empty() && output.for_people()) {
    note("no job has ended in that time");
    return 0;
  }
  output.list(
      rows, rows,
      {{o.by, o.by},
       {"jobs", "jobs", Align::kRight,
        [](const Json& r) { return format_count(whole_of(r, "jobs")); }},
       {"CPU time", "cpu_seconds", Align::kRight,
        [](const Json& r) { return format_duration(number_of(r, "cpu_seconds")); }},
       {"GB x s", "memory_gb_seconds", Align::kRight,
        [](const Json& r) { return fmt::format("{:.1f}", number_of(r, "memory_gb_seconds")); }},
       {"read", "bytes_read", Align::kRight,
        [](const Json& r) { return format_bytes(whole_of(r, "bytes_read")); }},
       {"half wait less than", "wait_seconds_p50", Align::kRight,
        [](const Json& r) { return format_duration(number_of(r, "wait_seconds_p50")); }}},
      o.by);
  return 0;
}

std::string classes_text(const Json& by_class) {
  std::string out;
  for (const auto& [name, n] : by_class.items())
    if (n.is_number() && n.get<double>() > 0)
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", cell_text(n), name);
  return out;
}

Result<int> faults(const Context& context, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json f, client.get("faults/statistics"));
  const auto failed = whole_of(f, "failed");
  Fields fields{{"attempts", fmt::format("{}, {} failed", format_count(whole_of(f, "attempts")),
                                         format_count(failed))}};
  if (const auto classes = classes_text(object_of(f, "by_class")); !classes.empty())
    fields.emplace_back("by class", classes);
  for (const auto& [key, title] :
       std::vector<std::pair<const char*, const char*>>{{"retries", "tried again"},
                                                        {"gave_up", "given up"},
                                                        {"workers_lost", "workers lost"},
                                                        {"slots_lost", "slots lost"},
                                                        {"exclusions", "exclusions"},
                                                        {"stragglers_doubled", "run twice"}})
    if (const auto n = whole_of(f, key); n > 0) fields.emplace_back(title, format_count(n));
  if (const auto since = parse_time(text_of(f, "since")))
    fields.emplace_back("counted since", format_age(*since, wall_now()));
  output.record(f, fields, "failed");
  if (!output.for_people() || failed == 0) return 0;
  for (const char* who : {"operation", "worker"}) {
    Json rows = Json::array();
    for (const auto& row : list_of(f, fmt::format("by_{}", who)))
      if (whole_of(row, "failed") > 0) rows.push_back(row);
    output.line("");
    output.lines(
        table_lines(rows,
                    {{who, who},
                     {"attempts", "attempts", Align::kRight},
                     {"failed", "failed", Align::kRight},
                     {"as", "by_class", Align::kLeft,
                      [](const Json& r) { return classes_text(object_of(r, "by_class")); }}},
                    output.layout()));
  }
  return 0;
}

Result<int> recommend(const Context& context, const std::string& operation,
                      const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json body,
                  client.get("resources/recommendations", {{"operation", operation}}));
  if (output.for_people()) {
    output.lines(wrap(text_of(object_of(body, "cluster"), "advice"),
                      output.terminal().out ? output.terminal().width : 100));
    if (list_of(body, "operations").empty()) return 0;
    output.line("");
  }
  output.list(body, list_of(body, "operations"),
              {{"operation", "operation"},
               {"input", "input", Align::kLeft,
                [](const Json& r) { return text_of(object_of(r, "input"), "text"); }},
               {"runs", "runs", Align::kRight},
               {"memory p95", "peak_memory_p95", Align::kRight},
               {"time p95", "seconds_p95", Align::kRight,
                [](const Json& r) { return format_duration(number_of(r, "seconds_p95")); }},
               {"ask for", "memory_per_worker", Align::kRight},
               {"advice", "advice"}},
              "operation");
  return 0;
}

Result<int> health(const Context& context, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json h, client.get_any("health"));
  Fields fields{
      {"service", fmt::format("{}, version {}, up {}", text_of(h, "status"), text_of(h, "version"),
                              format_duration(number_of(h, "uptime_seconds")))}};
  for (const auto& [name, check] : object_of(h, "checks").items()) {
    std::string text = text_of(check, "status");
    if (const auto detail = text_of(check, "detail"); !detail.empty()) text += ": " + detail;
    if (const auto free = text_of(check, "free"); !free.empty())
      text += fmt::format(", {} free", free);
    fields.emplace_back(name, printable(text));
  }
  output.record(h, fields, "status");
  return text_of(h, "status") == "unhealthy" ? 1 : 0;
}

template <class Work>
void add_simple(CLI::App& app, Context& context, const char* name, const char* text, Work work) {
  auto* command = app.add_subcommand(name, text);
  auto flags = std::make_shared<CommonFlags>();
  add_service_flags(command, flags);
  context.on(command, [&context, flags, work] { return work(context, *flags); });
}

}  // namespace

void add_insight_commands(CLI::App& app, Context& context) {
  {
    auto* command = app.add_subcommand("explain", "a job's plan, and why it waits");
    auto flags = std::make_shared<CommonFlags>();
    auto job = std::make_shared<std::string>();
    command->add_option("job", *job, "id, its end, a unique name, or last")->required();
    add_service_flags(command, flags);
    context.on(command, [&context, job, flags] { return explain(context, *job, *flags); });
  }
  {
    auto* command = app.add_subcommand("usage", "what ended jobs used, by user or operation");
    auto flags = std::make_shared<CommonFlags>();
    auto o = std::make_shared<UsageOptions>();
    command->add_option("--by", o->by, "user or operation")
        ->type_name("WHAT")
        ->check(CLI::IsMember({"user", "operation"}));
    command->add_option("--since", o->since, "ended since: 7d, 2h, or a time")->type_name("TIME");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] { return usage(context, *o, *flags); });
  }
  {
    auto* command =
        app.add_subcommand("recommend", "what jobs will need, how large the cluster should be");
    auto flags = std::make_shared<CommonFlags>();
    auto operation = std::make_shared<std::string>();
    command->add_option("operation", *operation, "only this one");
    add_service_flags(command, flags);
    context.on(command,
               [&context, operation, flags] { return recommend(context, *operation, *flags); });
  }
  add_simple(app, context, "faults", "failed attempts by class, operation and worker", faults);
  add_simple(app, context, "health", "whether the service is well; exit 1 when it is not", health);
}

}  // namespace polysome::cli
