// Jobs many at a time and changed after submission: jobs/batch, jobs/cancel, PATCH jobs/{id},
// jobs/{id}/explain.
#include <fmt/format.h>

#include <algorithm>

#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "api/submit.h"
#include "base/nearest.h"
#include "model/submit_batch.h"

namespace polysome::api {
namespace {

// A body of this size is worth reading as JSON; objects of it are as small as those of one job.
constexpr JsonLimits kBatchJson{.depth = 32, .members = 4096, .bytes = kMostBatchBytes};

void batch(Backend& backend, const Call& call, const Responder& to) {
  const auto refuse = [&](const Error& e) { to->send(problem_answer(e)); };
  auto key = idempotency_key(call.request);
  if (!key) return refuse(key.error());
  const auto body = call.request.body.empty() ? Result<Json>(Json::object())
                                              : parse_json(call.request.body, kBatchJson);
  if (!body) return refuse(body.error());
  auto requests = parse_batch(*body, backend.catalog(), backend.submit_defaults());
  if (!requests) return refuse(requests.error());
  const Caller& caller = call.request.caller;
  for (std::size_t i = 0; i < requests->size(); ++i)
    if (auto ok = check_rights(&(*requests)[i], caller, backend); !ok)
      return refuse(of_batch_job(std::move(ok).error(), i));
  backend.submit_batch(std::move(*requests), caller.user, *key,
                       key->empty() ? std::string() : hash_of(*body),
                       [to](const Result<SubmitAnswer>& answer) {
                         if (!answer) return to->send(problem_answer(answer.error()));
                         HttpResponse out = json_answer(answer->body);
                         if (answer->replayed)
                           out.headers.push_back({"Idempotency-Replayed", "true"});
                         to->send(std::move(out));
                       });
}

Result<JobPatch> read_patch(const Json& body) {
  ObjectReader r(body, "");
  JobPatch out;
  if (const Json* p = r.raw("priority")) {
    const auto priority = parse_priority(*p, "/priority");
    if (priority)
      out.priority = *priority;
    else
      r.refuse(priority.error());
  }
  out.held = r.boolean("held");
  out.keep = r.boolean("keep");
  out.name = r.text("name", 255);
  out.tags = r.texts("tags", 100);
  POLYSOME_TRY(r.finish());
  if (!out.priority && !out.held && !out.keep && !out.name && !out.tags)
    return fail(Code::kInvalid, "nothing to change is given",
                "priority, held, name, tags or keep: {\"held\": false} releases a job");
  return out;
}

void patch(Backend& backend, const Call& call, const Responder& to) {
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  const auto change = read_patch(*body);
  if (!change) return to->send(problem_answer(change.error()));
  const auto id = own_job_of_path(call, backend, "change it");
  if (!id) return to->send(problem_answer(id.error()));
  backend.patch_job(*id, *change, answer_with(to));
}

std::optional<JobId> read_id(ObjectReader& r, const char* key) {
  const auto text = r.text(key);
  if (!text) return std::nullopt;
  const auto id = JobId::parse(*text);
  if (!id) r.refuse(key, Code::kInvalid, fmt::format("{} \"{}\" is no id", key, *text));
  return id;
}

Result<CancelFilter> read_filter(const Json& body) {
  ObjectReader r(body, "");
  CancelFilter out;
  if (const auto status = r.text("status")) {
    static const std::vector<std::string> kStatuses{"pending", "running"};
    if (std::ranges::find(kStatuses, *status) == kStatuses.end())
      r.refuse("status", Code::kInvalid,
               fmt::format("jobs that are \"{}\" can't be cancelled{}", *status,
                           did_you_mean(*status, kStatuses)),
               "pending or running");
    else
      out.status = job_status_from_name(*status);
  }
  out.user = r.text("user", 255).value_or("");
  out.name = r.text("name", 255).value_or("");
  out.tag = r.text("tag", 255).value_or("");
  out.batch = read_id(r, "batch_id");
  if (const auto ids = r.texts("job_ids", 10'000)) {
    out.job_ids.emplace();
    for (std::size_t i = 0; i < ids->size(); ++i) {
      if (const auto id = JobId::parse((*ids)[i]))
        out.job_ids->push_back(*id);
      else
        r.refuse(Error(Code::kInvalid, fmt::format("\"{}\" is not a job id", (*ids)[i]))
                     .at(fmt::format("/job_ids/{}", i)));
    }
  }
  out.reason = r.text("reason").value_or("");
  POLYSOME_TRY(r.finish());
  const bool any = out.status || !out.user.empty() || !out.name.empty() || !out.tag.empty() ||
                   out.batch || out.job_ids;
  if (!any)
    return fail(
        Code::kInvalid, "no filter is given; this would cancel every job",
        "give user, status, name, tag, batch_id or job_ids; for all that wait: {\"status\": "
        "\"pending\"}");
  return out;
}

void cancel_many(Backend& backend, const Call& call, const Responder& to) {
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  auto filter = read_filter(*body);
  if (!filter) return to->send(problem_answer(filter.error()));
  const Caller& caller = call.request.caller;
  if (!caller.admin) {
    if (filter->user.empty()) filter->user = caller.user;
    if (filter->user != caller.user)
      return to->send(problem_answer(
          Error(Code::kForbidden,
                fmt::format("{} may not cancel jobs of {}", caller.user, filter->user),
                fmt::format("ask {} or an admin", filter->user))
              .at("/user")));
  }
  backend.cancel_jobs(*filter, answer_with(to));
}

void explain(Backend& backend, const Call& call, const Responder& to) {
  const auto id = job_of_path(call.ids[0], backend);
  if (!id) return to->send(problem_answer(id.error()));
  answer_with(to)(backend.explain(*id));
}

}  // namespace

void add_batch_routes(Router& router, Backend& backend) {
  const std::string base = std::string(kBase) + "/jobs/";
  const auto at = [&](const char* method, const std::string& path, const char* text,
                      void (*f)(Backend&, const Call&, const Responder&),
                      std::optional<std::size_t> max_body = std::nullopt) {
    Route route{method, base + path, text, {}, {}};
    route.handler = [&backend, f](const Call& call, const Responder& to) { f(backend, call, to); };
    route.max_body = max_body;
    router.add(std::move(route));
  };
  at("POST", "batch", "hand in up to 100,000 jobs, all or none", batch, kMostBatchBytes);
  at("POST", "cancel", "cancel all jobs of a filter", cancel_many);
  at("PATCH", "{id}", "change a job's priority, name, tags; hold or release it", patch);
  at("GET", "{id}/explain", "a job's plan, and why it waits", explain);
}

}  // namespace polysome::api
