// polysome cluster start, stop, scale, status, workers, drain, exclude, readmit, autoscale.
#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "cli/command.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

constexpr int kWaitSeconds = 30;

struct Options {
  int n_workers = 0, threads_per_worker = 0;
  std::string memory_limit, backend;
  bool no_wait = false, force = false;
  std::string autoscale, worker, reason, time;
  std::vector<std::string> words;
};

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields cluster_fields(const Json& c) {
  Fields out;
  const auto n = whole_of(c, "n_workers"), target = whole_of(c, "target_workers");
  out.emplace_back("cluster", text_of(c, "status"));
  std::string workers = counted(n, "worker");
  if (target != n) workers += fmt::format(", {} wanted", target);
  workers += fmt::format("; {} x {} each", counted(whole_of(c, "threads_per_worker"), "thread"),
                         text_of(c, "memory_limit"));
  out.emplace_back("workers", workers);
  if (n > 0) {
    out.emplace_back(
        "cores",
        fmt::format("{} of {} in use{}", whole_of(c, "used_cores"), whole_of(c, "total_cores"),
                    c.value("overcommitted", false) ? " (more than this machine has)" : ""));
    out.emplace_back("memory", fmt::format("{} of {} granted", text_of(c, "used_memory"),
                                           text_of(c, "total_memory")));
    out.emplace_back("tasks",
                     fmt::format("{} running, {} ready", format_count(whole_of(c, "active_tasks")),
                                 format_count(whole_of(c, "queued_tasks"))));
  }
  if (const auto dashboard = text_of(c, "dashboard_url"); !dashboard.empty())
    out.emplace_back("dashboard", dashboard);
  return out;
}

void print_workers(const Output& output, const Json& cluster) {
  output.list(
      cluster, list_of(cluster, "workers"),
      {{"worker", "id"},
       {"status", "status"},
       {"pid", "pid", Align::kRight},
       {"cores", "threads", Align::kRight},
       {"memory", "memory_used_bytes", Align::kRight,
        [](const Json& w) {
          return fmt::format("{}/{}", text_of(w, "memory_used"), text_of(w, "memory_limit"));
        }},
       {"CPU", "cpu_percent", Align::kRight,
        [](const Json& w) { return fmt::format("{:.0f} %", number_of(w, "cpu_percent")); }},
       {"running", "running_tasks", Align::kRight},
       {"done", "completed_tasks", Align::kRight,
        [](const Json& w) { return format_count(whole_of(w, "completed_tasks")); }},
       {"failed", "failures", Align::kRight},
       {"why", "reason", Align::kLeft,
        [](const Json& w) {
          std::string why = printable(text_of(w, "reason"));
          const auto until = parse_time(text_of(w, "excluded_until"));
          if (until)
            why += fmt::format(
                "{}{} more", why.empty() ? "" : ", ",
                format_duration(static_cast<double>(std::max<WallTime>(0, *until - wall_now())) /
                                1000));
          return why;
        }},
       {"up", "started_at", Align::kRight,
        [](const Json& w) {
          const auto began = parse_time(text_of(w, "started_at"));
          return began ? format_duration(
                             static_cast<double>(std::max<WallTime>(0, wall_now() - *began)) / 1000)
                       : "";
        }}},
      "id");
}

void print_cluster(const Output& output, const Json& cluster) {
  output.record(cluster, cluster_fields(cluster), "status");
  if (!output.for_people() || list_of(cluster, "workers").empty()) return;
  output.line("");
  print_workers(output, cluster);
}

Query waiting(const Options& o) {
  if (o.no_wait) return {};
  return {{"wait", std::to_string(kWaitSeconds)}};
}

Result<int> change(const Context& context, const CommonFlags& flags, const std::string& path,
                   const Json& body, const Query& query) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json cluster, client.post(path, body, query));
  output.record(cluster, cluster_fields(cluster), "status");
  return 0;
}

// "2-8", or two numbers.
Result<Json> bounds_of(const std::string& least, const std::string& most) {
  const auto number = [](const std::string& text) {
    return !text.empty() && text.size() <= 3 &&
           text.find_first_not_of("0123456789") == std::string::npos;
  };
  if (!number(least) || !number(most))
    return fail(Code::kInvalid, "autoscale needs the least and the most workers",
                "for example: cluster autoscale on 2 8, cluster start --autoscale 2-8");
  return Json{{"enabled", true}, {"min", std::stoi(least)}, {"max", std::stoi(most)}};
}

