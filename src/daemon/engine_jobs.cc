// Jobs as the API asks for them: submit, status, cancel, list, tasks. engine_result.cc has their
// results.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/bytes.h"
#include "base/files.h"
#include "base/nearest.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

// The smallest grant any task can work in: DuckDB's own needs and one vector of a wide table.
constexpr std::uint64_t kSmallestTask = 64'000'000;

}  // namespace

Error Engine::no_such_job(const JobId& id) {
  const auto known = recent_job_ids(200);
  Error e(Code::kNotFound,
          fmt::format("there is no job {}{}", id.text(), did_you_mean(id.text(), known)),
          "GET jobs/list, or polysome list, shows the jobs there are");
  return e;
}

Result<StoredJob> Engine::find(const JobId& id) {
  if (const auto it = active_.find(id); it != active_.end()) {
    tell_core(id);
    if (!it->second.ending) refresh(it->second);
    return StoredJob{it->second.spec, it->second.state, it->second.sequence};
  }
  if (auto job = store_.job(id)) return std::move(*job);
  return fail(no_such_job(id));
}

// How a job ended, as far as that is certain.
std::optional<JobStatus> Engine::ended_as(const JobId& id) {
  std::optional<JobStatus> status;
  if (const auto it = active_.find(id); it != active_.end())
    status = it->second.state.status;
  else if (const auto job = store_.job(id))
    status = job->state.status;
  return status && is_final(*status) ? status : std::nullopt;
}

std::vector<std::string> Engine::recent_job_ids(std::size_t most) {
  JobFilter filter;
  filter.limit = most;
  filter.full = false;
  std::vector<std::string> out;
  for (const auto& job : list_all(filter).first) out.push_back(job.spec.id.text());
  return out;
}

// Requests no cluster of this shape could ever serve are refused at once.
Status Engine::check_limits(const JobLimits& limits) const {
  const ClusterSpec& cluster =
      core_->cluster().status == "stopped" ? config_.cluster : core_->cluster().spec;
  if (limits.memory_per_worker && *limits.memory_per_worker > cluster.memory_limit)
    return fail(
        Error(Code::kInvalid,
              fmt::format(
                  "memory_per_worker {} is more than any worker has: the largest possible is {}",
                  format_bytes(*limits.memory_per_worker), format_bytes(cluster.memory_limit)),
              "ask for less, or start the cluster with a larger memory_limit")
            .at("/memory_per_worker"));
  if (limits.max_memory && *limits.max_memory < kSmallestTask)
    return fail(
        Error(Code::kInvalid,
              fmt::format("max_memory_gb {} is below the smallest possible task, {} GB",
                          static_cast<double>(*limits.max_memory) / 1e9, kSmallestTask / 1e9))
            .at("/max_memory_gb"));
  if (limits.max_memory && limits.memory_per_worker &&
      *limits.max_memory < *limits.memory_per_worker)
    return fail(
        Error(Code::kInvalid,
              fmt::format("max_memory_gb is below memory_per_worker {}: no task could ever start",
                          format_bytes(*limits.memory_per_worker)))
            .at("/max_memory_gb"));
  return {};
}

// Ceilings above what the cluster has are no error: the job gets what there is.
Json Engine::size_warnings(const JobLimits& limits) const {
  const ClusterSpec& c =
      core_->cluster().status == "stopped" ? config_.cluster : core_->cluster().spec;
  Json out = Json::array();
  const auto warn = [&](std::string message) {
    out.push_back({{"code", "larger_than_cluster"}, {"count", 1}, {"message", std::move(message)}});
  };
  const int cores = c.n_workers * c.threads_per_worker;
  const std::uint64_t memory = c.memory_limit * static_cast<std::uint64_t>(c.n_workers);
  if (limits.max_cores && *limits.max_cores > cores)
    warn(fmt::format("max_cores is {}; the cluster has {}", *limits.max_cores, cores));
  if (limits.max_memory && *limits.max_memory > memory)
    warn(fmt::format("max_memory_gb is {}; the cluster has {}", format_bytes(*limits.max_memory),
                     format_bytes(memory)));
  if (limits.n_workers && *limits.n_workers > c.n_workers)
    warn(fmt::format("n_workers is {}; the cluster has {}", *limits.n_workers, c.n_workers));
  return out;
}

