#include "operations/job_driver.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "operations/operation.h"

namespace polysome {

JobDriver::JobDriver(std::string root) : root_(std::move(root)) {
  description.output_roots = {root_ + "/results"};
  description.memory = 1'000'000'000;
}

TaskContext JobDriver::context() {
  TaskContext context;
  context.scratch = root_ + "/scratch";
  context.memory = task_memory;
  std::filesystem::create_directories(context.scratch);
  return context;
}

Result<TaskResult> JobDriver::run_task(const Stage& stage, std::uint32_t number,
                                       std::uint32_t index, bool inside) {
  TaskSpec spec;
  spec.task = {description.spec.id, number, index};
  spec.attempt = {1, ++attempts_};
  spec.stage_name = stage.name;
  spec.job_folder = job_folder_;
  spec.fragment_file = stage.fragment_file;
  spec.place = stage.place;
  spec.grant = description.memory;
  spec.start_inside_quotes = inside;
  if (stage.can_split) spec.split = split;
  TaskContext where = context();
  POLYSOME_ASSIGN(TaskOutput out, runner_.run(spec, where));
  if (!out.files.empty()) {
    Manifest manifest;
    manifest.attempt = spec.attempt;
    manifest.files = out.files;
    manifest.result = out.result;
    POLYSOME_TRY(publish(spec, std::move(manifest), false));
  }
  return out.result;
}

Status JobDriver::settle_borders(const Stage& stage, std::uint32_t number,
                                 std::vector<TaskResult>* results) {
  bool inside = false;
  for (std::uint32_t i = 0; i < results->size(); ++i) {
    auto& result = (*results)[i];
    const bool ends = inside ? result.ends_inside_if_inside : result.ends_inside_if_outside;
    if (inside) {
      reran.push_back(stage.name + "/" + std::to_string(i));
      POLYSOME_ASSIGN(result, run_task(stage, number, i, true));
    }
    if (result.disputed) return std::unexpected(*result.disputed);
    inside = ends;
  }
  return {};
}

Status JobDriver::run_stage(std::size_t number) {
  const Stage stage = plan_[number].stage;
  const auto n = static_cast<std::uint32_t>(number);
  std::vector<TaskResult> results(stage.tasks);
  // Backwards: nothing may depend on the order in which tasks end.
  for (std::uint32_t i = stage.tasks; i-- > 0;) {
    POLYSOME_ASSIGN(results[i], run_task(stage, n, i, false));
  }
  if (stage.borders) POLYSOME_TRY(settle_borders(stage, n, &results));
  stages.push_back({stage.name, stage.tasks});
  plan_[number].done = true;
  if (stage.final) payload_ = results[0].payload;
  if (stage.kind != StageKind::kPlanner) return {};
  const auto& file = results[0].fragment_file;
  POLYSOME_ASSIGN(const std::string text, read_file(job_folder_ + "/" + file));
  POLYSOME_ASSIGN(const Json j, parse_trusted_json(text));
  POLYSOME_ASSIGN(const Fragment fragment, Fragment::from_json(j, file));
  for (const auto& s : fragment.stages) plan_.push_back({s, false});
  return {};
}

Result<Json> JobDriver::run(const std::string& operation, const Json& parameters,
                            const std::vector<std::string>& sources) {
  const Operation* op = find_operation(operation);
  if (op == nullptr) return fail(Code::kInvalid, "no operation " + operation);
  auto& spec = description.spec;
  POLYSOME_ASSIGN(spec.parameters, op->description.validate(parameters));
  spec.operation = operation;
  spec.id = JobId::make(++jobs_, {});
  spec.datasets.clear();
  for (const auto& source : sources) {
    DatasetRef ref;
    ref.source = source;
    ref.id = std::filesystem::path(source).stem().stem().string();
    ref.layout = layout;
    spec.datasets.push_back(ref);
  }
  job_folder_ = root_ + "/job" + std::to_string(jobs_);
  POLYSOME_TRY(make_folders(job_folder_));
  POLYSOME_TRY(write_file(job_folder_ + "/job.json", dump(description.to_json()), false));
  stages.clear();
  reran.clear();
  payload_ = Json();
  Stage root;
  root.name = "plan";
  root.kind = StageKind::kPlanner;
  root.fragment_file = "job.json";
  plan_ = {{root, false}};
  for (;;) {
    std::size_t next = plan_.size();
    for (std::size_t i = 0; i < plan_.size() && next == plan_.size(); ++i) {
      bool ready = !plan_[i].done;
      for (const auto& name : plan_[i].stage.after)
        for (const auto& p : plan_) ready = ready && (p.stage.name != name || p.done);
      if (ready) next = i;
    }
    if (next == plan_.size()) return payload_;
    POLYSOME_TRY(run_stage(next));
  }
}

Result<Json> JobDriver::try_answer(const Json& request) {
  TaskContext where = context();
  return runner_.answer(request, where);
}

Json JobDriver::answer(const Json& request) {
  auto answer = try_answer(request);
  EXPECT_TRUE(answer.has_value()) << answer.error().message;
  return answer.value_or(Json::object());
}

Json JobDriver::rows(const Json& result) {
  Json request = {{"kind", "result_page"},
                  {"files", result["tables"][0]["files"]},
                  {"limit", 1'000'000},
                  {"max_bytes", 1'000'000'000}};
  return answer(request)["rows"];
}

}  // namespace polysome
