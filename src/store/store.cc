#include "store/store.h"

#include <algorithm>

namespace polysome {

Json StoredEvent::envelope() const {
  return {{"id", id},
          {"time", format_time(time)},
          {"type", type},
          {"job_id", job ? Json(job->text()) : Json()},
          {"seq", job ? Json(seq) : Json()},
          {"data", data}};
}

bool matches(const JobFilter& f, const JobSpec& s, const JobState& state) {
  const auto holds = [](const std::vector<std::string>& list, const std::string& value) {
    return value.empty() || std::ranges::find(list, value) != list.end();
  };
  return (!f.status || state.status == *f.status) && (!f.priority || s.priority == *f.priority) &&
         (f.operation.empty() || s.operation == f.operation) &&
         (f.user.empty() || s.user == f.user) && (f.name.empty() || s.name == f.name) &&
         (!f.batch || s.batch == f.batch) && holds(s.dataset_ids, f.dataset_id) &&
         holds(s.tags, f.tag) && (!f.since || s.created_at >= *f.since) &&
         (!f.until || s.created_at < *f.until);
}

}  // namespace polysome
