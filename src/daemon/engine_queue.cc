// The queue as people steer it: PATCH of a job, pause and resume, limits, and what queue/status
// tells.
#include <fmt/format.h>

#include <algorithm>

#include "daemon/engine.h"

namespace polysome {
namespace {

constexpr int kRetryAfterSeconds = 10;

Error over(std::string message, std::string hint) {
  Error e(Code::kTooMany, std::move(message), std::move(hint));
  e.retry_after_seconds = kRetryAfterSeconds;
  return e;
}

}  // namespace

Status Engine::check_queue_limits(const std::string& user, std::size_t more,
                                  Priority priority) const {
  const QueueLimits& limits = core_->limits();
  const UserLimits own = limits.of(user);
  const auto number = [](std::size_t n) { return fmt::format("{} job{}", n, n == 1 ? "" : "s"); };
  if (own.max_priority && static_cast<int>(priority) > *own.max_priority)
    return fail(
        over(fmt::format("limit max_priority: user \"{}\" may submit with priority {} at "
                         "most, not {}",
                         user, name(static_cast<Priority>(*own.max_priority)), name(priority)),
             "submit with a lower priority, or ask an admin for more (PUT "
             "resources/limits)"));
  const auto it = pending_of_.find(user);
  const std::size_t has = it == pending_of_.end() ? 0 : it->second;
  if (own.max_pending_jobs && has + more > static_cast<std::size_t>(*own.max_pending_jobs))
    return fail(over(
        fmt::format("limit per_user.max_pending_jobs: user \"{}\" has {} pending and adds {}; {} "
                    "may wait",
                    user, number(has), more, *own.max_pending_jobs),
        "wait until some have started, or cancel some: polysome cancel --user NAME --status "
        "pending"));
  if (limits.max_pending_jobs &&
      pending_ + more > static_cast<std::size_t>(*limits.max_pending_jobs))
    return fail(
        over(fmt::format("limit max_pending_jobs: {} pending of all users and {} to add; {} may "
                         "wait",
                         number(pending_), more, *limits.max_pending_jobs),
             "wait until some have started; queue/status shows what is before you"));
  return {};
}

void Engine::patch_job(const JobId& id, const api::JobPatch& patch, api::Reply<Json> reply) {
  auto found = find(id);
  if (!found) return reply(fail(found.error()));
  const auto it = active_.find(id);
  const bool over = it == active_.end() || it->second.ending;
  if (over && (patch.priority || patch.held))
    return reply(
        fail(Code::kConflict,
             fmt::format("job {} is {}; {} can be changed before its end only", id.text(),
                         is_final(found->state.status) ? name(found->state.status) : "ending",
                         patch.priority ? "its priority" : "held"),
             "name, tags and keep can be changed at any time"));
  if (patch.priority && *patch.priority != found->spec.priority)
    if (const auto ok = check_queue_limits(found->spec.user, 0, *patch.priority); !ok)
      return reply(fail(ok.error()));
  JobSpec& spec = it != active_.end() ? it->second.spec : found->spec;
  JobState& state = it != active_.end() ? it->second.state : found->state;
  if (patch.priority) spec.priority = *patch.priority;
  if (patch.held) spec.held = *patch.held;
  if (patch.keep) spec.keep = *patch.keep;
  if (patch.name) spec.name = *patch.name;
  if (patch.tags) spec.tags = *patch.tags;
  ++state.version;
  if (!over) {
    handle(core::JobPatched{id, patch.priority, patch.held});
    if (const auto still = active_.find(id); still != active_.end()) {
      refresh(still->second);
      answer_waiters(still->second);
    }
  }
  if (it != active_.end()) it->second.row_sent = true;
  store_.put_job({spec, state, found->sequence},
                 [this, id, reply = std::move(reply)](const Status& status) {
                   if (!status) return reply(fail(status.error()));
                   row_written(id);
                   reply(job_status(id));
                 });
}

void Engine::pause_queue(const std::string& reason, api::Reply<Json> reply) {
  handle(core::QueuePaused{reason});
  journal_.append("queue.paused", std::nullopt, "", {{"reason", reason}});
  store_.put_setting("queue", {{"paused", reason}, {"since", format_time(wall_now())}},
                     [this, reply = std::move(reply)](const Status& status) {
                       if (!status) return reply(fail(status.error()));
                       reply(queue_status(0));
                     });
}

void Engine::resume_queue(api::Reply<Json> reply) {
  handle(core::QueueResumed{});
  journal_.append("queue.resumed", std::nullopt, "", Json::object());
  store_.put_setting("queue", {{"paused", nullptr}},
                     [this, reply = std::move(reply)](const Status& status) {
                       if (!status) return reply(fail(status.error()));
                       reply(queue_status(0));
                     });
}

Json Engine::limits() { return core_->limits().to_json(); }

void Engine::set_limits(const QueueLimits& limits, api::Reply<Json> reply) {
  store_.put_setting("limits", limits.to_json(),
                     [this, limits, reply = std::move(reply)](const Status& status) {
                       if (!status) return reply(fail(status.error()));
                       handle(core::LimitsChanged{limits});
                       journal_.append("limits.changed", std::nullopt, "", limits.to_json());
                       reply(this->limits());
                     });
}

// Before jobs come back, so that none starts that must not.
void Engine::restore_queue() {
  if (const auto stored = store_.setting("limits")) {
    if (const auto limits = QueueLimits::from_json(*stored)) handle(core::LimitsChanged{*limits});
  }
  if (const auto queue = store_.setting("queue"))
    if (const auto it = queue->find("paused"); it != queue->end() && it->is_string())
      handle(core::QueuePaused{it->get<std::string>()});
}

Json Engine::queue_status(std::size_t limit) {
  Json by_priority = {{"LOW", 0}, {"NORMAL", 0}, {"HIGH", 0}, {"CRITICAL", 0}};
  std::map<Priority, std::size_t> levels;
  Json by_user = Json::object();
  const WallTime now = wall_now();
  WallTime oldest = now;
  for (const auto& [id, job] : active_) {
    if (!job.counted || job.ending) continue;
    ++levels[job.spec.priority];
    oldest = std::min(oldest, job.spec.created_at);
  }
  for (const auto& [level, n] : levels) by_priority[std::string(name(level))] = n;
  for (const auto& [user, n] : pending_of_) by_user[user] = n;
  Json users = Json::array();
  for (const auto& u : core_->users(mono_now()))
    users.push_back({{"user", u.user},
                     {"weight", u.weight},
                     {"share", u.share},
                     {"recent_usage", u.recent_usage},
                     {"pending_jobs", u.pending_jobs},
                     {"running_jobs", u.running_jobs},
                     {"cores", u.cores},
                     {"memory_bytes", u.memory}});
  Json jobs = Json::array();
  for (const auto& q : core_->queue(mono_now(), limit)) {
    const auto it = active_.find(q.id);
    const double waited =
        it == active_.end() ? 0 : static_cast<double>(now - it->second.spec.created_at) / 1000;
    jobs.push_back({{"job_id", q.id.text()},
                    {"priority", static_cast<int>(q.priority)},
                    {"priority_name", name(q.priority)},
                    {"user", q.user},
                    {"operation", it == active_.end() ? Json() : Json(it->second.spec.operation)},
                    {"position", q.position},
                    {"waiting_code", q.waiting.code},
                    {"waiting_reason", q.waiting.message},
                    {"waiting_seconds", waited},
                    {"expected_start", expected_start_json(q.waiting.expected_start)}});
  }
  const auto& paused = core_->paused();
  return {{"pending", pending_},
          {"running", core_->running_jobs()},
          {"paused", paused.has_value()},
          {"paused_reason", paused ? Json(*paused) : Json()},
          {"by_priority", std::move(by_priority)},
          {"by_user", std::move(by_user)},
          {"users", std::move(users)},
          {"oldest_wait_seconds", static_cast<double>(now - oldest) / 1000},
          {"jobs", std::move(jobs)}};
}

}  // namespace polysome
