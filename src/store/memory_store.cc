#include "store/memory_store.h"

#include <algorithm>
#include <ranges>

namespace polysome {
MemoryStore::MemoryStore(Post post_to_loop) : post_(std::move(post_to_loop)) {}

MemoryStore::~MemoryStore() { *alive_ = false; }

void MemoryStore::put(std::function<Status()> apply, Done done, bool refusable) {
  turn_.push_back({std::move(apply), std::move(done), refusable});
  if (turn_open_) return;
  turn_open_ = true;
  post_([this, alive = alive_] {
    if (*alive) end_turn();
  });
}

void MemoryStore::end_turn() {
  turn_open_ = false;
  std::vector<std::pair<Done, Status>> answers;
  std::deque<PendingWrite> kept;
  for (auto& write : turn_) {
    if (refusal_ && !write.refusable) {
      kept.push_back(std::move(write));
      continue;
    }
    auto status = refusal_ ? Status(fail(*refusal_)) : write.apply();
    if (write.done) answers.emplace_back(std::move(write.done), std::move(status));
  }
  turn_ = std::move(kept);
  for (const auto& [done, status] : answers) done(status);
}

void MemoryStore::refuse_writes(std::optional<Error> error) {
  refusal_ = std::move(error);
  if (!refusal_) end_turn();
}

Result<std::uint32_t> MemoryStore::next_epoch() {
  if (refusal_) return fail(*refusal_);
  return ++epoch_;
}

std::uint64_t MemoryStore::last_event_id() { return events_.empty() ? 0 : events_.rbegin()->first; }

std::uint64_t MemoryStore::last_sequence() {
  std::uint64_t last = 0;
  for (const auto& [id, job] : jobs_) last = std::max(last, job.sequence);
  for (const auto& [id, job] : unwritten_) last = std::max(last, job.sequence);
  return last;
}

std::optional<std::pair<JobId, std::string>> MemoryStore::find_key(const std::string& user,
                                                                   const std::string& key) {
  const auto it = keys_.find({user, key});
  if (it == keys_.end()) return std::nullopt;
  return it->second;
}

void MemoryStore::insert_job(const StoredJob& job, const std::string& idempotency_key,
                             const std::string& body_hash, Done done) {
  const auto apply = [this, job, key = std::pair(job.spec.user, idempotency_key),
                      body_hash]() -> Status {
    const bool keyed = !key.second.empty();
    if (jobs_.contains(job.spec.id) || (keyed && keys_.contains(key)))
      return fail(Code::kConflict, "the job or its idempotency key is stored already");
    if (keyed) keys_.emplace(key, std::pair(job.spec.id, body_hash));
    jobs_.emplace(job.spec.id, job);
    return {};
  };
  put(apply, std::move(done), true);
}

void MemoryStore::update_job(JobId id, const JobState& state, Done done) {
  const auto apply = [this, id, state]() -> Status {
    if (const auto it = jobs_.find(id); it != jobs_.end()) it->second.state = state;
    return {};
  };
  put(apply, std::move(done), false);
}

void MemoryStore::put_job(const StoredJob& job, Done done) {
  const auto apply = [this, job]() -> Status {
    unwritten_.erase(job.spec.id);
    jobs_.insert_or_assign(job.spec.id, job);
    return {};
  };
  put(apply, std::move(done), false);
}

void MemoryStore::insert_batch(const StoredBatch& batch, const std::vector<StoredJob>& jobs,
                               const std::string& idempotency_key, const std::string& body_hash,
                               Done done) {
  const auto apply = [this, batch, jobs, key = std::pair(batch.user, idempotency_key),
                      body_hash]() -> Status {
    const bool keyed = !key.second.empty();
    if (batches_.contains(batch.id) || (keyed && keys_.contains(key)))
      return fail(Code::kConflict, "the batch or its idempotency key is stored already");
    if (keyed) keys_.emplace(key, std::pair(batch.id, body_hash));
    batches_.emplace(batch.id, batch);
    for (const auto& job : jobs) unwritten_.emplace(job.spec.id, job);
    return {};
  };
  put(apply, std::move(done), true);
}

std::optional<StoredBatch> MemoryStore::batch(JobId id) {
  const auto it = batches_.find(id);
  if (it == batches_.end()) return std::nullopt;
  return it->second;
}

std::optional<StoredJob> MemoryStore::job(JobId id) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return std::nullopt;
  return it->second;
}

std::vector<StoredJob> MemoryStore::unfinished_jobs() {
  std::vector<StoredJob> jobs;
  for (const auto& [id, job] : jobs_)
    if (!is_final(job.state.status)) jobs.push_back(job);
  for (const auto& [id, job] : unwritten_) {
    jobs.push_back(job);
    jobs.back().written = false;
  }
  std::ranges::sort(jobs, {}, &StoredJob::sequence);
  return jobs;
}

std::pair<std::vector<StoredJob>, std::uint64_t> MemoryStore::list_jobs(
    const JobFilter& filter, std::vector<JobId>* perhaps) {
  if (perhaps != nullptr)
    std::erase_if(*perhaps, [this](const JobId& id) { return jobs_.contains(id); });
  std::vector<StoredJob> page;
  std::uint64_t total = 0;
  for (const auto& [id, job] : std::views::reverse(jobs_)) {
    if (!matches(filter, job.spec, job.state)) continue;
    ++total;
    if (page.size() == filter.limit || (filter.before && id >= *filter.before)) continue;
    page.push_back(job);
    if (!filter.full) page.back().state.result = Json();
  }
  return {std::move(page), total};
}

std::uint64_t MemoryStore::count_jobs() { return jobs_.size(); }