Result<Json> start_body(const Options& o) {
  Json body = Json::object();
  if (!o.autoscale.empty()) {
    const auto dash = std::min(o.autoscale.find('-'), o.autoscale.size());
    POLYSOME_ASSIGN(body["autoscale"],
                    bounds_of(o.autoscale.substr(0, dash),
                              dash < o.autoscale.size() ? o.autoscale.substr(dash + 1) : ""));
  }
  if (o.n_workers > 0) body["n_workers"] = o.n_workers;
  if (o.threads_per_worker > 0) body["threads_per_worker"] = o.threads_per_worker;
  if (!o.memory_limit.empty()) body["memory_limit"] = o.memory_limit;
  if (!o.backend.empty()) body["backend"] = o.backend;
  return body;
}

Result<int> set_aside(const Context& context, const std::string& action, const Options& o,
                      const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  Json body = Json::object();
  if (!o.reason.empty()) body["reason"] = o.reason;
  if (!o.time.empty()) {
    POLYSOME_ASSIGN(const std::int64_t ms, parse_duration(o.time));
    body["for_seconds"] = static_cast<double>(ms) / 1000;
  }
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(
      const Json worker,
      client.post(fmt::format("cluster/workers/{}/{}", encode(o.worker), action), body));
  Fields fields{{"worker", text_of(worker, "id")}, {"status", text_of(worker, "status")}};
  if (const auto n = whole_of(worker, "running_tasks"); n > 0)
    fields.emplace_back("running", counted(n, "task"));
  output.record(worker, fields, "id");
  if (action != "readmit" && output.for_people())
    output.line(
        paint(output.colour(), Paint::kDim, "  " + context.command("cluster readmit " + o.worker)));
  return 0;
}

void print_autoscale(const Context& context, const Output& output, const Json& a,
                     const Json& decisions) {
  const bool on = a.value("enabled", false);
  output.record(
      a,
      {{"autoscale",
        on ? fmt::format("on, {} to {} workers", whole_of(a, "min"), whole_of(a, "max")) : "off"},
       {"workers",
        fmt::format("{}, {} wanted", whole_of(a, "n_workers"), whole_of(a, "target_workers"))}},
      "enabled");
  if (!output.for_people()) return;
  if (!on)
    output.line(
        paint(output.colour(), Paint::kDim, "  " + context.command("cluster autoscale on 1 8")));
  if (list_of(decisions, "decisions").empty()) return;
  output.line("");
  output.list(decisions, list_of(decisions, "decisions"),
              {{"when", "time", Align::kRight,
                [](const Json& d) {
                  const auto at = parse_time(text_of(d, "time"));
                  return at ? format_age(*at, wall_now()) : "";
                }},
               {"from", "from", Align::kRight},
               {"to", "to", Align::kRight},
               {"why", "reason"}},
              "id");
}

Result<int> autoscale(const Context& context, const Options& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  const std::string what = o.words.empty() ? "" : o.words.front();
  Json body;
  if (what == "on" && o.words.size() == 3) {
    POLYSOME_ASSIGN(body, bounds_of(o.words[1], o.words[2]));
  } else if (what == "on" && o.words.size() == 1) {
    body = {{"enabled", true}};
  } else if (what == "off" && o.words.size() == 1) {
    body = {{"enabled", false}};
  } else if (!o.words.empty()) {
    return fail(Code::kInvalid, "autoscale takes nothing, on, on MIN MAX, or off",
                context.command("cluster autoscale on 1 8"));
  }
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json now, body.is_null() ? client.get("cluster/autoscale")
                                                 : client.put("cluster/autoscale", body));
  Json decisions;
  if (output.for_people()) {
    POLYSOME_ASSIGN(decisions, client.get("cluster/autoscale/decisions", {{"limit", "10"}}));
  }
  print_autoscale(context, output, now, decisions);
  return 0;
}

