// Figures of the core alone, as JSON (bench/core_rates.py runs it and prints tables): rates,
// decisions, memory, and waits of users under fair sharing against plain FIFO on the same load.
#include <model/json.h>

#include <cstdio>

#include "core_fairness.h"
#include "core_load.h"
#include "model/json.h"

namespace polysome::bench {
namespace {

Json rate(const char* what, double value, const char* unit, double goal, bool at_least) {
  const bool holds = at_least ? value >= goal : value <= goal;
  return {{"what", what}, {"value", value}, {"unit", unit}, {"goal", goal}, {"holds", holds}};
}

template <class Measure>
double best_of(int times, bool highest, Measure measure) {
  double best = measure();
  for (int i = 1; i < times; ++i) {
    const double next = measure();
    if (highest ? next > best : next < best) best = next;
  }
  return best;
}

Json rates() {
  Json rows = Json::array();
  rows.push_back(rate("no-op tasks through the core",
                      best_of(3, true, [] { return noop_tasks_a_second(300'000, 32, 1); }),
                      "tasks/s", 50'000, true));
  const Quantiles tasks = decision_us(100'000, 100, 32, 4, 50'000);
  rows.push_back(
      rate("a decision, 100,000 tasks of 100 jobs queued, p50", tasks.p50, "us", 20, false));
  rows.push_back(rate("the same, p99", tasks.p99, "us", 20, false));
  const Quantiles jobs = decision_us(100'000, 100'000, 32, 4, 50'000);
  rows.push_back(
      rate("a decision, 100,000 jobs of one task queued, p50", jobs.p50, "us", 20, false));
  rows.push_back(rate("the same, p99", jobs.p99, "us", 20, false));
  const Held million = hold_and_drain(10, 100'000, true);
  rows.push_back(
      rate("a queued task of a million in 10 jobs", million.bytes_each, "bytes", 300, false));
  rows.push_back(rate("a million queued tasks, submitted", million.submit_seconds, "s", 1, false));
  rows.push_back(rate("a million queued tasks, drained", million.drain_seconds, "s", 20, false));
  const Held singles = hold_and_drain(100'000, 1, true);
  rows.push_back(
      rate("a queued job of one task, of 100,000", singles.bytes_each, "bytes", 2000, false));
  rows.push_back(
      rate("100,000 jobs of one task, submitted", singles.submit_seconds, "s", 1, false));
  rows.push_back(rate("100,000 jobs of one task, drained", singles.drain_seconds, "s", 6, false));
  return rows;
}

Json fairness() {
  Json rows = Json::array();
  for (const Load& load : {flood(), mixed()}) {
    for (const bool shared : {false, true}) {
      const Figures figures = run(load, shared);
      for (const auto& u : figures.users)
        rows.push_back({{"load", figures.load},
                        {"order", figures.order},
                        {"user", u.user},
                        {"jobs", u.jobs},
                        {"mean_wait_s", u.mean_wait_s},
                        {"p95_wait_s", u.p95_wait_s},
                        {"max_wait_s", u.max_wait_s},
                        {"mean_turnaround_s", u.mean_turnaround_s},
                        {"mean_slowdown", u.mean_slowdown},
                        {"against_own_part", u.against_own_part},
                        {"jain", figures.jain},
                        {"makespan_s", figures.makespan_s}});
    }
  }
  return rows;
}

}  // namespace
}  // namespace polysome::bench

int main() {
  const polysome::Json out{{"rates", polysome::bench::rates()},
                           {"fairness", polysome::bench::fairness()}};
  std::puts(out.dump().c_str());
}
