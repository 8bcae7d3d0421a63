// The planner task: finds and inspects the job's datasets, sends what cannot be cut through an
// unpack stage first (and plans again after it), cuts the rest into partitions, lets the operation
// plan its stages, and writes fragment, plan document and partition tables. Knows no operation: the
// operation comes as a function. Runs in a slot, on its thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/unpack_range.h"
#include "model/plan.h"
#include "plan/job_description.h"
#include "plan/plan_document.h"

namespace polysome {

inline constexpr const char* kPlanRun = "plan";  // body["run"] of the second planner
inline constexpr const char* kUnpackRun = "unpack";
// More partitions than this make results unwieldy; the partition size is raised instead.
inline constexpr std::uint32_t kMaxPartitions = 4096;

// What an operation is given to plan with.
struct PlanRequest {
  const JobDescription& job;
  Session* session = nullptr;  // null for a job without datasets
  const std::vector<InputTable>& inputs;
  std::string job_folder;
};
struct OperationPlan {
  std::vector<Stage> stages;  // bodies without "plan", which the planner adds
  Json details = Json::object();
  Json warnings = Json::array();
};
using PlanOperation = std::function<Result<OperationPlan>(const PlanRequest&)>;

struct PlannerOutput {
  std::vector<OutputFile> files;
  std::string fragment_file;  // relative to the job folder
};

// `body` is null for the job's first planner. Errors: those of inspection (kUserData, kIo …) and of
// the operation.
Result<PlannerOutput> run_planner(const TaskSpec& spec, const JobDescription& job, const Json& body,
                                  Session* session, const PlanOperation& operation,
                                  const Connections* connections = nullptr);

// What task `index` of the unpack stage has to unpack: a file, or a stretch of one.
struct UnpackTask {
  std::uint32_t input = 0;
  std::uint32_t file = 0;
  PackedRange range;
};
Result<UnpackTask> unpack_task(const PlanDocument& plan, std::uint32_t index);

// Notes a file that a task wrote under output_path(spec, role).
OutputFile output_file(const TaskSpec& spec, const std::string& role, std::uint64_t rows);

}  // namespace polysome
