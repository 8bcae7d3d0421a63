// events and jobs/{id}/events: server-sent events. A follower replays the journal from where its
// client stopped, then goes on live; events told meanwhile are held aside and sent after, each
// once, by their ids. It lives as long as its stream's callbacks hold it.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <unordered_map>

#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "base/nearest.h"

namespace polysome::api {
namespace {

const std::vector<std::string>& event_types() {
  static const std::vector<std::string> types{"job.status",        "job.progress",
                                              "job.stalled",       "batch.submitted",
                                              "cluster.status",    "cluster.started",
                                              "cluster.stopped",   "cluster.scaled",
                                              "cluster.autoscale", "cluster.autoscale_changed",
                                              "queue.paused",      "queue.resumed",
                                              "limits.changed",    "dataset.loaded",
                                              "worker.ready",      "worker.lost",
                                              "worker.stopped",    "worker.drained",
                                              "worker.excluded",   "worker.probed",
                                              "worker.readmitted"};
  return types;
}

struct Filter {
  std::optional<JobId> job;
  std::string user;
  std::vector<std::string> types;
};

class Follower : public std::enable_shared_from_this<Follower> {
 public:
  Follower(Backend& backend, PushConfig config, Filter filter, bool ends_with_job)
      : backend_(backend),
        config_(config),
        filter_(std::move(filter)),
        ends_with_job_(ends_with_job) {}

  void open(const Responder& to) {
    stream_ = to->open_stream({"text/event-stream", ": still here\n\n", config_.heartbeat});
    const auto self = shared_from_this();
    subscription_ = backend_.subscribe(filter_.job, [weak = weak_from_this()](const Told& told) {
      if (const auto follower = weak.lock()) follower->take(told);
    });
    stream_->watch([self] { self->leave(); }, [self] { self->replay(); });
    if (subscription_) stream_->write("retry: 2000\n\n");
  }

  // Events after `last`, then live.
  void follow_from(std::uint64_t last) {
    last_ = last;
    replay();
  }
  // `first` now (a snapshot), then live.
  void follow_after(const Told& first) {
    live_ = true;
    last_ = first.id;
    write(first);
    if (ends_with_job_ && first.last_of_job) end();
  }
  void follow_now(std::uint64_t newest) {
    live_ = true;
    last_ = newest;
  }

 private:
  void take(const Told& told) {
    if (live_) return send(told);
    if (held_.size() < config_.most_held) return held_.push_back(told);
    // Too many to keep: they are in the journal, the replay goes on to them.
    held_.clear();
    again_ = true;
  }

  void replay() {
    while (subscription_ && !live_) {
      // Rests while the client has much to take; goes on when that is drained.
      if (stream_->buffered() > config_.replay_buffer) return;
      const auto page = backend_.replay(last_, filter_.job, config_.page);
      for (const auto& told : page) {
        send(told);
        if (!subscription_ || stream_->buffered() > config_.replay_buffer) return;
      }
      if (page.size() == config_.page) continue;
      if (std::exchange(again_, false)) continue;
      live_ = true;
      for (const auto& told : std::exchange(held_, {})) send(told);
    }
  }

  void send(const Told& told) {
    if (!subscription_ || told.id <= last_) return;
    last_ = told.id;
    if (passes(told)) write(told);
    if (ends_with_job_ && told.last_of_job) end();
  }

  void write(const Told& told) {
    stream_->write(fmt::format("id: {}\ndata: {}\n\n", told.id, told.envelope));
  }

  bool passes(const Told& told) {
    if (!filter_.types.empty() &&
        std::ranges::find(filter_.types, told.type) == filter_.types.end())
      return false;
    return filter_.user.empty() || owner(told) == filter_.user;
  }

  // Journaled events other than job.status don't carry their job's owner.
  std::string owner(const Told& told) {
    if (!told.user.empty() || !told.job) return told.user;
    const auto [it, fresh] = owners_.try_emplace(*told.job);
    if (fresh)
      if (const auto status = backend_.job_status(*told.job))
        it->second = status->value("user", "");
    const std::string out = it->second;
    if (owners_.size() > config_.most_held) owners_.clear();
    return out;
  }

