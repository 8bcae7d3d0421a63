#include "plan/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/bytes.h"
#include "base/files.h"
#include "data/partitioner.h"
#include "plan/stage_files.h"

namespace polysome {
namespace {

constexpr const char* kUnpackStage = "unpack";
constexpr const char* kSecondPlanStage = "plan.2";

std::string relative_path(const TaskSpec& spec, const std::string& role) {
  return spec.stage_name + "/" + output_path(spec, role).filename().string();
}

std::uint32_t unpack_tasks(const PlanDocument& plan) {
  std::size_t n = 0;
  for (const auto& t : plan.inputs)
    if (!t.source.splittable()) n += t.source.files.size();
  return static_cast<std::uint32_t>(n);
}

// The inspected datasets, not cut yet.
Result<PlanDocument> inspect_all(const JobDescription& job, Session* session,
                                 const Connections* connections) {
  InspectOptions options;
  options.connections = connections;
  PlanDocument plan;
  for (const auto& ref : job.spec.datasets) {
    InputTable table;
    POLYSOME_ASSIGN(table.source,
                    inspect(*session, ref, job.read_roots, job.spec.on_bad_value, options));
    if (const auto it = table.source.dialect.find("warnings"); it != table.source.dialect.end())
      for (const auto& w : *it) plan.warnings.push_back(w);
    plan.inputs.push_back(std::move(table));
  }
  return plan;
}

// After the unpack stage: sources that read its parts.
Status replace_unpacked(const TaskSpec& spec, PlanDocument* plan) {
  std::uint32_t task = 0;
  for (auto& table : plan->inputs) {
    if (table.source.splittable()) continue;
    const auto files = static_cast<std::uint32_t>(table.source.files.size());
    POLYSOME_ASSIGN(const auto manifests,
                    stage_manifests(spec.job_folder, kUnpackStage, task, files));
    task += files;
    std::vector<UnpackedPart> parts;
    const auto folder = std::filesystem::path(spec.job_folder) / kUnpackStage;
    for (const auto& m : manifests)
      for (const auto& f : m.files) parts.push_back({(folder / f.name).string(), f.bytes, f.rows});
    table.source = unpacked_source(table.source, parts);
  }
  return {};
}

Status cut_all(const TaskSpec& spec, const JobDescription& job, PlanDocument* plan,
               std::vector<OutputFile>* files) {
  for (std::size_t i = 0; i < plan->inputs.size(); ++i) {
    auto& table = plan->inputs[i];
    CutRules rules;
    rules.partition_size = std::max<std::uint64_t>(job.spec.partition_size, 1);
    rules.size_given = job.spec.partition_size_given;
    rules.slots = static_cast<std::uint32_t>(std::max(job.slots, 1));
    rules.most_partitions = kMaxPartitions;
    POLYSOME_ASSIGN(const PartitionTable partitions, make_partitions(table.source, rules));
    if (rules.size_given && partitions.partition_size > rules.partition_size)
      plan->warnings.push_back(
          {{"code", "partition_size"},
           {"count", 1},
           {"message",
            fmt::format("partition_size {} would make more than {} partitions of \"{}\"; "
                        "{} was used",
                        format_bytes(rules.partition_size), kMaxPartitions, table.source.id,
                        format_bytes(partitions.partition_size))}});
    table.partitions = partitions.size();
    if (table.partitions == 0) continue;
    table.open_borders = has_open_borders(table.source, partitions);
    const std::string role = i == 0 ? "partitions.bin" : fmt::format("partitions{}.bin", i);
    POLYSOME_TRY(write_partitions(output_path(spec, role).string(), partitions));
    table.partitions_file = relative_path(spec, role);
    files->push_back(output_file(spec, role, partitions.size()));
  }
  return {};
}

OperationPlan unpack_first(const PlanDocument& plan) {
  OperationPlan out;
  Stage unpack;
  unpack.name = kUnpackStage;
  unpack.kind = StageKind::kMap;
  unpack.tasks = unpack_tasks(plan);
  for (const auto& t : plan.inputs)
    if (!t.source.splittable()) unpack.bytes += t.source.total_bytes();
  unpack.body = {{"run", kUnpackRun}};
  Stage again;
  again.name = kSecondPlanStage;
  again.kind = StageKind::kPlanner;
  again.after = {kUnpackStage};
  again.body = {{"run", kPlanRun}};
  out.stages = {std::move(unpack), std::move(again)};
  return out;
}

}  // namespace

OutputFile output_file(const TaskSpec& spec, const std::string& role, std::uint64_t rows) {
  OutputFile file;
  const auto path = output_path(spec, role);
  file.name = path.filename().string();
  file.role = role;
  std::error_code ec;
  file.bytes = std::filesystem::file_size(path, ec);
  if (ec) file.bytes = 0;
  file.rows = rows;
  return file;
}

Result<UnpackTask> unpack_task(const PlanDocument& plan, std::uint32_t index) {
  for (std::uint32_t i = 0; i < plan.inputs.size(); ++i) {
    const auto& source = plan.inputs[i].source;
    if (source.splittable()) continue;
    if (index < source.files.size()) return UnpackTask{i, index};
    index -= static_cast<std::uint32_t>(source.files.size());
  }
  return fail(Code::kInternal, "the unpack stage has more tasks than files");
}

Result<PlannerOutput> run_planner(const TaskSpec& spec, const JobDescription& job, const Json& body,
                                  Session* session, const PlanOperation& operation,
                                  const Connections* connections) {
  POLYSOME_TRY(make_folders(stage_folder(spec)));
  PlannerOutput out;
  PlanDocument plan;
  if (body.is_null()) {
    POLYSOME_ASSIGN(plan, inspect_all(job, session, connections));
  } else {
    POLYSOME_ASSIGN(plan, read_plan_document(spec.job_folder, body.at("plan").get<std::string>()));
    POLYSOME_TRY(replace_unpacked(spec, &plan));
  }
  // Those of the first planner are in its own fragment.
  const std::size_t told = body.is_null() ? 0 : plan.warnings.size();
  OperationPlan planned;
  if (unpack_tasks(plan) > 0) {
    planned = unpack_first(plan);
  } else {
    POLYSOME_TRY(cut_all(spec, job, &plan, &out.files));
    POLYSOME_ASSIGN(planned, operation({job, session, plan.inputs, spec.job_folder}));
  }
  plan.details = std::move(planned.details);
  for (auto& w : planned.warnings) plan.warnings.push_back(std::move(w));

  POLYSOME_TRY(write_file(output_path(spec, "plan.json"), dump(plan.to_json()), false));
  out.files.push_back(output_file(spec, "plan.json", 0));
  Fragment fragment;
  fragment.stages = std::move(planned.stages);
  for (auto& stage : fragment.stages) stage.body["plan"] = relative_path(spec, "plan.json");
  for (std::size_t i = told; i < plan.warnings.size(); ++i)
    fragment.warnings.push_back(plan.warnings[i]);
  const std::string text = dump(fragment.to_json());
  if (text.size() > kMaxFragmentBytes)
    return fail(Code::kInternal, "the plan is larger than a fragment may be");
  POLYSOME_TRY(write_file(output_path(spec, "fragment.json"), text, false));
  out.files.push_back(output_file(spec, "fragment.json", 0));
  out.fragment_file = relative_path(spec, "fragment.json");
  return out;
}

}  // namespace polysome
