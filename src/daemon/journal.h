// Commit, then tell: events get their ids here, go to the store, and reach subscribers when they
// are committed, in order. Loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "api/backend.h"
#include "store/store.h"

namespace polysome {

class Journal {
 public:
  // Reads where the stored journal ends.
  explicit Journal(Store& store);

  // Notes an event; `user` is the job's owner (filters), last_of_job marks the final job.status.
  void append(std::string type, std::optional<JobId> job, const std::string& user, Json data,
              bool last_of_job = false);

  std::uint64_t subscribe(std::optional<JobId> job, api::Backend::Listener listener);
  void unsubscribe(std::uint64_t subscription);
  std::vector<api::Told> replay(std::uint64_t after, std::optional<JobId> job, std::size_t limit);
  // The newest committed event.
  std::uint64_t newest() const { return told_; }
  std::uint64_t oldest() const { return store_.first_event_id(); }
  void forget(JobId job) { next_seq_.erase(job); }
  // Envelope of an event that is not in the journal (a snapshot): id of the newest one.
  api::Told snapshot(JobId job, const std::string& user, Json data);

 private:
  void tell(const api::Told& told);

  Store& store_;
  std::uint64_t last_id_;
  std::uint64_t told_;
  std::unordered_map<JobId, std::uint64_t> next_seq_;
  struct Subscriber {
    std::optional<JobId> job;
    api::Backend::Listener listener;
  };
  std::map<std::uint64_t, Subscriber> subscribers_;
  std::uint64_t next_subscription_ = 1;
};

}  // namespace polysome
