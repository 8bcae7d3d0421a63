// polysome-worker: the program that touches data. Started by the service as the supervisor of a
// worker, by a supervisor as one of its slots, and at build time to describe the operations.
#include <cstdio>
#include <string>
#include <vector>

#include "operations/task_runner.h"
#include "worker/options.h"
#include "worker/slot.h"
#include "worker/supervisor.h"

namespace {

using namespace polysome;

int describe() {
  Json list = Json::array();
  for (const auto& operation : describe_operations()) list.push_back(operation.to_json());
  const std::string text = dump_pretty(list) + "\n";
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}

int run_tasks(const WorkerOptions& options) {
  TaskRunner runner;
  SlotWork work;
  work.prepare = [&](const TaskSpec& spec) { return runner.leave_other_jobs(spec); };
  if (options.prepare) work.idle = [&] { runner.prepare_for_any(); };
  work.rest = [&] { runner.rest(); };
  work.run = [&](const TaskSpec& spec, TaskContext& context) { return runner.run(spec, context); };
  work.answer = [&](const Json& request, TaskContext& context) {
    return runner.answer(request, context);
  };
  return run_slot(options, std::move(work));
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_worker_options({argv + 1, argv + argc});
  if (!options) {
    std::fprintf(stderr, "polysome-worker: %s\n%s\n", options.error().message.c_str(),
                 options.error().hint.c_str());
    return 2;
  }
  switch (options->mode) {
    case WorkerMode::kSupervisor: return run_supervisor(*options, run_tasks);
    case WorkerMode::kSlot: return run_tasks(*options);
    case WorkerMode::kDescribe: return describe();
    case WorkerMode::kVersion: std::puts("polysome-worker " POLYSOME_VERSION); return 0;
    case WorkerMode::kHelp: std::puts(worker_usage().c_str()); return 0;
  }
  return 2;
}
