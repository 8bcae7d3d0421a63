#include "model/resources.h"

#include <fmt/format.h>

namespace polysome {
namespace {

constexpr std::int64_t kMostJobs = 10'000'000;
constexpr std::int64_t kMostCores = static_cast<std::int64_t>(kMaxWorkers) * kMaxThreadsPerWorker;

std::optional<int> as_int(const std::optional<std::int64_t>& value) {
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

void read_user_limits(ObjectReader& r, UserLimits* out) {
  out->max_pending_jobs = as_int(r.integer("max_pending_jobs", 0, kMostJobs));
  out->max_running_jobs = as_int(r.integer("max_running_jobs", 1, kMostJobs));
  out->max_cores = as_int(r.integer("max_cores", 1, kMostCores));
  out->max_memory = r.bytes("max_memory");
  out->max_priority = as_int(r.integer("max_priority", 1, 4));
}

Json user_limits_json(const UserLimits& limits) {
  return {{"max_pending_jobs", or_null(limits.max_pending_jobs)},
          {"max_running_jobs", or_null(limits.max_running_jobs)},
          {"max_cores", or_null(limits.max_cores)},
          {"max_memory", or_null(limits.max_memory)},
          {"max_priority", or_null(limits.max_priority)}};
}

template <class T>
std::optional<T> first_of(const std::optional<T>& own, const std::optional<T>& general) {
  return own ? own : general;
}

}  // namespace

double QueueLimits::weight_of(const std::string& user) const {
  const auto it = users.find(user);
  return it == users.end() ? 1 : it->second.weight;
}

UserLimits QueueLimits::of(const std::string& user) const {
  const auto it = users.find(user);
  if (it == users.end()) return per_user;
  const UserLimits& own = it->second.own;
  return {first_of(own.max_pending_jobs, per_user.max_pending_jobs),
          first_of(own.max_running_jobs, per_user.max_running_jobs),
          first_of(own.max_cores, per_user.max_cores),
          first_of(own.max_memory, per_user.max_memory),
          first_of(own.max_priority, per_user.max_priority)};
}

Json QueueLimits::to_json() const {
  Json named = Json::object();
  for (const auto& [login, user] : users) {
    Json entry = {{"weight", user.weight}};
    // Of a user's own limits only those that are given.
    const Json own = user_limits_json(user.own);
    for (const auto& [key, value] : own.items())
      if (!value.is_null()) entry[key] = value;
    named[login] = std::move(entry);
  }
  return {{"max_pending_jobs", or_null(max_pending_jobs)},
          {"per_user", user_limits_json(per_user)},
          {"users", std::move(named)}};
}

Result<QueueLimits> QueueLimits::from_json(const Json& j) {
  QueueLimits out;
  ObjectReader r(j, "");
  out.max_pending_jobs = as_int(r.integer("max_pending_jobs", 0, kMostJobs));
  const Json* per_user = r.raw("per_user");
  const Json* users = r.raw("users");
  POLYSOME_TRY(r.finish());
  if (per_user != nullptr) {
    ObjectReader reader(*per_user, "/per_user");
    read_user_limits(reader, &out.per_user);
    POLYSOME_TRY(reader.finish());
  }
  if (users == nullptr) return out;
  if (!users->is_object())
    return fail(Error(Code::kInvalid, "users must be an object of logins",
                      "for example {\"users\": {\"ada\": {\"weight\": 2}}}")
                    .at("/users"));
  for (const auto& [login, entry] : users->items()) {
    ObjectReader reader(entry, "/users/" + login);
    User& user = out.users[login];
    user.weight = reader.number("weight", 0.001, 1000).value_or(1);
    read_user_limits(reader, &user.own);
    POLYSOME_TRY(reader.finish());
  }
  return out;
}

Json AutoscalePolicy::to_json() const {
  return {{"enabled", enabled}, {"min", min_workers}, {"max", max_workers}};
}

Result<AutoscalePolicy> AutoscalePolicy::from_json(const Json& j, const AutoscalePolicy& present) {
  AutoscalePolicy out = present;
  ObjectReader r(j, "");
  out.enabled = r.boolean("enabled").value_or(true);
  out.min_workers = static_cast<int>(r.integer("min", 1, kMaxWorkers).value_or(out.min_workers));
  out.max_workers = static_cast<int>(r.integer("max", 1, kMaxWorkers).value_or(out.max_workers));
  if (out.min_workers > out.max_workers)
    r.refuse("min", Code::kInvalid,
             fmt::format("min {} is above max {}", out.min_workers, out.max_workers),
             "give min and max from 1 to 32, min not above max");
  POLYSOME_TRY(r.finish());
  return out;
}

}  // namespace polysome