Result<JobSpec> Engine::prepare(SubmitRequest request, const std::string& caller,
                                KnownDatasets* known) {
  JobSpec spec = std::move(request.spec);
  if (spec.user.empty()) spec.user = caller.empty() ? "anonymous" : caller;
  POLYSOME_TRY(check_limits(spec.limits));
  POLYSOME_TRY(check_output_name(spec));
  // A job done again reads what it read before; results of other jobs are found anew.
  const std::vector<DatasetRef> before = std::exchange(spec.datasets, {});
  for (std::size_t i = 0; i < spec.dataset_ids.size(); ++i) {
    if (i < before.size() && !before[i].source.starts_with("job:")) {
      spec.datasets.push_back(before[i]);
      continue;
    }
    const std::string pointer =
        spec.dataset_ids.size() == 1 ? "/dataset_id" : fmt::format("/dataset_id/{}", i);
    DatasetRef ref;
    if (const auto it =
            known != nullptr ? known->find(spec.dataset_ids[i]) : KnownDatasets::iterator();
        known != nullptr && it != known->end()) {
      ref = it->second;
    } else {
      POLYSOME_ASSIGN(ref, datasets_.resolve(spec.dataset_ids[i], pointer));
      if (known != nullptr) known->emplace(spec.dataset_ids[i], ref);
    }
    if (ref.source.starts_with("job:")) {
      const auto id = JobId::parse(std::string_view(ref.source).substr(4, 36));
      if (!id || (!active_.contains(*id) && !store_.job(*id)))
        return fail(Error(Code::kInvalid, fmt::format("\"{}\": there is no such job", ref.id),
                          "GET jobs/list shows the jobs there are")
                        .at(pointer));
      if (std::ranges::find(spec.depends_on, *id) == spec.depends_on.end())
        spec.depends_on.push_back(*id);
    }
    ref.layout.update(request.layout);
    spec.datasets.push_back(std::move(ref));
  }
  for (std::size_t i = 0; i < spec.depends_on.size(); ++i)
    if (!active_.contains(spec.depends_on[i]) && !store_.job(spec.depends_on[i]))
      return fail(Error(Code::kInvalid, fmt::format("depends_on names job {}, which there is not",
                                                    spec.depends_on[i].text()))
                      .at(fmt::format("/depends_on/{}", i)));
  spec.created_at = wall_now();
  spec.id = ids_.next(spec.created_at, known != nullptr, random_);
  return spec;
}

Json Engine::submit_body(const JobSpec& spec, const JobState& state) {
  const std::string base = "/api/processing/jobs/" + spec.id.text();
  const int position = core_->queue_position(spec.id);
  return {{"job_id", spec.id.text()},
          {"status", name(state.status)},
          {"queue_position", position > 0 ? Json(position) : Json()},
          {"priority", static_cast<int>(spec.priority)},
          {"links",
           {{"self", base},
            {"status", base + "/status"},
            {"events", base + "/events"},
            {"result", base + "/result"},
            {"cancel", base + "/cancel"}}}};
}

