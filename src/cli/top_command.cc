// polysome top: cluster, users and jobs as they are now, drawn again every second on a terminal;
// into a pipe once.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cstdio>

#include "base/bytes.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/phrases.h"
#include "cli/progress.h"
#include "cli/queue_view.h"

namespace polysome::cli {
namespace {

constexpr int kLeastRows = 10;

struct Seen {
  Json cluster, queue, running;
};

Result<Seen> look(ServiceClient& client) {
  Seen out;
  POLYSOME_ASSIGN(out.cluster, client.get("cluster/status"));
  POLYSOME_ASSIGN(out.queue, client.get("queue/status", {{"limit", "20"}}));
  POLYSOME_ASSIGN(out.running, client.get("jobs/list", {{"status", "running"}, {"limit", "50"}}));
  return out;
}

std::string part(std::string_view name, double used, double total, const std::string& text,
                 bool colour) {
  return fmt::format("{:<8}{} {}", name,
                     paint(colour, Paint::kBlue, bar(total > 0 ? used / total : 0, 20)), text);
}

std::vector<std::string> head_lines(const Seen& seen, const TableLayout& layout) {
  const bool colour = layout.colour;
  const Json& c = seen.cluster;
  const auto cores = whole_of(c, "total_cores");
  const auto memory = whole_of(c, "total_memory_bytes");
  std::vector<std::string> out;
  const std::string first = fmt::format(
      "cluster {}, {}{}; {}", text_of(c, "status"), counted(whole_of(c, "n_workers"), "worker"),
      object_of(c, "autoscale").value("enabled", false) ? " (autoscaled)" : "",
      queue_line(seen.queue));
  out.push_back(layout.width > 0 ? cut(first, layout.width) : first);
  if (cores == 0) return out;
  out.push_back(part("cores", number_of(c, "used_cores"), static_cast<double>(cores),
                     fmt::format("{} of {}", whole_of(c, "used_cores"), cores), colour));
  out.push_back(part("memory", number_of(c, "used_memory_bytes"), static_cast<double>(memory),
                     fmt::format("{} of {}", text_of(c, "used_memory"), text_of(c, "total_memory")),
                     colour));
  return out;
}

const std::vector<ListColumn>& running_columns() {
  static const std::vector<ListColumn> columns{
      {"job", "job_id", Align::kLeft, [](const Json& j) { return short_id(text_of(j, "job_id")); }},
      {"operation", "operation"},
      {"user", "user"},
      {"priority", "priority_name"},
      {"phase", "phase"},
      {"progress", "progress", Align::kLeft,
       [](const Json& j) {
         const double p = number_of(j, "progress");
         return fmt::format("{} {:3.0f} %", bar(p / 100, 10), p);
       }},
      {"left", "eta_seconds", Align::kRight,
       [](const Json& j) {
         const double eta = number_of(j, "eta_seconds", -1);
         return eta >= 0 ? format_remaining(eta) : "";
       }},
      {"name", "name"}};
  return columns;
}

std::vector<std::string> picture(const Seen& seen, const TableLayout& layout, std::size_t rows) {
  auto out = head_lines(seen, layout);
  const auto add = [&](const Json& items, const std::vector<ListColumn>& columns) {
    if (items.empty()) return;
    out.emplace_back();
    for (auto& line : table_lines(items, columns, layout)) out.push_back(std::move(line));
  };
  if (list_of(seen.queue, "users").size() > 1) add(list_of(seen.queue, "users"), user_columns());
  add(list_of(seen.running, "jobs"), running_columns());
  add(list_of(seen.queue, "jobs"), queue_columns());
  if (rows > 0 && out.size() > rows) {
    out.resize(rows - 1);
    out.push_back(paint(layout.colour, Paint::kDim, "…"));
  }
  return out;
}

Result<int> top(const Context& context, double seconds, bool once, const CommonFlags& flags) {
  POLYSOME_ASSIGN(const Output output, output_of(context, flags));
  POLYSOME_ASSIGN(ServiceClient client, connect(flags));
  POLYSOME_ASSIGN(Seen seen, look(client));
  const bool live = context.terminal.out && !once && output.for_people();
  if (!live) {
    if (output.format() == Format::kJson || output.format() == Format::kNdjson) {
      output.record({{"cluster", seen.cluster}, {"queue", seen.queue}, {"running", seen.running}},
                    {}, "cluster");
      return 0;
    }
    output.lines(picture(seen, output.layout(), 0));
    return 0;
  }
  catch_interrupts();
  std::string trouble;
  while (!interrupted()) {
    const Terminal now = Terminal::look();
    const auto rows = static_cast<std::size_t>(std::max(kLeastRows, now.height - 1));
    std::string text = "\x1b[H";
    for (const auto& line : picture(seen, {now.width, now.colour_out, 0}, rows - 1))
      text += line + "\x1b[K\n";
    text += (trouble.empty() ? paint(now.colour_out, Paint::kDim, "Ctrl-C ends this view")
                             : paint(now.colour_out, Paint::kRed, cut(trouble, now.width))) +
            "\x1b[K\x1b[J";
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    (void)::poll(nullptr, 0, static_cast<int>(seconds * 1000));
    if (interrupted()) break;
    auto next = look(client);
    if (next)
      seen = std::move(*next);
    else if (next.error().code != Code::kUnavailable && next.error().code != Code::kCancelled)
      return fail(next.error());
    trouble = next ? "" : next.error().message + "; trying again";
  }
  std::fputs("\n", stdout);
  return 0;
}

}  // namespace

void add_top_command(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("top", "cluster, users and jobs, live");
  auto flags = std::make_shared<CommonFlags>();
  auto seconds = std::make_shared<double>(1);
  auto once = std::make_shared<bool>(false);
  command->add_option("--every", *seconds, "seconds between two looks (1)")
      ->type_name("S")
      ->check(CLI::Range(0.1, 3600.0));
  command->add_flag("--once", *once, "print it once");
  add_service_flags(command, flags);
  context.on(command,
             [&context, seconds, once, flags] { return top(context, *seconds, *once, *flags); });
}

}  // namespace polysome::cli
