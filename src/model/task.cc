#include "model/task.h"

#include <algorithm>
#include <array>
#include <utility>

#include "model/job.h"

namespace polysome {
namespace {

constexpr std::array<std::pair<TaskState, std::string_view>, 6> kStates{{
    {TaskState::kWaiting, "waiting"},
    {TaskState::kReady, "ready"},
    {TaskState::kAssigned, "assigned"},
    {TaskState::kRunning, "running"},
    {TaskState::kBackoff, "backoff"},
    {TaskState::kFinished, "finished"},
}};

template <class F>
auto adapt(const char* what, F f) -> Result<decltype(f())> {
  try {
    return f();
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable ") + what + ": " + e.what());
  }
}

AttemptId attempt_of(const Json& j) {
  return AttemptId::parse(j.at("attempt").get<std::string>()).value();
}

}  // namespace

std::string_view name(TaskState s) {
  for (const auto& [k, v] : kStates)
    if (k == s) return v;
  return "unknown";
}

bool may_change(TaskState from, TaskState to) {
  using enum TaskState;
  switch (from) {
    case kWaiting: return to == kReady || to == kFinished;  // finished: restored
    case kReady: return to == kAssigned || to == kWaiting;
    case kAssigned: return to == kRunning || to == kReady || to == kFinished || to == kBackoff;
    case kRunning: return to == kFinished || to == kReady || to == kBackoff;
    case kBackoff: return to == kReady;
    case kFinished: return to == kReady;  // its output was lost, or its start state was wrong
  }
  return false;
}

Json TaskSpec::to_json() const {
  return {{"job", task.job.text()},
          {"stage", task.stage},
          {"index", task.index},
          {"attempt", attempt.text()},
          {"attempt_number", attempt_number},
          {"stage_name", stage_name},
          {"job_folder", job_folder},
          {"fragment_file", fragment_file},
          {"place", place},
          {"grant", grant},
          {"start_inside_quotes", start_inside_quotes},
          {"split", split}};
}

Result<TaskSpec> TaskSpec::from_json(const Json& j) {
  return adapt("task", [&] {
    TaskSpec s;
    s.task.job = JobId::parse(j.at("job").get<std::string>()).value();
    s.task.stage = j.at("stage").get<std::uint32_t>();
    s.task.index = j.at("index").get<std::uint32_t>();
    s.attempt = attempt_of(j);
    s.attempt_number = j.at("attempt_number").get<int>();
    s.stage_name = j.at("stage_name").get<std::string>();
    s.job_folder = j.at("job_folder").get<std::string>();
    s.fragment_file = j.at("fragment_file").get<std::string>();
    s.place = j.at("place").get<std::uint32_t>();
    s.grant = j.at("grant").get<std::uint64_t>();
    s.start_inside_quotes = j.at("start_inside_quotes").get<bool>();
    s.split = std::max(1U, j.value("split", 1U));
    return s;
  });
}

Json TaskResult::to_json() const {
  Json j = {{"attempt", attempt.text()},   {"rows", rows},
            {"bytes_in", bytes_in},        {"bytes_out", bytes_out},
            {"peak_memory", peak_memory},  {"cpu_seconds", cpu_seconds},
            {"wall_seconds", wall_seconds}};
  if (reused) j["reused"] = true;
  if (manifest) j["manifest"] = true;
  if (!fragment_file.empty()) j["fragment_file"] = fragment_file;
  if (ends_inside_if_outside) j["ends_inside_if_outside"] = true;
  if (ends_inside_if_inside) j["ends_inside_if_inside"] = true;
  if (disputed) j["disputed"] = problem_json(*disputed);
  if (!payload.is_null()) j["payload"] = payload;
  return j;
}

Result<TaskResult> TaskResult::from_json(const Json& j) {
  return adapt("task result", [&] {
    TaskResult r;
    r.attempt = attempt_of(j);
    r.rows = j.value("rows", std::uint64_t{0});
    r.bytes_in = j.value("bytes_in", std::uint64_t{0});
    r.bytes_out = j.value("bytes_out", std::uint64_t{0});
    r.peak_memory = j.value("peak_memory", std::uint64_t{0});
    r.cpu_seconds = j.value("cpu_seconds", 0.0);
    r.wall_seconds = j.value("wall_seconds", 0.0);
    r.reused = j.value("reused", false);
    r.manifest = j.value("manifest", false);
    r.fragment_file = j.value("fragment_file", std::string());
    r.ends_inside_if_outside = j.value("ends_inside_if_outside", false);
    r.ends_inside_if_inside = j.value("ends_inside_if_inside", false);
    if (const auto it = j.find("disputed"); it != j.end()) r.disputed = error_from_problem(*it);
    if (const auto it = j.find("payload"); it != j.end()) r.payload = *it;
    return r;
  });
}

Json TaskFailure::to_json() const {
  return {{"attempt", attempt.text()},
          {"error", problem_json(error)},
          {"peak_memory", peak_memory},
          {"cpu_seconds", cpu_seconds},
          {"needed_memory", needed_memory}};
}

Result<TaskFailure> TaskFailure::from_json(const Json& j) {
  return adapt("task failure", [&] {
    TaskFailure f;
    f.attempt = attempt_of(j);
    f.error = error_from_problem(j.at("error"));
    f.peak_memory = j.value("peak_memory", std::uint64_t{0});
    f.cpu_seconds = j.value("cpu_seconds", 0.0);
    f.needed_memory = j.value("needed_memory", std::uint64_t{0});
    return f;
  });
}

Json TaskProgress::to_json() const {
  return {{"attempt", attempt.text()},
          {"bytes", bytes},
          {"memory", memory},
          {"cpu_seconds", cpu_seconds}};
}

Result<TaskProgress> TaskProgress::from_json(const Json& j) {
  return adapt("task progress", [&] {
    TaskProgress p;
    p.attempt = attempt_of(j);
    p.bytes = j.value("bytes", std::uint64_t{0});
    p.memory = j.value("memory", std::uint64_t{0});
    p.cpu_seconds = j.value("cpu_seconds", 0.0);
    return p;
  });
}

}  // namespace polysome