void Engine::submit(SubmitRequest request, const std::string& caller, const std::string& body_hash,
                    api::Reply<api::SubmitAnswer> reply) {
  const std::string key = request.idempotency_key;
  const auto other_body = [&] {
    return Error(Code::kInvalid,
                 fmt::format("Idempotency-Key \"{}\" was used with another body", key),
                 "use a new key for a new request");
  };
  std::string slot;
  if (!key.empty()) {
    slot = caller + "\n" + key;
    if (const auto pending = keys_.find(slot); pending != keys_.end()) {
      if (pending->second.body_hash != body_hash) return reply(fail(other_body()));
      pending->second.replies.push_back(std::move(reply));
      return;
    }
    if (const auto known = store_.find_key(caller, key)) {
      if (known->second != body_hash) return reply(fail(other_body()));
      const auto job = find(known->first);
      if (!job) return reply(fail(job.error()));
      return reply(api::SubmitAnswer{submit_body(job->spec, job->state), known->first, true});
    }
  }
  if (const auto trouble = store_.trouble()) {
    Error e = *trouble;
    if (e.code != Code::kDiskFull) e.code = Code::kUnavailable;
    e.retry_after_seconds = 10;
    return reply(fail(std::move(e)));
  }
  auto prepared = prepare(std::move(request), caller);
  if (!prepared) return reply(fail(prepared.error()));
  if (const auto ok = check_queue_limits(prepared->user, 1, prepared->priority); !ok)
    return reply(fail(ok.error()));
  StoredJob job;
  job.spec = std::move(*prepared);
  if (job.spec.held) job.state.phase = Phase::kHeld;
  job.state.warnings = size_warnings(job.spec.limits);
  job.sequence = next_sequence_++;
  const JobId id = job.spec.id;
  if (!slot.empty()) keys_[slot].body_hash = body_hash;
  ActiveJob& active = active_[id];
  active.spec = job.spec;
  active.state = job.state;
  active.sequence = job.sequence;
  count_pending(active, true);
  store_.insert_job(
      job, key, body_hash, [this, id, slot, reply = std::move(reply)](const Status& status) {
        std::vector<api::Reply<api::SubmitAnswer>> replies;
        if (!slot.empty()) {
          replies = std::move(keys_[slot].replies);
          keys_.erase(slot);
        }
        if (!status) {
          count_pending(active_.at(id), false);
          active_.erase(id);
          reply(fail(status.error()));
          for (auto& r : replies) r(fail(status.error()));
          return;
        }
        ActiveJob& known = active_.at(id);
        journal_.append("job.status", id, known.spec.user,
                        {{"status", "pending"},
                         {"phase", name(known.state.phase)},
                         {"progress", 0.0},
                         {"user", known.spec.user}});
        for (const auto& d : known.spec.depends_on)
          if (const auto ended = ended_as(d)) handle(core::DependencyKnown{d, *ended});
        const JobSpec spec = known.spec;
        handle(submitted_event(spec, known.sequence));
        const auto it = active_.find(id);
        const api::SubmitAnswer answer{
            submit_body(spec, it != active_.end() ? it->second.state : JobState{}), id, false};
        reply(answer);
        for (auto& r : replies) r(api::SubmitAnswer{answer.body, id, true});
      });
}

Result<Json> Engine::job_status(const JobId& id) {
  POLYSOME_ASSIGN(const StoredJob job, find(id));
  return status_json(job.spec, job.state);
}

std::optional<std::string> Engine::job_owner(const JobId& id) {
  if (const auto it = active_.find(id); it != active_.end()) return it->second.spec.user;
  if (const auto job = store_.job(id)) return job->spec.user;
  return std::nullopt;
}

std::optional<api::Told> Engine::snapshot(const JobId& id) {
  const auto job = find(id);
  if (!job) return std::nullopt;
  auto told = journal_.snapshot(id, job->spec.user, status_json(job->spec, job->state));
  told.last_of_job = is_final(job->state.status);
  return told;
}

void Engine::wait_job(const JobId& id, double seconds, std::optional<std::uint64_t> after,
                      api::Reply<Json> reply) {
  const auto job = find(id);
  if (!job) return reply(fail(job.error()));
  const auto it = active_.find(id);
  const bool now =
      is_final(job->state.status) || (after && job->state.version > *after) || seconds <= 0;
  if (it == active_.end() || now) return reply(status_json(job->spec, job->state));
  Waiter& waiter = it->second.waiters.emplace_back();
  waiter.id = next_waiter_++;
  waiter.after = after;
  waiter.reply = std::move(reply);
  waiter.timer = std::make_unique<boost::asio::steady_timer>(loop_);
  waiter.timer->expires_after(Millis(static_cast<std::int64_t>(seconds * 1000)));
  waiter.timer->async_wait([this, id, n = waiter.id](const boost::system::error_code& ec) {
    if (ec) return;
    const auto found = active_.find(id);
    if (found == active_.end()) return;
    auto& waiters = found->second.waiters;
    const auto w = std::ranges::find(waiters, n, &Waiter::id);
    if (w == waiters.end()) return;
    const auto answer = std::move(w->reply);
    waiters.erase(w);
    if (!found->second.ending) refresh(found->second);
    answer(status_json(found->second.spec, found->second.state));
  });
}

