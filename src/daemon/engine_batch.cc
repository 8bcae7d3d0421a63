// Many jobs at once: jobs/batch, and the jobs of batches until each has a row of its own. Long work
// goes on in slices, so that the loop answers others in between.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "daemon/engine.h"
#include "model/submit_batch.h"

namespace polysome {
namespace {

constexpr MonoTime kSliceMs = 5;
constexpr std::size_t kSliceJobs = 64;  // between two looks at the clock

Json batch_body(const StoredBatch& batch) {
  return {{"batch_id", batch.id.text()},
          {"n_jobs", batch.n_jobs},
          {"first_job_id", batch.first.text()},
          {"last_job_id", batch.last.text()},
          {"links",
           {{"jobs", "/api/processing/jobs/list?batch_id=" + batch.id.text()},
            {"cancel", "/api/processing/jobs/cancel"}}}};
}

}  // namespace

core::JobSubmitted submitted_event(const JobSpec& spec, std::uint64_t sequence) {
  core::JobSubmitted event;
  event.id = spec.id;
  event.priority = spec.priority;
  event.user = spec.user;
  event.limits = spec.limits;
  event.depends_on = spec.depends_on;
  event.sequence = sequence;
  event.held = spec.held;
  return event;
}

// Jobs with ids and sequences, nothing of them stored or counted yet.
Result<std::vector<StoredJob>> Engine::prepare_batch(std::vector<SubmitRequest> requests,
                                                     const std::string& caller,
                                                     const JobId& batch) {
  std::vector<StoredJob> jobs;
  jobs.reserve(requests.size());
  KnownDatasets known;
  std::map<std::string, std::pair<std::size_t, Priority>> users;  // jobs and highest priority
  const WallTime now = wall_now();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    auto spec = prepare(std::move(requests[i]), caller, &known);
    if (!spec) return fail(of_batch_job(std::move(spec).error(), i));
    StoredJob& job = jobs.emplace_back();
    job.spec = std::move(*spec);
    job.spec.batch = batch;
    job.spec.created_at = now;
    job.sequence = next_sequence_ + i;
    job.written = false;
    if (job.spec.held) job.state.phase = Phase::kHeld;
    auto& [n, highest] = users.try_emplace(job.spec.user, 0, Priority::kLow).first->second;
    ++n;
    highest = std::max(highest, job.spec.priority);
  }
  for (const auto& [user, what] : users)
    POLYSOME_TRY(check_queue_limits(user, what.first, what.second));
  return jobs;
}

void Engine::submit_batch(std::vector<SubmitRequest> requests, const std::string& caller,
                          const std::string& key, const std::string& body_hash,
                          api::Reply<api::SubmitAnswer> reply) {
  const std::string slot = key.empty() ? "" : caller + "\n" + key;
  const auto other_body = [&] {
    return Error(Code::kInvalid,
                 fmt::format("Idempotency-Key \"{}\" was used with another body", key),
                 "use a new key for a new request");
  };
  if (!key.empty()) {
    if (const auto pending = keys_.find(slot); pending != keys_.end()) {
      if (pending->second.body_hash != body_hash) return reply(fail(other_body()));
      pending->second.replies.push_back(std::move(reply));
      return;
    }
    if (const auto known = store_.find_key(caller, key)) {
      const auto batch = store_.batch(known->first);
      if (known->second != body_hash || !batch) return reply(fail(other_body()));
      return reply(api::SubmitAnswer{batch_body(*batch), batch->id, true});
    }
  }
  if (const auto trouble = store_.trouble()) {
    Error e = *trouble;
    if (e.code != Code::kDiskFull) e.code = Code::kUnavailable;
    e.retry_after_seconds = 10;
    return reply(fail(std::move(e)));
  }
  StoredBatch batch;
  batch.created_at = wall_now();
  batch.id = ids_.next(batch.created_at, false, random_);
  batch.user = caller;
  auto jobs = prepare_batch(std::move(requests), caller, batch.id);
  if (!jobs) return reply(fail(jobs.error()));
  batch.n_jobs = jobs->size();
  batch.first = jobs->front().spec.id;
  batch.last = jobs->back().spec.id;
  next_sequence_ += jobs->size();
  for (const auto& job : *jobs) ++pending_of_[job.spec.user];
  pending_ += jobs->size();
  if (!slot.empty()) keys_[slot].body_hash = body_hash;
  const auto kept = std::make_shared<std::vector<StoredJob>>(std::move(*jobs));
  store_.insert_batch(batch, *kept, key, body_hash,
                      [this, batch, kept, slot, reply = std::move(reply)](const Status& status) {
                        std::vector<api::Reply<api::SubmitAnswer>> replies;
                        if (!slot.empty()) {
                          replies = std::move(keys_[slot].replies);
                          keys_.erase(slot);
                        }
                        if (!status) {
                          for (const auto& job : *kept)
                            if (--pending_of_[job.spec.user] == 0) pending_of_.erase(job.spec.user);
                          pending_ -= kept->size();
                          reply(fail(status.error()));
                          for (auto& r : replies) r(fail(status.error()));
                          return;
                        }
                        batch_stored(batch, std::move(*kept));
                        const Json body = batch_body(batch);
                        reply(api::SubmitAnswer{body, batch.id, false});
                        for (auto& r : replies) r(api::SubmitAnswer{body, batch.id, true});
                      });
}

