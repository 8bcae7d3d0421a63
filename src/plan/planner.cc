#include "plan/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/files.h"
#include "data/partitioner.h"
#include "plan/stage_files.h"

namespace polysome {
namespace {

constexpr const char* kUnpackStage = "unpack";
constexpr const char* kSecondPlanStage = "plan.2";
// Of compressed text: fewer bytes are not worth a task; a slot gets some, so that all end together.
constexpr std::uint64_t kLeastStretch = 1'000'000;
constexpr std::uint64_t kStretchesASlot = 3;
constexpr std::uint64_t kMostStretches = 1000;  // of one file
constexpr std::size_t kFilesInPlan = 200;

std::string relative_path(const TaskSpec& spec, const std::string& role) {
  return spec.stage_name + "/" + output_path(spec, role).filename().string();
}

std::uint32_t unpack_tasks(const TableSource& source) {
  std::size_t n = 0;
  for (const auto& f : source.files) n += f.cuts.size() + 1;
  return source.splittable() ? 0 : static_cast<std::uint32_t>(n);
}

std::uint32_t unpack_tasks(const PlanDocument& plan) {
  std::uint32_t n = 0;
  for (const auto& t : plan.inputs) n += unpack_tasks(t.source);
  return n;
}

bool is_packed_text(const TableSource& source) {
  return (is_delimited(source.format) || source.format == "ndjson") && !source.splittable();
}

// Compressed files of many blocks or frames are unpacked in stretches, some for each slot.
Status cut_packed(const JobDescription& job, PlanDocument* plan) {
  std::uint64_t total = 0;
  for (const auto& t : plan->inputs)
    if (is_packed_text(t.source)) total += t.source.total_bytes();
  const std::uint64_t most = std::max<std::uint64_t>(job.spec.partition_size, 1);
  const std::uint64_t least = std::min(most, kLeastStretch);
  const auto slots = static_cast<std::uint64_t>(std::max(job.slots, 1));
  const std::uint64_t bytes = std::clamp(total / (kStretchesASlot * slots), least, most);
  for (auto& t : plan->inputs) {
    if (!is_packed_text(t.source)) continue;
    for (auto& file : t.source.files) {
      POLYSOME_ASSIGN(file.cuts, packed_cuts(file, std::max(bytes, file.bytes / kMostStretches)));
    }
  }
  return {};
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
    const std::uint32_t tasks = unpack_tasks(table.source);
    POLYSOME_ASSIGN(const auto manifests,
                    stage_manifests(spec.job_folder, kUnpackStage, task, tasks));
    task += tasks;
    std::vector<UnpackedPart> parts;
    const auto folder = std::filesystem::path(spec.job_folder) / kUnpackStage;
    auto manifest = manifests.begin();
    for (const auto& file : table.source.files) {
      std::uint64_t lines = 0;
      for (std::size_t i = 0; i <= file.cuts.size(); ++i, ++manifest) {
        for (const auto& f : manifest->files)
          parts.push_back({(folder / f.name).string(), f.bytes, f.rows, lines});
        if (const Json& told = manifest->result.payload; told.is_object())
          lines += told.value("lines", std::uint64_t{0});
      }
    }
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

// Lists of many files are not read whole by every task.
Status put_files_aside(const TaskSpec& spec, PlanDocument* plan, std::vector<OutputFile>* files) {
  for (std::size_t i = 0; i < plan->inputs.size(); ++i) {
    auto& table = plan->inputs[i];
    table.files_file.clear();
    if (std::as_const(table.source.files).size() <= kFilesInPlan) continue;
    const std::string role = i == 0 ? "files.bin" : fmt::format("files{}.bin", i);
    POLYSOME_TRY(std::as_const(table.source.files).write(output_path(spec, role).string()));
    table.files_file = relative_path(spec, role);
    files->push_back(output_file(spec, role, 0));
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
  for (const auto& t : plan.inputs)
    for (const auto& f : t.source.files) unpack.borders = unpack.borders || !f.cuts.empty();
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
    for (std::uint32_t f = 0; f < source.files.size(); ++f) {
      const auto& cuts = source.files[f].cuts;
      if (index > cuts.size()) {
        index -= static_cast<std::uint32_t>(cuts.size() + 1);
        continue;
      }
      UnpackTask out{i, f, {}};
      if (index > 0) out.range.begin = cuts[index - 1];
      if (index < cuts.size()) out.range.end = cuts[index];
      return out;
    }
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
    POLYSOME_TRY(cut_packed(job, &plan));
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
  POLYSOME_TRY(put_files_aside(spec, &plan, &out.files));
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