void MemoryStore::record_tasks(JobId job, std::vector<StoredTaskRange> finished) {
  const auto apply = [this, job, finished = std::move(finished)]() -> Status {
    RangeSet::Touched touched;
    for (const auto& range : finished)
      tasks_[job][range.stage].add(range.first, range.last, &touched);
    return {};
  };
  put(apply, {}, false);
}

void MemoryStore::forget_task(JobId job, std::uint32_t stage, std::uint32_t index) {
  const auto apply = [=, this]() -> Status {
    RangeSet::Touched touched;
    tasks_[job][stage].remove(index, &touched);
    return {};
  };
  put(apply, {}, false);
}

std::vector<StoredTaskRange> MemoryStore::finished_tasks(JobId job) {
  std::vector<StoredTaskRange> ranges;
  const auto it = tasks_.find(job);
  if (it == tasks_.end()) return ranges;
  for (const auto& [stage, set] : it->second)
    for (const auto& [first, last] : set.ranges()) ranges.push_back({stage, first, last});
  return ranges;
}

void MemoryStore::drop_tasks(JobId job) {
  const auto apply = [=, this]() -> Status {
    tasks_.erase(job);
    return {};
  };
  put(apply, {}, false);
}

void MemoryStore::append_events(std::vector<StoredEvent> events, Done committed) {
  const auto apply = [this, events = std::move(events)]() -> Status {
    for (const auto& e : events)
      if (events_.contains(e.id))
        return fail(Code::kConflict, "event " + std::to_string(e.id) + " is stored already");
    for (const auto& e : events) events_.emplace(e.id, e);
    return {};
  };
  put(apply, std::move(committed), false);
}

std::vector<StoredEvent> MemoryStore::events(std::uint64_t after, std::optional<JobId> job,
                                             std::size_t limit) {
  std::vector<StoredEvent> found;
  for (auto it = events_.upper_bound(after); it != events_.end() && found.size() < limit; ++it)
    if (!job || it->second.job == job) found.push_back(it->second);
  return found;
}

std::uint64_t MemoryStore::last_event_seq(JobId job) {
  for (const auto& [id, event] : std::views::reverse(events_))
    if (event.job == job) return event.seq;
  return 0;
}

std::uint64_t MemoryStore::first_event_id() { return events_.empty() ? 0 : events_.begin()->first; }

void MemoryStore::put_dataset(const StoredDataset& dataset, Done done) {
  const auto apply = [this, dataset]() -> Status {
    datasets_.insert_or_assign(dataset.id, dataset);
    return {};
  };
  put(apply, std::move(done), true);
}

void MemoryStore::remove_dataset(const std::string& id, Done done) {
  const auto apply = [this, id]() -> Status {
    datasets_.erase(id);
    return {};
  };
  put(apply, std::move(done), true);
}

std::vector<StoredDataset> MemoryStore::datasets() {
  std::vector<StoredDataset> all;
  all.reserve(datasets_.size());
  for (const auto& [id, dataset] : datasets_) all.push_back(dataset);
  return all;
}

void MemoryStore::put_setting(const std::string& key, const Json& value, Done done) {
  const auto apply = [this, key, value]() -> Status {
    settings_.insert_or_assign(key, value);
    return {};
  };
  put(apply, std::move(done), true);
}

std::optional<Json> MemoryStore::setting(const std::string& key) {
  const auto it = settings_.find(key);
  if (it == settings_.end()) return std::nullopt;
  return it->second;
}

void MemoryStore::append_metrics(WallTime timestamp, const Json& fields) {
  const auto apply = [this, timestamp, fields]() -> Status {
    metrics_.push_back({static_cast<std::int64_t>(metrics_.size()) + 1, timestamp, fields});
    return {};
  };
  put(apply, {}, false);
}

std::vector<StoredMetrics> MemoryStore::metrics(WallTime since, std::size_t limit) {
  std::vector<StoredMetrics> found;
  for (const auto& m : metrics_)
    if (m.timestamp >= since) found.push_back(m);
  std::ranges::sort(found, {}, [](const auto& m) { return std::pair(m.timestamp, m.id); });
  if (found.size() > limit) found.resize(limit);
  return found;
}

std::optional<StoredMetrics> MemoryStore::newest_metrics() {
  if (metrics_.empty()) return std::nullopt;
  // The last of the greatest timestamps.
  const auto last = std::views::reverse(metrics_);
  return *std::ranges::max_element(last, {}, &StoredMetrics::timestamp);
}

void MemoryStore::record_usage(const StoredUsage& usage) {
  const auto apply = [this, usage]() -> Status {
    usage_.push_back(usage);
    return {};
  };
  put(apply, {}, false);
}

void MemoryStore::each_usage(WallTime since, const std::function<void(const StoredUsage&)>& visit) {
  for (const auto& u : usage_)
    if (u.ended_at >= since) visit(u);
}

void MemoryStore::append_decision(const StoredDecision& decision) {
  const auto apply = [this, decision]() -> Status {
    decisions_.push_back(decision);
    decisions_.back().id = static_cast<std::int64_t>(decisions_.size());
    return {};
  };
  put(apply, {}, false);
}

std::vector<StoredDecision> MemoryStore::decisions(std::optional<std::int64_t> before,
                                                   std::size_t limit) {
  std::vector<StoredDecision> found;
  for (const auto& d : std::views::reverse(decisions_))
    if (found.size() < limit && (!before || d.id < *before)) found.push_back(d);
  return found;
}

void MemoryStore::flush(Done done) {
  put([]() -> Status { return {}; }, std::move(done), false);
}

}  // namespace polysome