void Engine::batch_stored(const StoredBatch& batch, std::vector<StoredJob> jobs) {
  journal_.append("batch.submitted", std::nullopt, batch.user,
                  {{"batch_id", batch.id.text()},
                   {"n_jobs", batch.n_jobs},
                   {"first_job_id", batch.first.text()},
                   {"last_job_id", batch.last.text()},
                   {"user", batch.user}});
  active_.reserve(active_.size() + jobs.size());
  for (auto& job : jobs) {
    untold_.push_back(job.spec.id);
    ActiveJob& active = active_[job.spec.id];
    active.spec = std::move(job.spec);
    active.state = std::move(job.state);
    active.sequence = job.sequence;
    active.unwritten = true;
    active.told_core = false;
    active.counted = true;
  }
  unwritten_ += jobs.size();
  boost::asio::post(loop_, [this] { tell_core_more(); });
}

// Whoever looks at a job or changes it before its turn brings its turn.
void Engine::tell_core(const JobId& id) {
  const auto it = active_.find(id);
  if (it == active_.end() || it->second.told_core) return;
  it->second.told_core = true;
  const JobSpec& spec = it->second.spec;
  for (const auto& d : spec.depends_on)
    if (const auto ended = ended_as(d)) handle(core::DependencyKnown{d, *ended});
  handle(submitted_event(spec, it->second.sequence));
}

void Engine::tell_core_more() {
  const MonoTime until = mono_now() + kSliceMs;
  do {
    for (std::size_t i = 0; i < kSliceJobs && !untold_.empty(); ++i) {
      const JobId id = untold_.front();
      untold_.pop_front();
      tell_core(id);
    }
  } while (!untold_.empty() && mono_now() < until);
  if (!untold_.empty() && !shutting_down_) boost::asio::post(loop_, [this] { tell_core_more(); });
}

// The store's list, and the jobs that have no row of their own yet.
std::pair<std::vector<StoredJob>, std::uint64_t> Engine::list_all(const JobFilter& filter) {
  if (unwritten_ == 0) return store_.list_jobs(filter);
  std::vector<const ActiveJob*> found;
  std::vector<JobId> sent;
  for (const auto& [id, job] : active_) {
    if (!job.unwritten || !matches(filter, job.spec, job.state)) continue;
    if (job.row_sent)
      sent.push_back(id);
    else
      found.push_back(&job);
  }
  auto [jobs, total] = store_.list_jobs(filter, &sent);
  for (const auto& id : sent) found.push_back(&active_.at(id));
  total += found.size();
  if (filter.before)
    std::erase_if(found, [&](const ActiveJob* job) { return job->spec.id >= *filter.before; });
  const auto page =
      found.begin() + static_cast<std::ptrdiff_t>(std::min(found.size(), filter.limit));
  std::ranges::partial_sort(
      found, page, [](const ActiveJob* a, const ActiveJob* b) { return a->spec.id > b->spec.id; });
  for (auto it = found.begin(); it != page; ++it)
    jobs.push_back({(*it)->spec, (*it)->state, (*it)->sequence, false});
  std::ranges::sort(jobs,
                    [](const StoredJob& a, const StoredJob& b) { return a.spec.id > b.spec.id; });
  if (jobs.size() > filter.limit) jobs.resize(filter.limit);
  return {std::move(jobs), total};
}

}  // namespace polysome
