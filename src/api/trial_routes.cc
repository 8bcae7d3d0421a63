// jobs/validate and jobs/{id}/retry: what a submit would do, and a job once more.
#include <fmt/format.h>

#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "api/submit.h"

namespace polysome::api {
namespace {

Json verdict(const Error& error) {
  Json problem = problem_json(error);
  Json errors = problem.value("errors", Json::array());
  if (errors.empty()) errors.push_back({{"pointer", ""}, {"message", error.message}});
  return {{"valid", false},
          {"errors", std::move(errors)},
          {"problem", std::move(problem)},
          {"plan", nullptr},
          {"estimate", nullptr}};
}

// Wrong requests are what this route is for, so they are answers; unreadable ones are refused.
void validate(Backend& backend, const Call& call, const Responder& to) {
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  auto request = read_submit(*body, call.request.caller, backend);
  if (!request) return to->send(json_answer(verdict(request.error())));
  backend.validate(std::move(*request), [to](Result<Json> plan) {
    if (plan) {
      Json out = {{"valid", true}, {"errors", Json::array()}};
      out.update(*plan);
      return to->send(json_answer(out));
    }
    const int status = info(plan.error().code).http_status;
    to->send(status == 422 || status == 409 ? json_answer(verdict(plan.error()))
                                            : problem_answer(plan.error()));
  });
}

void retry(Backend& backend, const Call& call, const Responder& to) {
  const auto refuse = [&](const Error& e) { to->send(problem_answer(e)); };
  const auto id = own_job_of_path(call, backend, "do it again");
  if (!id) return refuse(id.error());
  const auto body = read_body(call.request);
  if (!body) return refuse(body.error());
  auto key = idempotency_key(call.request);
  if (!key) return refuse(key.error());
  // The same key for another job is another request.
  Json whole = *body;
  whole["retry_of"] = id->text();
  backend.retry(*id, *body, {call.request.caller.user, *key, hash_of(whole)}, answer_submit(to));
}

}  // namespace

void add_trial_routes(Router& router, Backend& backend) {
  const std::string base = std::string(kBase) + "/jobs/";
  router.add({"POST",
              base + "validate",
              "what submit would say and do: errors, plan, estimate",
              {},
              [&backend](const Call& call, const Responder& to) { validate(backend, call, to); }});
  router.add(
      {"POST",
       base + "{id}/retry",
       "the job once more, with changes; finished tasks that need not be done again are kept",
       {},
       [&backend](const Call& call, const Responder& to) { retry(backend, call, to); }});
}

}  // namespace polysome::api
