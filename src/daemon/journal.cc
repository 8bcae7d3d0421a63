#include "daemon/journal.h"

#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace polysome {

Journal::Journal(Store& store) : store_(store), last_id_(store.last_event_id()), told_(last_id_) {}

void Journal::append(std::string type, std::optional<JobId> job, const std::string& user, Json data,
                     bool last_of_job) {
  StoredEvent event;
  event.id = ++last_id_;
  event.time = wall_now();
  event.type = std::move(type);
  event.job = job;
  if (job) {
    const auto [it, fresh] = next_seq_.try_emplace(*job, 0);
    if (fresh) it->second = store_.last_event_seq(*job);
    event.seq = ++it->second;
  }
  event.data = std::move(data);
  api::Told told{event.id, event.job, event.type, user, dump(event.envelope()), last_of_job};
  store_.append_events({std::move(event)}, [this, told = std::move(told)](Status status) {
    if (!status) {
      log::error("event {} could not be stored: {}", told.id, status.error().message);
      return;
    }
    told_ = told.id;
    tell(told);
  });
}

void Journal::tell(const api::Told& told) {
  // A listener may unsubscribe itself or others: walk by key.
  std::uint64_t at = 0;
  for (;;) {
    const auto it = subscribers_.upper_bound(at);
    if (it == subscribers_.end()) return;
    at = it->first;
    if (it->second.job && it->second.job != told.job) continue;
    const auto listener = it->second.listener;
    listener(told);
  }
}

std::uint64_t Journal::subscribe(std::optional<JobId> job, api::Backend::Listener listener) {
  subscribers_.emplace(next_subscription_, Subscriber{job, std::move(listener)});
  return next_subscription_++;
}

void Journal::unsubscribe(std::uint64_t subscription) { subscribers_.erase(subscription); }

std::vector<api::Told> Journal::replay(std::uint64_t after, std::optional<JobId> job,
                                       std::size_t limit) {
  std::vector<api::Told> out;
  for (const auto& e : store_.events(after, job, limit)) {
    // Events after told_ are committed but their callbacks have not run: subscribers get them live.
    if (e.id > told_) break;
    bool last = false;
    if (e.type == "job.status" && e.data.contains("status")) {
      const auto status = job_status_from_name(e.data["status"].get<std::string>());
      last = status && is_final(*status);
    }
    std::string user;
    if (const auto it = e.data.find("user"); it != e.data.end() && it->is_string())
      user = it->get<std::string>();
    out.push_back({e.id, e.job, e.type, std::move(user), dump(e.envelope()), last});
  }
  return out;
}

api::Told Journal::snapshot(JobId job, const std::string& user, Json data) {
  StoredEvent event;
  event.id = told_;
  event.time = wall_now();
  event.type = "job.status";
  event.job = job;
  event.data = std::move(data);
  return {event.id, job, event.type, user, dump(event.envelope()), false};
}

}  // namespace polysome