void Engine::cancel(const JobId& id, const std::string& reason, bool force,
                    api::Reply<Json> reply) {
  (void)force;  // both stop the work within a second; a task that does not listen loses its process
  const auto job = find(id);
  if (!job) return reply(fail(job.error()));
  if (job->state.status == JobStatus::kCancelled) return reply(status_json(job->spec, job->state));
  if (is_final(job->state.status) || (active_.contains(id) && active_.at(id).ending)) {
    const auto status =
        is_final(job->state.status) ? name(job->state.status) : std::string_view("ending");
    return reply(fail(Code::kConflict, fmt::format("job {} is {} already", id.text(), status),
                      "there is nothing to cancel; GET jobs/{id}/status says how it ended"));
  }
  tell_core(id);
  handle(core::CancelRequested{id, reason});
  wait_job(id, 1.0, std::nullopt, std::move(reply));
}

Result<Json> Engine::list_jobs(const api::ListQuery& query) {
  JobFilter filter;
  filter.status = query.status;
  filter.priority = query.priority;
  filter.operation = query.operation;
  filter.dataset_id = query.dataset_id;
  filter.user = query.user;
  filter.name = query.name;
  filter.tag = query.tag;
  filter.batch = query.batch;
  filter.since = query.since;
  filter.until = query.until;
  filter.limit = query.limit + 1;
  filter.full = query.full;
  if (!query.page_token.empty()) {
    filter.before = JobId::parse(query.page_token);
    if (!filter.before)
      return fail(Code::kMalformed, "page_token is not one of ours",
                  "take next_page_token of the page before");
  }
  auto [jobs, total] = list_all(filter);
  Json out = {{"jobs", Json::array()}, {"total", total}, {"next_page_token", nullptr}};
  if (jobs.size() > query.limit) {
    jobs.resize(query.limit);
    out["next_page_token"] = jobs.back().spec.id.text();
  }
  for (auto& job : jobs) {
    if (const auto it = active_.find(job.spec.id); it != active_.end())
      job.state = it->second.state;
    out["jobs"].push_back(status_json(job.spec, job.state, query.full));
  }
  return out;
}

Result<Json> Engine::job_tasks(const JobId& id, std::uint32_t offset, std::uint32_t limit) {
  POLYSOME_ASSIGN(const StoredJob job, find(id));
  Json list = Json::array();
  std::uint64_t total = 0;
  if (active_.contains(id) && !active_.at(id).ending) {
    for (const auto& t : core_->tasks(id, offset, limit, &total))
      list.push_back({{"stage", t.stage},
                      {"index", t.index},
                      {"task", fmt::format("{}/{}", t.stage, t.index)},
                      {"state", name(t.state)},
                      {"attempt", t.attempt},
                      {"worker", t.worker.empty() ? Json() : Json(t.worker)},
                      {"bytes_done", t.bytes_done}});
  } else {
    for (const auto& s : job.state.stages) {
      for (std::uint64_t i = 0; i < s.tasks_total; ++i, ++total)
        if (total >= offset && list.size() < limit)
          list.push_back({{"stage", s.name},
                          {"index", i},
                          {"task", fmt::format("{}/{}", s.name, i)},
                          {"state", i < s.tasks_done ? "finished" : "waiting"},
                          {"attempt", nullptr},
                          {"worker", nullptr},
                          {"bytes_done", nullptr}});
    }
  }
  const std::uint64_t next = offset + list.size();
  return Json{{"job_id", id.text()},
              {"tasks", std::move(list)},
              {"total", total},
              {"next_page_token", next < total ? Json(std::to_string(next)) : Json()}};
}

}  // namespace polysome
