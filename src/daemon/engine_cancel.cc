// jobs/cancel by filter. Thousands of jobs that have not begun are cancelled by one record in the
// store, a promise: once it is committed they are over for all who ask, also after a kill. Their
// rows and events follow in slices, as fast as the store takes them; with the last the promise is
// removed.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/log.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

constexpr MonoTime kSliceMs = 5;
constexpr std::size_t kSliceJobs = 64;  // between two looks at the clock
constexpr std::size_t kMostNamed = 1000;
// So many are worth a promise.
constexpr std::size_t kManyJobs = 1000;
// Ends given to the store at once.
constexpr std::size_t kEndsAtOnce = 500;
constexpr const char* kPromises = "cancelling";

// Sorted numbers as [first, last] ranges.
Json ranges_of(std::vector<std::uint64_t> numbers) {
  std::ranges::sort(numbers);
  Json out = Json::array();
  for (const auto n : numbers)
    if (!out.empty() && out.back()[1].get<std::uint64_t>() + 1 == n)
      out.back()[1] = n;
    else
      out.push_back({n, n});
  return out;
}

bool in_ranges(const Json& ranges, std::uint64_t n) {
  return std::ranges::any_of(ranges, [n](const Json& range) {
    return range[0].get<std::uint64_t>() <= n && n <= range[1].get<std::uint64_t>();
  });
}

}  // namespace

struct Engine::CancelWork {
  std::vector<JobId> ids;
  std::size_t next = 0;
  std::string reason;
  std::uint64_t promise = 0;                // its number; 0: there is none
  std::vector<std::string> ended, unknown;  // of those that were named
  api::Reply<Json> reply;
};

void Engine::cancel_jobs(const api::CancelFilter& filter, api::Reply<Json> reply) {
  const auto work = std::make_shared<CancelWork>();
  work->reason = filter.reason;
  work->reply = std::move(reply);
  JobFilter wanted;
  wanted.status = filter.status;
  wanted.user = filter.user;
  wanted.name = filter.name;
  wanted.tag = filter.tag;
  wanted.batch = filter.batch;
  const auto take = [&](const JobId& id, ActiveJob& job) {
    if (!job.ending && matches(wanted, job.spec, job.state)) work->ids.push_back(id);
  };
  if (filter.job_ids) {
    for (const auto& id : *filter.job_ids) {
      if (const auto it = active_.find(id); it != active_.end())
        take(id, it->second);
      else
        (store_.job(id) ? work->ended : work->unknown).push_back(id.text());
    }
  } else {
    for (auto& [id, job] : active_) take(id, job);
  }
  // The last one first: none starts in the place of one that was cancelled.
  std::ranges::sort(work->ids, std::ranges::greater());
  if (work->ids.size() < kManyJobs) return cancel_some(work);
  std::vector<std::uint64_t> sequences;
  sequences.reserve(work->ids.size());
  for (const auto& id : work->ids) sequences.push_back(active_.at(id).sequence);
  work->promise = ++last_promise_;
  promises_[work->promise] = {{{"reason", work->reason}, {"jobs", ranges_of(std::move(sequences))}},
                              false};
  store_promises([this, work](const Status& status) {
    if (status) return cancel_some(work);
    promises_.erase(work->promise);
    work->reply(fail(status.error()));
  });
}

void Engine::store_promises(std::function<void(Status)> done) {
  Json list = Json::array();
  for (const auto& [number, promise] : promises_) list.push_back(promise.record);
  store_.put_setting(kPromises, list, std::move(done));
}

void Engine::cancel_some(const std::shared_ptr<CancelWork>& work) {
  const MonoTime until = mono_now() + kSliceMs;
  end_late_ = work->promise != 0;
  do {
    for (std::size_t i = 0; i < kSliceJobs && work->next < work->ids.size(); ++i) {
      const JobId id = work->ids[work->next++];
      tell_core(id);
      handle(core::CancelRequested{id, work->reason});
    }
  } while (work->next < work->ids.size() && mono_now() < until);
  end_late_ = false;
  if (work->next < work->ids.size() && !shutting_down_) {
    boost::asio::post(loop_, [this, work] { cancel_some(work); });
    return;
  }
  store_.flush([this, work](const Status& status) {
    if (!status) return work->reply(fail(status.error()));
    Json names = Json::array();
    std::size_t stopping = 0;
    for (const auto& id : work->ids) {
      const auto it = active_.find(id);
      if (it != active_.end() && !it->second.ending) ++stopping;
      if (names.size() < kMostNamed) names.push_back(id.text());
    }
    work->reply(Json{{"matched", work->ids.size()},
                     {"cancelled", work->ids.size() - stopping},
                     {"cancelling", stopping},
                     {"job_ids", std::move(names)},
                     {"ended_before", work->ended},
                     {"unknown", work->unknown}});
  });
  if (work->promise == 0) return;
  promises_.at(work->promise).kept = true;
  write_late_ends();
}

// Of a batch, not begun, without a row of its own: what became of it is in the promise.
void Engine::end_late(ActiveJob& job, JobState end) {
  job.state = std::move(end);
  count_pending(job, false);
  answer_waiters(job);
  late_ends_.push_back(job.spec.id);
}

// A few, and the next when the store has taken them: others' writes pass in between.
void Engine::write_late_ends() {
  if (writing_late_ends_) return;
  std::vector<std::uint64_t> kept;
  if (late_ends_.empty())
    for (const auto& [number, promise] : promises_)
      if (promise.kept) kept.push_back(number);
  if (late_ends_.empty() && kept.empty()) return;
  for (std::size_t i = 0; i < kEndsAtOnce && !late_ends_.empty(); ++i) {
    ActiveJob& job = active_.at(late_ends_.front());
    late_ends_.pop_front();
    commit_end(job, job.state);
  }
  writing_late_ends_ = true;
  store_.flush([this, kept](const Status& status) {
    writing_late_ends_ = false;
    if (shutting_down_) return;
    if (!status) log::error("ends of jobs could not be stored: {}", status.error().message);
    for (const auto number : kept) promises_.erase(number);
    if (!kept.empty()) store_promises({});
    write_late_ends();
  });
}

// What an earlier service had promised and not written to the end. At start, before anything runs.
void Engine::keep_promises() {
  const auto stored = store_.setting(kPromises);
  if (!stored || !stored->is_array() || stored->empty()) return;
  for (const auto& record : *stored) {
    std::vector<JobId> ids;
    for (const auto& [id, job] : active_)
      if (!job.ending && in_ranges(record["jobs"], job.sequence)) ids.push_back(id);
    std::ranges::sort(ids, std::ranges::greater());
    end_late_ = true;
    for (const auto& id : ids) handle(core::CancelRequested{id, record.value("reason", "")});
    end_late_ = false;
    promises_[++last_promise_] = {record, true};
  }
  write_late_ends();
}

}  // namespace polysome