void add_aside_commands(CLI::App& cluster, Context& context) {
  const std::vector<std::pair<std::string, const char*>> actions{
      {"drain", "no new task on this worker; running ones end"},
      {"exclude", "no task on this worker; running ones move away"},
      {"readmit", "the worker takes tasks again"}};
  for (const auto& [action, text] : actions) {
    auto* command = cluster.add_subcommand(action, text);
    auto o = std::make_shared<Options>();
    auto flags = std::make_shared<CommonFlags>();
    command->add_option("worker", o->worker, "as cluster workers names it: w3")->required();
    if (action != "readmit")
      command->add_option("--reason", o->reason, "shown with the worker")->type_name("TEXT");
    if (action == "exclude")
      command->add_option("--for", o->time, "readmitted after this time")->type_name("TIME");
    add_service_flags(command, flags);
    context.on(command, [&context, action = action, o, flags] {
      return set_aside(context, action, *o, *flags);
    });
  }
  auto* command =
      cluster.add_subcommand("autoscale", "let the cluster size itself: on MIN MAX, off, or show");
  auto o = std::make_shared<Options>();
  auto flags = std::make_shared<CommonFlags>();
  command->add_option("words", o->words, "on MIN MAX, on, or off")->expected(0, 3);
  add_service_flags(command, flags);
  context.on(command, [&context, o, flags] { return autoscale(context, *o, *flags); });
}

}  // namespace

void add_cluster_commands(CLI::App& app, Context& context) {
  auto* cluster = app.add_subcommand(
      "cluster", "the workers: start, stop, scale N, status, workers, drain W, autoscale");
  add_aside_commands(*cluster, context);
  cluster->require_subcommand(1);
  {
    auto* command =
        cluster->add_subcommand("start", "start the workers; what is not given is as configured");
    auto o = std::make_shared<Options>();
    auto flags = std::make_shared<CommonFlags>();
    command->add_option("--n-workers", o->n_workers, "how many, 1-32")->type_name("N");
    command->add_option("--threads-per-worker", o->threads_per_worker, "threads of each, 1-64")
        ->type_name("N");
    command->add_option("--memory-limit", o->memory_limit, "memory of each")->type_name("SIZE");
    command->add_option("--backend", o->backend, "local")->type_name("NAME");
    command->add_option("--autoscale", o->autoscale, "let it size itself between MIN-MAX workers")
        ->type_name("MIN-MAX");
    command->add_flag("--no-wait", o->no_wait, "return before they are up");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags]() -> Result<int> {
      POLYSOME_ASSIGN(const Json body, start_body(*o));
      return change(context, *flags, "cluster/start", body, waiting(*o));
    });
  }
  {
    auto* command =
        cluster->add_subcommand("stop", "stop the workers; running jobs go back to the queue");
    auto o = std::make_shared<Options>();
    auto flags = std::make_shared<CommonFlags>();
    command->add_flag("--force", o->force, "do not let running tasks finish");
    command->add_flag("--no-wait", o->no_wait, "return before they are gone");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] {
      const Json body = o->force ? Json{{"mode", "force"}} : Json::object();
      return change(context, *flags, "cluster/stop", body, waiting(*o));
    });
  }
  {
    auto* command =
        cluster->add_subcommand("scale", "another number of workers; none is killed in its work");
    auto o = std::make_shared<Options>();
    auto flags = std::make_shared<CommonFlags>();
    command->add_option("n", o->n_workers, "how many, 1-32")->required();
    command->add_flag("--no-wait", o->no_wait, "return at once");
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] {
      return change(context, *flags, "cluster/scale", {{"n_workers", o->n_workers}}, waiting(*o));
    });
  }
  for (const bool workers_only : {false, true}) {
    auto* command = cluster->add_subcommand(
        workers_only ? "workers" : "status",
        workers_only ? "the workers, one a line" : "the cluster and its workers");
    auto flags = std::make_shared<CommonFlags>();
    add_service_flags(command, flags);
    context.on(command, [&context, flags, workers_only]() -> Result<int> {
      POLYSOME_ASSIGN(const Output output, output_of(context, *flags));
      POLYSOME_ASSIGN(ServiceClient client, connect(*flags));
      POLYSOME_ASSIGN(const Json answer, client.get("cluster/status"));
      if (!workers_only)
        print_cluster(output, answer);
      else if (output.for_people() && list_of(answer, "workers").empty())
        note(fmt::format("no workers: the cluster is {}", text_of(answer, "status")));
      else
        print_workers(output, answer);
      return 0;
    });
  }
}

}  // namespace polysome::cli
