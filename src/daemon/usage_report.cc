#include "daemon/usage_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "model/resources.h"

namespace polysome {
namespace {

constexpr std::uint64_t kMegabyte = 1'000'000;
// Above what the p95 of measured peaks says, for runs a little larger than those seen.
constexpr double kMemoryMargin = 1.25;
constexpr std::uint64_t kMemoryStep = 64 * kMegabyte;

std::uint64_t suggested_memory(double peak) {
  const auto wanted = static_cast<std::uint64_t>(peak * kMemoryMargin);
  return (wanted + kMemoryStep - 1) / kMemoryStep * kMemoryStep;
}

Json bounds_of(int size_class) {
  if (size_class == 0) return {{"from_bytes", 0}, {"to_bytes", kMegabyte}, {"text", "below 1 MB"}};
  const std::uint64_t from = kMegabyte << (2 * (size_class - 1));
  const std::uint64_t to = from * 4;
  return {{"from_bytes", from},
          {"to_bytes", to},
          {"text", fmt::format("{} to {}", format_bytes(from), format_bytes(to))}};
}

}  // namespace

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
  const auto at = std::clamp<std::size_t>(rank, 1, values.size()) - 1;
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(at));
  return values[at];
}

void UsageReport::add(const StoredUsage& usage) {
  Sum& sum = sums_[by_operation_ ? usage.operation : usage.user];
  ++sum.jobs;
  sum.cpu_seconds += usage.cpu_seconds;
  sum.memory_gb_seconds += usage.memory_gb_seconds;
  sum.bytes_read += usage.bytes_read;
  sum.waits.push_back(usage.wait_seconds);
}

Json UsageReport::rows() {
  std::vector<std::pair<std::string, Sum*>> order;
  for (auto& [who, sum] : sums_) order.emplace_back(who, &sum);
  std::ranges::sort(order, [](const auto& a, const auto& b) {
    return a.second->cpu_seconds != b.second->cpu_seconds
               ? a.second->cpu_seconds > b.second->cpu_seconds
               : a.first < b.first;
  });
  Json out = Json::array();
  for (auto& [who, sum] : order)
    out.push_back({{by_operation_ ? "operation" : "user", who},
                   {"jobs", sum->jobs},
                   {"cpu_seconds", sum->cpu_seconds},
                   {"memory_gb_seconds", sum->memory_gb_seconds},
                   {"bytes_read", sum->bytes_read},
                   {"wait_seconds_p50", quantile(std::move(sum->waits), 0.5)}});
  return out;
}

int RunsLearned::size_class(std::uint64_t bytes) {
  int out = 0;
  for (std::uint64_t from = kMegabyte; bytes >= from && out < 20; from *= 4) ++out;
  return out;
}

void RunsLearned::add(const StoredUsage& usage) {
  if (!usage.completed) return;
  Runs& runs = runs_[{usage.operation, size_class(usage.input_bytes)}];
  runs.memory.push_back(static_cast<double>(usage.peak_memory));
  runs.seconds.push_back(usage.seconds);
  runs.cpu_seconds.push_back(usage.cpu_seconds);
}

Json RunsLearned::operations(std::uint64_t memory_per_slot) const {
  Json out = Json::array();
  for (const auto& [key, runs] : runs_) {
    const auto& [operation, size] = key;
    const double peak = quantile(runs.memory, 0.95);
    const std::uint64_t memory = suggested_memory(peak);
    const auto peak_bytes = static_cast<std::uint64_t>(peak);
    Json advice;
    if (memory > memory_per_slot)
      advice = fmt::format("ask for memory_per_worker {}: a task's default grant is {}",
                           format_bytes(memory), format_bytes(memory_per_slot));
    out.push_back({{"operation", operation},
                   {"input", bounds_of(size)},
                   {"runs", runs.memory.size()},
                   {"peak_memory_p95", format_bytes(peak_bytes)},
                   {"peak_memory_p95_bytes", peak_bytes},
                   {"seconds_p50", quantile(runs.seconds, 0.5)},
                   {"seconds_p95", quantile(runs.seconds, 0.95)},
                   {"cpu_seconds_p95", quantile(runs.cpu_seconds, 0.95)},
                   {"memory_per_worker", format_bytes(memory)},
                   {"memory_per_worker_bytes", memory},
                   {"advice", std::move(advice)}});
  }
  return out;
}

Json scaling_advice(const Load& load) {
  const int threads = std::max(1, load.threads_per_worker);
  const auto wanted_cores = load.queued_tasks + load.active_tasks;
  int suggested = load.n_workers;
  std::string advice;
  if (!load.running) {
    advice = load.pending_jobs == 0
                 ? "The cluster is stopped and nothing waits."
                 : fmt::format("The cluster is stopped and {} job{} for it: POST cluster/start.",
                               load.pending_jobs, load.pending_jobs == 1 ? " waits" : "s wait");
  } else if (load.used_cores >= load.total_cores && load.queued_tasks > 0) {
    const auto workers = static_cast<int>(
        std::min<std::uint64_t>((wanted_cores + static_cast<std::uint64_t>(threads) - 1) /
                                    static_cast<std::uint64_t>(threads),
                                kMaxWorkers));
    // At most twice as many in one step: tasks end while workers start.
    suggested = std::max(load.n_workers, std::min(workers, load.n_workers * 2));
    advice = suggested > load.n_workers
                 ? fmt::format(
                       "All {} cores are busy and {} tasks wait: {} workers would take "
                       "them up.",
                       load.total_cores, load.queued_tasks, suggested)
                 : fmt::format(
                       "All {} cores are busy and {} tasks wait; there are as many workers "
                       "as there may be.",
                       load.total_cores, load.queued_tasks);
  } else if (load.recent_utilisation >= 0 && load.recent_utilisation < 0.25 &&
             load.queued_tasks == 0 && load.n_workers > 1) {
    const double cores = load.recent_utilisation * load.total_cores / 0.7;
    suggested = std::clamp(static_cast<int>(std::ceil(cores / threads)), 1, load.n_workers);
    advice = fmt::format("In the last hour {:.0f} % of the cores worked: {} worker{} would do.",
                         load.recent_utilisation * 100, suggested, suggested == 1 ? "" : "s");
  } else {
    advice = "The cluster's size fits what it has to do.";
  }
  if (load.autoscaled) advice += " The autoscaler sees to it.";
  return {
      {"advice", advice},
      {"n_workers", load.n_workers},
      {"suggested_n_workers", suggested},
      {"queued_tasks", load.queued_tasks},
      {"active_tasks", load.active_tasks},
      {"total_cores", load.total_cores},
      {"used_cores", load.used_cores},
      {"recent_utilisation", load.recent_utilisation < 0 ? Json() : Json(load.recent_utilisation)}};
}

}  // namespace polysome
