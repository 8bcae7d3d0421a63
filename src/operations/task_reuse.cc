#include "operations/task_reuse.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/files.h"
#include "data/manifest.h"
#include "plan/plan_document.h"

namespace polysome {
namespace {

namespace fs = std::filesystem;

std::optional<Fragment> fragment_of(const std::string& folder, const std::string& planner) {
  const auto manifest = read_manifest(fs::path(folder) / planner, 0, false);
  if (!manifest || manifest->result.fragment_file.empty()) return std::nullopt;
  const auto text = read_file(fs::path(folder) / manifest->result.fragment_file);
  if (!text) return std::nullopt;
  const auto json = parse_trusted_json(*text);
  if (!json) return std::nullopt;
  auto fragment = Fragment::from_json(*json, manifest->result.fragment_file);
  return fragment ? std::optional(std::move(*fragment)) : std::nullopt;
}

std::string plan_of(const Stage& stage) {
  const auto it = stage.body.find("plan");
  return it != stage.body.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Json without_plan(Json body) {
  body.erase("plan");
  return body;
}

// Text under another name for the job's own folder, which is all that may differ in paths.
std::string without_folder(std::string text, const std::string& folder) {
  for (auto at = text.find(folder); at != std::string::npos; at = text.find(folder, at))
    text.replace(at, folder.size(), "$JOB");
  return text;
}

// Gives a file of the earlier job its place in this one: linked, or copied where links are refused.
bool bring(const fs::path& from, const fs::path& to) {
  if (::link(from.c_str(), to.c_str()) == 0 || errno == EEXIST) return true;
  std::error_code ec;
  fs::copy_file(from, to, fs::copy_options::skip_existing, ec);
  return !ec;
}

}  // namespace

std::unique_ptr<EarlierRun> EarlierRun::find(const JobDescription& job,
                                             const std::string& job_folder) {
  if (!job.spec.retry_of) return nullptr;
  const fs::path folder = fs::path(job_folder).parent_path() / job.spec.retry_of->text();
  const auto earlier = read_job_description(folder.string());
  if (!earlier || earlier->program != job.program || job.program.empty() ||
      earlier->spec.operation != job.spec.operation)
    return nullptr;
  std::unique_ptr<EarlierRun> out(new EarlierRun());
  out->folder_ = folder.string();
  out->current_ = job_folder;
  // A task that came to its end under "fail" has met no bad value, so "null" gives the same.
  if (earlier->spec.on_bad_value != job.spec.on_bad_value) {
    if (earlier->spec.on_bad_value != "fail") return nullptr;
    out->ignore_bad_values_ = true;
  }
  return out;
}

// All stages planned so far, through the planners among them.
const std::map<std::string, Stage>& EarlierRun::stages_of(const std::string& folder) {
  auto& known = stages_[folder];
  std::vector<std::string> planners{"plan"};
  for (const auto& [name, stage] : known)
    if (stage.kind == StageKind::kPlanner) planners.push_back(name);
  for (std::size_t i = 0; i < planners.size(); ++i) {
    const auto fragment = fragment_of(folder, planners[i]);
    if (!fragment) continue;
    for (const auto& stage : fragment->stages) {
      const bool fresh = known.emplace(stage.name, stage).second;
      if (fresh && stage.kind == StageKind::kPlanner) planners.push_back(stage.name);
    }
  }
  return known;
}

std::optional<std::string> EarlierRun::comparable_plan(const std::string& folder,
                                                       const std::string& name,
                                                       bool ignore_bad_values) {
  const auto text = read_file(fs::path(folder) / name);
  if (!text) return std::nullopt;
  auto plan = parse_trusted_json(*text);
  if (!plan || !plan->is_object() || !plan->contains("inputs")) return std::nullopt;
  plan->erase("warnings");
  std::string tables;
  for (auto& input : (*plan)["inputs"]) {
    for (const char* key : {"files_file", "partitions_file"}) {
      const auto file = input.value(key, std::string());
      input.erase(key);
      if (file.empty()) continue;
      const auto table = read_file(fs::path(folder) / file);
      if (!table) return std::nullopt;
      tables += *table;
    }
    if (ignore_bad_values && input.contains("source")) input["source"].erase("on_bad_value");
  }
  return without_folder(dump(*plan) + tables, folder);
}

bool EarlierRun::same_plan(const std::string& now, const std::string& then) {
  const auto [it, fresh] = plans_.try_emplace(now + "\n" + then, false);
  if (fresh) {
    const auto a = comparable_plan(current_, now, ignore_bad_values_);
    const auto b = comparable_plan(folder_, then, ignore_bad_values_);
    it->second = a && b && *a == *b;
  }
  return it->second;
}

// A stage is the same when what it does, what it reads and all that comes before it are.
bool EarlierRun::same(const std::string& name) {
  if (const auto known = same_.find(name); known != same_.end()) return known->second;
  same_[name] = false;  // also what a circle would be answered
  const auto find_in = [&](const std::string& folder) -> const Stage* {
    const auto& stages = stages_of(folder);
    const auto it = stages.find(name);
    return it == stages.end() ? nullptr : &it->second;
  };
  const Stage* now = find_in(current_);
  const Stage* then = find_in(folder_);
  if (now == nullptr || then == nullptr) return false;
  const bool equal = now->kind == then->kind && now->tasks == then->tasks &&
                     now->borders == then->borders && now->after == then->after &&
                     without_plan(now->body) == without_plan(then->body) &&
                     same_plan(plan_of(*now), plan_of(*then));
  const auto after = now->after;
  const bool all = equal && std::ranges::all_of(after, [&](const auto& s) { return same(s); });
  return same_[name] = all;
}

std::optional<TaskOutput> EarlierRun::take_over(const TaskSpec& spec, const Stage& stage) {
  // Plans are made anew, they decide what is the same; the end delivers under this job's name.
  if (stage.kind == StageKind::kPlanner || stage.final || !same(stage.name)) return std::nullopt;
  const fs::path from = fs::path(folder_) / stage.name;
  auto manifest =
      read_manifest_at(manifest_path(from, spec.task.index, spec.start_inside_quotes), true);
  if (!manifest || manifest->result.disputed) return std::nullopt;
  const fs::path to = stage_folder(spec);
  if (!make_folders(to)) return std::nullopt;
  for (const auto& file : manifest->files)
    if (!bring(from / file.name, to / file.name)) return std::nullopt;
  TaskOutput out;
  out.files = std::move(manifest->files);
  out.result = std::move(manifest->result);
  out.result.attempt = spec.attempt;
  out.result.reused = true;
  out.durable = false;
  return out;
}

}  // namespace polysome
