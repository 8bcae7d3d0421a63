// What a job would do (validate), a job once more (retry), and what is said about jobs (logs).
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

// Jobs looked at for an estimate.
constexpr std::size_t kHistory = 50;

Json plan_json(const Json& answer) {
  std::uint64_t tasks = 0, bytes = 0;
  for (const auto& stage : answer["stages"]) {
    tasks += stage.value("tasks", std::uint64_t{0});
    bytes += stage.value("bytes", std::uint64_t{0});
  }
  return {{"stages", answer["stages"]},
          {"tasks", tasks},
          {"bytes", bytes},
          {"input_bytes", answer["input_bytes"]},
          {"warnings", answer["warnings"]},
          // Compressed files are unpacked first; what comes after is known then.
          {"complete", answer["complete"]}};
}

// A line on how a job stands, or stood.
JobLog::Line state_line(const JobState& state) {
  JobLog::Line line;
  line.message = fmt::format("{}", name(state.status));
  if (state.phase != Phase::kDone && name(state.phase) != name(state.status))
    line.message += fmt::format(", {}", name(state.phase));
  if (state.waiting) line.message += ": " + (*state.waiting).value("message", "");
  if (state.reused_tasks > 0 && is_final(state.status))
    line.message +=
        fmt::format("; {} tasks were taken over from the job before", state.reused_tasks);
  if (state.error) {
    line.level = state.status == JobStatus::kFailed ? "error" : "warning";
    line.message += ": " + (*state.error).value("detail", "");
  }
  if (is_final(state.status)) line.time = state.completed_at;
  return line;
}

}  // namespace

// Seconds for so many bytes, by the middle rate of completed jobs of the operation.
Json Engine::estimate(const std::string& operation, std::uint64_t bytes) {
  JobFilter filter;
  filter.operation = operation;
  filter.status = JobStatus::kCompleted;
  filter.limit = kHistory;
  filter.full = true;
  std::vector<double> rates;
  for (const auto& job : store_.list_jobs(filter).first) {
    const auto& s = job.state;
    if (!s.started_at || !s.completed_at || s.bytes_read == 0 || s.reused_tasks > 0) continue;
    const double seconds =
        std::max(0.001, static_cast<double>(*s.completed_at - *s.started_at) / 1000);
    rates.push_back(static_cast<double>(s.bytes_read) / seconds);
  }
  Json out = {{"seconds", nullptr}, {"based_on_jobs", rates.size()}};
  if (rates.empty()) return out;
  const auto middle = rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2);
  std::ranges::nth_element(rates, middle);
  out["seconds"] = static_cast<double>(bytes) / *middle;
  return out;
}

void Engine::validate(SubmitRequest request, api::Reply<Json> reply) {
  const std::string user = request.spec.user;
  auto spec = prepare(std::move(request), user);
  if (!spec) return reply(fail(spec.error()));
  auto description = job_description(*spec);
  if (!description) {
    // Its datasets are results that are not there yet: what they will be like is not known.
    const bool waits = std::ranges::any_of(
        spec->datasets, [](const DatasetRef& d) { return d.source.starts_with("job:"); });
    if (!waits) return reply(fail(description.error()));
    return reply(Json{{"plan", nullptr},
                      {"estimate", nullptr},
                      {"note", "planned when the jobs it depends on are completed"}});
  }
  const std::string folder = fmt::format("{}/tmp/plan-{}", config_.state_dir, random_());
  if (const auto made = make_folders(folder); !made) return reply(fail(made.error()));
  Json body = {{"job", std::move(*description)}, {"path", folder}};
  data_.request(
      "plan", std::move(body),
      [this, folder, operation = spec->operation, reply = std::move(reply)](Result<Json> answer) {
        (void)remove_all(folder);
        if (!answer) return reply(fail(answer.error()));
        Json plan = plan_json(*answer);
        const auto bytes = plan["input_bytes"].get<std::uint64_t>();
        Json cost = estimate(operation, bytes);
        cost["tasks"] = plan["tasks"];
        cost["bytes"] = bytes;
        reply(Json{{"plan", std::move(plan)}, {"estimate", std::move(cost)}});
      });
}

void Engine::retry(const JobId& id, const Json& body, const api::Repeat& repeat,
                   api::Reply<api::SubmitAnswer> reply) {
  const auto job = find(id);
  if (!job) return reply(fail(job.error()));
  if (is_final(job->state.status) && active_.contains(id)) {
    Error e(Code::kUnavailable, fmt::format("the end of job {} is being written", id.text()),
            "send the request again in a moment");
    e.retry_after_seconds = 1;
    return reply(fail(std::move(e)));
  }
  if (!is_final(job->state.status))
    return reply(fail(Code::kConflict,
                      fmt::format("job {} is {}; only a job that is over is done again", id.text(),
                                  name(job->state.status)),
                      "wait for its end, or cancel it first"));
  auto request = parse_retry(body, job->spec, catalog_);
  if (!request) return reply(fail(request.error()));
  request->idempotency_key = repeat.key;
  submit(std::move(*request), repeat.caller, repeat.body_hash, std::move(reply));
}

// ---- logs ----

// What is known of a job that nothing was said about yet. Most jobs come and go without a word, and
// without a file.
void Engine::begin_log(const JobSpec& spec, const JobState& state) {
  if (log_.has(spec.id)) return;
  log_.say(spec.id, {"info", "", "", 0, "pending", spec.created_at});
  if (state.started_at) log_.say(spec.id, {"info", "", "", 0, "running", state.started_at});
  if (is_final(state.status)) log_.say(spec.id, state_line(state));
}

Result<api::LogPage> Engine::job_log(const JobId& id, const api::LogQuery& query) {
  POLYSOME_ASSIGN(const StoredJob job, find(id));
  // A job whose end is on its way to the disk has its last line then.
  const auto it = active_.find(id);
  if (it == active_.end() || !it->second.ending) begin_log(job.spec, job.state);
  return log_.read(id, query);
}

std::optional<std::uint64_t> Engine::follow_log(const JobId& id,
                                                std::function<void(bool over)> told) {
  const auto it = active_.find(id);
  if (it == active_.end()) return std::nullopt;
  if (!it->second.ending) begin_log(it->second.spec, it->second.state);
  return log_.follow(id, std::move(told));
}

void Engine::log_task(const TaskRef& task, JobLog::Line line) {
  if (const auto it = active_.find(task.job); it != active_.end())
    begin_log(it->second.spec, it->second.state);
  if (const auto view = core_->job(task.job, mono_now()); view && task.stage < view->stages.size())
    line.task = fmt::format("{}/{}", view->stages[task.stage].name, task.index);
  log_.say(task.job, line);
}

void Engine::note_logged(const report::TaskLogged& r) {
  if (r.level == "error" || r.level == "warning")
    log::warning("{} {}: {}", r.worker.text(), r.attempt, r.message);
  else
    log::debug("{} {}: {}", r.worker.text(), r.attempt, r.message);
  const auto attempt = AttemptId::parse(r.attempt);
  if (const auto task = attempt ? running_.find(*attempt) : running_.end(); task != running_.end())
    log_task(task->second.task, {r.level, r.worker.text(), "", 0, r.message});
}

void Engine::count_reused(const JobId& id) {
  if (const auto job = active_.find(id); job != active_.end()) ++job->second.state.reused_tasks;
}

void Engine::log_state(const JobId& id, const JobState& state) {
  if (log_.has(id)) log_.say(id, state_line(state));
}

}  // namespace polysome