  void end() {
    leave();
    stream_->close();
  }
  void leave() {
    if (subscription_) backend_.unsubscribe(*subscription_);
    subscription_.reset();
    held_.clear();
  }

  Backend& backend_;
  PushConfig config_;
  Filter filter_;
  bool ends_with_job_;
  std::shared_ptr<EventStream> stream_;
  std::optional<std::uint64_t> subscription_;  // nullopt: over
  std::uint64_t last_ = 0;                     // id of the newest event sent or filtered out
  bool live_ = false;
  bool again_ = false;  // held events were dropped: read on in the journal
  std::deque<Told> held_;
  std::unordered_map<JobId, std::string> owners_;
};

// A snapshot as this caller may see it.
Told shown_to(const Caller& caller, const std::string& owner, Told told) {
  if (caller.may_touch(owner)) return told;
  auto envelope = parse_trusted_json(told.envelope);
  if (!envelope || !envelope->contains("data")) return told;
  hide_from(caller, &(*envelope)["data"]);
  told.envelope = dump(*envelope);
  return told;
}

// What a client gets whose place in the journal is gone: one event that holds how things are now.
Told reset_event(Backend& backend, const std::optional<JobId>& job) {
  Told told;
  Json envelope;
  if (auto snapshot = job ? backend.snapshot(*job) : std::nullopt) {
    told = std::move(*snapshot);
    if (auto parsed = parse_trusted_json(told.envelope)) envelope = std::move(*parsed);
  } else {
    told.id = backend.newest_event();
    envelope = {
        {"id", told.id},
        {"time", format_time(wall_now())},
        {"type", ""},
        {"job_id", nullptr},
        {"data", {{"cluster", backend.cluster_status()}, {"queue", backend.queue_status(100)}}}};
  }
  told.type = "reset";
  envelope["type"] = told.type;
  told.envelope = dump(envelope);
  return told;
}

// The id of a job's final job.status, if the journal has it; `any`: it has events of the job at
// all.
std::optional<std::uint64_t> final_event(Backend& backend, const JobId& job, std::size_t page_size,
                                         bool* any) {
  std::uint64_t last = 0;
  for (;;) {
    const auto page = backend.replay(last, job, page_size);
    *any = *any || !page.empty();
    for (const auto& told : page)
      if (told.last_of_job) return told.id;
    if (page.size() < page_size) return std::nullopt;
    last = page.back().id;
  }
}

// A client that has `last` of a job that is over: has it been told all? (204 stops an EventSource.)
// A final event still on its way to the journal is waited for.
bool knows_all(Backend& backend, const JobId& job, std::uint64_t last, std::size_t page_size) {
  if (!backend.replay(last, job, 1).empty()) return false;
  bool any = false;
  const auto ended = final_event(backend, job, page_size, &any);
  return ended ? *ended <= last : !any;
}

// Whether the beginning of a job's events is gone from the journal.
bool lacks_first(Backend& backend, const JobId& job, bool over) {
  const auto first = backend.replay(0, job, 1);
  if (first.empty()) return over;
  const auto envelope = parse_trusted_json(first.front().envelope);
  return envelope && envelope->value("seq", std::uint64_t{1}) > 1;
}

Result<std::optional<std::uint64_t>> last_event_id(const HttpRequest& request) {
  const auto text = request.header("Last-Event-ID");
  if (!text || text->empty()) return std::nullopt;
  std::uint64_t id = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), id);
  if (ec != std::errc() || end != text->data() + text->size())
    return fail(Code::kMalformed,
                fmt::format("Last-Event-ID \"{}\" is not an event's id", text->substr(0, 100)),
                "send the id of the last event you got, or leave it out");
  return id;
}

// A stream of events has one form.
Status accepts_events(const HttpRequest& request) {
  const auto accept = request.header("Accept");
  const auto names = [&](std::string_view form) {
    return accept->find(form) != std::string_view::npos;
  };
  if (!accept || accept->empty() || names("text/event-stream") || names("text/*") || names("*/*"))
    return {};
  return fail(
      Code::kNotAcceptable,
      fmt::format("events are given as text/event-stream, not as {}",
                  dump(Json(std::string(accept->substr(0, 100))))),
      "send Accept: text/event-stream, or none; GET jobs/{id}/status?wait=30 waits in JSON");
}

