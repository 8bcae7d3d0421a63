// noop: tasks that do nothing, for benchmarks and fault tests; they sleep, take memory or fail as
// asked. No dataset, no files: the answer rides in the frame.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <new>
#include <thread>
#include <vector>

#include "operations/operation.h"

namespace polysome {
namespace {

constexpr std::int64_t kMostTasks = 1'000'000;
constexpr auto kLongestNap = std::chrono::milliseconds(20);

Parameter number(const char* name, ParamType type, const char* text, Json initial, double least,
                 double most) {
  Parameter p;
  p.name = name;
  p.type = type;
  p.text = text;
  p.default_value = std::move(initial);
  p.least = least;
  p.most = most;
  return p;
}

OperationDescription description() {
  OperationDescription d;
  d.name = "noop";
  d.type = "diagnostic";
  d.text = "Run tasks that do nothing through the whole path.";
  d.min_datasets = 0;
  d.max_datasets = 0;
  d.parameters = {
      number("tasks", ParamType::kInteger, "how many", 1, 1, static_cast<double>(kMostTasks)),
      number("sleep_ms", ParamType::kInteger, "each sleeps so long", 0, 0, 86'400'000),
      number("cpu_ms", ParamType::kInteger, "each computes for so long", 0, 0, 86'400'000),
      number("fail_rate", ParamType::kNumber, "this share of the attempts fails", 0.0, 0, 1),
      number("memory_mb", ParamType::kInteger, "each takes and touches so much memory", 0, 0,
             1'000'000)};
  d.example = {{"operation", "noop"}, {"parameters", {{"tasks", 1000}}}};
  return d;
}

Result<OperationPlan> plan(const PlanRequest& request) {
  const Json& p = request.job.spec.parameters;
  OperationPlan out;
  Stage tasks;
  tasks.name = "noop";
  tasks.kind = StageKind::kMap;
  tasks.tasks = p.value("tasks", 1U);
  tasks.body = {{"run", "noop.task"},
                {"sleep_ms", p.value("sleep_ms", std::uint64_t{0})},
                {"cpu_ms", p.value("cpu_ms", std::uint64_t{0})},
                {"fail_rate", p.value("fail_rate", 0.0)},
                {"memory_mb", p.value("memory_mb", std::uint64_t{0})}};
  Stage last;
  last.name = "result";
  last.kind = StageKind::kSingle;
  last.after = {"noop"};
  last.final = true;
  last.body = {{"run", "noop.result"}, {"tasks", tasks.tasks}};
  out.stages = {std::move(tasks), std::move(last)};
  return out;
}

// Uniform in [0, 1), the same for the same attempt: splitmix64 over its numbers.
double chance(const TaskSpec& spec) {
  std::uint64_t x = spec.attempt.n * 0x9E3779B97F4A7C15ULL +
                    spec.attempt.epoch * 0xD1B54A32D192ED03ULL + spec.task.index;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1.0p-53;
}

Status sleep_for(const TaskEnv& env, std::uint64_t milliseconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  for (;;) {
    POLYSOME_TRY(env.check_cancelled());
    const auto now = std::chrono::steady_clock::now();
    if (now >= end) return {};
    std::this_thread::sleep_for(
        std::min<std::chrono::steady_clock::duration>(end - now, kLongestNap));
  }
}

std::chrono::nanoseconds thread_cpu_time() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// Until this thread has used that much time of a core, however long it has to wait for it.
Status compute_for(const TaskEnv& env, std::uint64_t milliseconds) {
  const auto end = thread_cpu_time() + std::chrono::milliseconds(milliseconds);
  volatile double x = 1;
  while (thread_cpu_time() < end) {
    POLYSOME_TRY(env.check_cancelled());
    for (int i = 0; i < 20'000; ++i) x = x * 1.0000001 + 1e-9;
  }
  return {};
}

Status task_body(TaskEnv& env) {
  std::vector<char> memory;
  const std::uint64_t bytes = env.body.value("memory_mb", std::uint64_t{0}) * 1'000'000;
  try {
    memory.assign(bytes, '\1');
  } catch (const std::bad_alloc&) {
    env.context.needed_memory = bytes;
    return fail(Code::kOutOfMemory, fmt::format("no memory for memory_mb {}",
                                                env.body.value("memory_mb", std::uint64_t{0})));
  }
  // A read that the compiler may not drop, and with it the writes.
  [[maybe_unused]] const volatile char touched = memory.empty() ? '\0' : memory.back();
  POLYSOME_TRY(sleep_for(env, env.body.value("sleep_ms", std::uint64_t{0})));
  POLYSOME_TRY(compute_for(env, env.body.value("cpu_ms", std::uint64_t{0})));
  const double rate = env.body.value("fail_rate", 0.0);
  if (rate > 0 && chance(env.spec) < rate)
    return fail(Code::kInternal, "failed as asked by fail_rate");
  return {};
}

Status result_body(TaskEnv& env) {
  const auto tasks = env.body.value("tasks", std::uint32_t{0});
  env.output.result.payload = {{"value", tasks},
                               {"table", nullptr},
                               {"summary", {{"tasks", tasks}}},
                               {"rows", 0},
                               {"columns", 0},
                               {"output", Json::array()},
                               {"tables", Json::array()},
                               {"definitions", {{"operation", "noop/1"}}},
                               {"warnings", Json::array()}};
  return {};
}

}  // namespace

Operation noop_operation() {
  return {description(), plan, {{"noop.task", task_body}, {"noop.result", result_body}}};
}

}  // namespace polysome
