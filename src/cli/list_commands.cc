// polysome list.
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/follow.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

struct ListOptions {
  std::string user, status, since, tag, operation, dataset, name, priority, batch;
  bool mine = false;
  int n = 20;
};

std::string login() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : std::to_string(::geteuid());
}

std::string took(const Json& job) {
  const auto began = parse_time(text_of(job, "started_at"));
  if (!began) return "";
  const auto ended = parse_time(text_of(job, "completed_at"));
  return format_duration(
      static_cast<double>(std::max<WallTime>(0, ended.value_or(wall_now()) - *began)) / 1000);
}

std::string state(const Json& job) {
  const std::string status = text_of(job, "status");
  if (status == "running") return fmt::format("running {:.0f} %", number_of(job, "progress"));
  return status;
}

Result<Json> fetch(ServiceClient& client, Query query, int n) {
  Json all;
  std::string token;
  int left = n;
  do {
    Query page_query = query;
    page_query.emplace_back("limit", std::to_string(std::min(left, 1000)));
    page_query.emplace_back("page_token", token);
    POLYSOME_ASSIGN(Json page, client.get("jobs/list", page_query));
    token = text_of(page, "next_page_token");
    left -= static_cast<int>(list_of(page, "jobs").size());
    if (all.is_null()) {
      all = std::move(page);
    } else {
      for (const auto& job : list_of(page, "jobs")) all["jobs"].push_back(job);
      all["next_page_token"] = page["next_page_token"];
    }
  } while (left > 0 && !token.empty());
  return all;
}

Result<int> list(const Context& context, const ListOptions& o, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  std::string since = o.since;
  if (!since.empty() && !parse_time(since)) {
    const auto ago = parse_duration(since);
    if (!ago)
      return fail(Code::kInvalid, fmt::format("--since {}: neither a time nor how long ago", since),
                  "write it as 1d, 2h or 2026-01-31T12:00:00Z");
    since = format_time(wall_now() - *ago);
  }
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(const Json body, fetch(client,
                                         {{"user", o.mine ? login() : o.user},
                                          {"status", o.status},
                                          {"since", since},
                                          {"tag", o.tag},
                                          {"operation", o.operation},
                                          {"dataset_id", o.dataset},
                                          {"name", o.name},
                                          {"priority", o.priority},
                                          {"batch_id", o.batch}},
                                         o.n));
  const Json& jobs = list_of(body, "jobs");
  if (jobs.empty() && output.for_people()) {
    note("no jobs");
    return 0;
  }
  output.list(body, jobs,
              {{"job", "job_id", Align::kLeft,
                [](const Json& j) { return short_id(text_of(j, "job_id")); }},
               {"operation", "operation"},
               {"dataset", "dataset_id"},
               {"status", "status", Align::kLeft, state},
               {"priority", "priority_name"},
               {"submitted", "created_at", Align::kRight,
                [](const Json& j) {
                  const auto time = parse_time(text_of(j, "created_at"));
                  return time ? format_age(*time, wall_now()) : "";
                }},
               {"time", "completed_at", Align::kRight, took},
               {"user", "user"},
               {"name", "name"}},
              "job_id");
  const auto total = whole_of(body, "total", jobs.size());
  if (output.for_people() && jobs.size() < total)
    output.line(
        paint(output.colour(), Paint::kDim,
              fmt::format("{} of {}; -n {} shows more", jobs.size(), counted(total, "job"),
                          std::min<std::uint64_t>(total, static_cast<std::uint64_t>(o.n) * 10))));
  return 0;
}

}  // namespace

void add_list_commands(CLI::App& app, Context& context) {
  {
    auto* command = app.add_subcommand("list", "jobs, newest first");
    auto flags = std::make_shared<CommonFlags>();
    auto o = std::make_shared<ListOptions>();
    command->add_flag("--mine", o->mine, "only yours");
    command->add_option("--user", o->user, "only of this user")
        ->type_name("NAME")
        ->excludes("--mine");
    command->add_option("--status", o->status, "pending, running, completed, failed or cancelled")
        ->type_name("STATE");
    command->add_option("--since", o->since, "submitted since: 1d, 2h, or a time")
        ->type_name("TIME");
    command->add_option("--tag", o->tag, "with this tag")->type_name("TAG");
    command->add_option("--operation", o->operation, "of this operation")->type_name("NAME");
    command->add_option("--dataset", o->dataset, "of this dataset")->type_name("NAME");
    command->add_option("--name", o->name, "of this name")->type_name("NAME");
    command->add_option("--priority", o->priority, "of this priority")->type_name("P");
    command->add_option("--batch", o->batch, "of this batch")->type_name("BATCH_ID");
    command->add_option("-n", o->n, "so many (20)")
        ->type_name("N")
        ->check(CLI::Range(1, 1'000'000));
    add_service_flags(command, flags);
    context.on(command, [&context, o, flags] { return list(context, *o, *flags); });
  }
}

}  // namespace polysome::cli