bool is_pruned(Backend& backend, std::uint64_t last) { return backend.oldest_event() > last + 1; }

void job_events(Backend& backend, const PushConfig& config, const Call& call, const Responder& to) {
  const auto refuse = [&](const Error& e) { to->send(problem_answer(e)); };
  if (const auto ok = accepts_events(call.request); !ok) return refuse(ok.error());
  QueryReader query(call.request);
  const bool from_now = query.choice("from", {"now"}).has_value();
  if (const auto ok = query.status(); !ok) return refuse(ok.error());
  const auto last = last_event_id(call.request);
  if (!last) return refuse(last.error());
  const auto id = job_of_path(call.ids[0], backend);
  if (!id) return refuse(id.error());
  const auto status = backend.job_status(*id);
  if (!status) return refuse(status.error());
  const auto state = job_status_from_name(status->value("status", ""));
  const bool over = state && is_final(*state);
  const auto shown = [&caller = call.request.caller, owner = status->value("user", "")](Told told) {
    return shown_to(caller, owner, std::move(told));
  };

  const auto follower = std::make_shared<Follower>(backend, config, Filter{*id, {}, {}}, true);
  if (*last) {
    const bool gap = is_pruned(backend, **last);
    if (over && !gap && knows_all(backend, *id, **last, config.page))
      return to->send({204, {}, {}, false});
    follower->open(to);
    return gap ? follower->follow_after(shown(reset_event(backend, *id)))
               : follower->follow_from(**last);
  }
  if (from_now) {
    const auto snapshot = backend.snapshot(*id);
    follower->open(to);
    return snapshot ? follower->follow_after(shown(*snapshot)) : follower->follow_from(0);
  }
  const bool cut = lacks_first(backend, *id, over);
  follower->open(to);
  if (cut) return follower->follow_after(shown(reset_event(backend, *id)));
  follower->follow_from(0);
}

void all_events(Backend& backend, const PushConfig& config, const Call& call, const Responder& to) {
  const auto refuse = [&](const Error& e) { to->send(problem_answer(e)); };
  if (const auto ok = accepts_events(call.request); !ok) return refuse(ok.error());
  QueryReader query(call.request);
  Filter filter;
  if (const auto job = query.text("job_id")) {
    filter.job = JobId::parse(*job);
    if (!filter.job)
      query.refuse(Error(Code::kInvalid,
                         fmt::format("job_id \"{}\" is not a job's id", job->substr(0, 100)),
                         fmt::format("GET {}/jobs/list shows them", kBase)));
  }
  filter.user = query.text("user").value_or("");
  filter.types = query.list("type");
  for (const auto& type : filter.types)
    if (std::ranges::find(event_types(), type) == event_types().end())
      query.refuse(Error(Code::kInvalid,
                         fmt::format("type {} is not known{}", dump(Json(type.substr(0, 100))),
                                     did_you_mean(type, event_types())),
                         fmt::format("one of {}", fmt::join(event_types(), ", "))));
  if (const auto ok = query.status(); !ok) return refuse(ok.error());
  const auto last = last_event_id(call.request);
  if (!last) return refuse(last.error());

  const auto job = filter.job;
  const auto follower = std::make_shared<Follower>(backend, config, std::move(filter), false);
  follower->open(to);
  if (!*last) return follower->follow_now(backend.newest_event());
  if (is_pruned(backend, **last)) {
    const auto owner = job ? backend.job_owner(*job) : std::nullopt;
    return follower->follow_after(
        shown_to(call.request.caller, owner.value_or(""), reset_event(backend, job)));
  }
  follower->follow_from(**last);
}

}  // namespace

void add_push_routes(Router& router, Backend& backend, PushConfig config) {
  const std::string base(kBase);
  router.add({"GET",
              base + "/events",
              "server-sent events of all jobs and the cluster, from now",
              {"job_id", "user", "type"},
              [&backend, config](const Call& call, const Responder& to) {
                all_events(backend, config, call, to);
              }});
  router.add({"GET",
              base + "/jobs/{id}/events",
              "server-sent events of one job, from its first to its last",
              {"from"},
              [&backend, config](const Call& call, const Responder& to) {
                job_events(backend, config, call, to);
              }});
}

}  // namespace polysome::api
