#include "cli/queue_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "cli/phrases.h"

namespace polysome::cli {

std::string queue_line(const Json& queue) {
  std::string line = fmt::format("{} pending, {} running", format_count(whole_of(queue, "pending")),
                                 format_count(whole_of(queue, "running")));
  if (const double oldest = number_of(queue, "oldest_wait_seconds"); oldest >= 1)
    line += fmt::format(", the oldest waits for {}", format_duration(oldest));
  if (queue.value("paused", false)) {
    const std::string reason = printable(text_of(queue, "paused_reason"));
    line += reason.empty() ? "; paused" : "; paused: " + reason;
  }
  return line;
}

const std::vector<ListColumn>& user_columns() {
  static const std::vector<ListColumn> columns{
      {"user", "user"},
      {"weight", "weight", Align::kRight},
      {"share", "share", Align::kRight,
       [](const Json& u) { return fmt::format("{:.0f} %", number_of(u, "share") * 100); }},
      {"cores", "cores", Align::kRight},
      {"memory", "memory_bytes", Align::kRight,
       [](const Json& u) { return format_bytes(whole_of(u, "memory_bytes")); }},
      {"running", "running_jobs", Align::kRight},
      {"pending", "pending_jobs", Align::kRight}};
  return columns;
}

const std::vector<ListColumn>& queue_columns() {
  static const std::vector<ListColumn> columns{
      {"", "position", Align::kRight},
      {"job", "job_id", Align::kLeft, [](const Json& j) { return short_id(text_of(j, "job_id")); }},
      {"operation", "operation"},
      {"priority", "priority_name"},
      {"user", "user"},
      {"waits", "waiting_seconds", Align::kRight,
       [](const Json& j) { return format_duration(number_of(j, "waiting_seconds")); }},
      {"starts",
       "expected_start",
       Align::kRight,
       [](const Json& j) -> std::string {
         const auto at = parse_time(text_of(object_of(j, "expected_start"), "p50"));
         if (!at) return "";
         return "in " + format_duration(
                            static_cast<double>(std::max<WallTime>(0, *at - wall_now())) / 1000);
       },
       {"p50", "p90"}},
      {"for", "waiting_reason", Align::kLeft,
       [](const Json& j) { return printable(text_of(j, "waiting_reason")); }}};
  return columns;
}

void print_users(const Output& output, const Json& queue) {
  const Json& users = list_of(queue, "users");
  const bool own_weight =
      std::ranges::any_of(users, [](const Json& u) { return number_of(u, "weight", 1) != 1; });
  if (users.size() < 2 && !own_weight) return;
  output.line("");
  output.lines(table_lines(users, user_columns(), output.layout()));
}

void print_queue(const Output& output, const Json& queue) {
  output.list(queue, list_of(queue, "jobs"), queue_columns(), "job_id");
  const auto shown = list_of(queue, "jobs").size();
  const auto pending = whole_of(queue, "pending");
  if (output.for_people() && shown < pending)
    output.line(
        paint(output.colour(), Paint::kDim,
              fmt::format("the first {} of {}", format_count(shown), counted(pending, "job"))));
}

std::vector<std::string> table_lines(const Json& items, const std::vector<ListColumn>& columns,
                                     const TableLayout& layout) {
  std::vector<TableColumn> titles;
  std::vector<std::vector<std::string>> rows(items.size());
  for (const auto& c : columns) {
    std::vector<std::string> cells;
    for (const auto& item : items) {
      const auto it = item.find(c.key);
      cells.push_back(c.text ? c.text(item) : it == item.end() ? "" : cell_text(*it));
    }
    if (std::ranges::all_of(cells, [](const std::string& cell) { return cell.empty(); })) continue;
    titles.push_back({c.title, c.align});
    for (std::size_t i = 0; i < cells.size(); ++i) rows[i].push_back(std::move(cells[i]));
  }
  return layout_table(titles, std::move(rows), layout).lines;
}

}  // namespace polysome::cli
