// cluster/workers/{id}/drain, exclude, readmit; cluster/autoscale and its decisions.
#include <charconv>

#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"

namespace polysome::api {
namespace {

constexpr double kLongestExclusion = 31'536'000;  // seconds

template <WorkerAction action>
void set_aside(Backend& backend, const Call& call, const Responder& to) {
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  ObjectReader r(*body, "");
  std::string reason;
  double seconds = 0;
  if (action != WorkerAction::kReadmit) reason = r.text("reason", 1000).value_or("");
  if (action == WorkerAction::kExclude)
    seconds = r.number("for_seconds", 0.001, kLongestExclusion).value_or(0);
  auto ok = r.finish();
  if (ok) ok = check_admin(call.request.caller, "set workers aside");
  if (!ok) return to->send(problem_answer(ok.error()));
  backend.set_worker_aside(call.ids[0], action, reason, seconds, answer_with(to));
}

void autoscale(Backend& backend, const Call&, const Responder& to) {
  to->send(json_answer(backend.autoscale()));
}

void set_autoscale(Backend& backend, const Call& call, const Responder& to) {
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  backend.set_autoscale(*body, answer_with(to));
}

void decisions(Backend& backend, const Call& call, const Responder& to) {
  QueryReader query(call.request);
  const std::size_t limit = query.limit();
  std::optional<std::int64_t> before;
  if (const auto token = query.text("page_token")) {
    std::int64_t id = 0;
    const auto [end, ec] = std::from_chars(token->data(), token->data() + token->size(), id);
    if (ec != std::errc() || end != token->data() + token->size() || token->empty())
      query.refuse(Error(Code::kMalformed, "page_token is not one of ours",
                         "take next_page_token of the page before"));
    before = id;
  }
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  to->send(json_answer(backend.autoscale_decisions(before, limit)));
}

}  // namespace

void add_scaling_routes(Router& router, Backend& backend) {
  const std::string base = std::string(kBase) + "/cluster/";
  const auto at = [&](const char* method, const char* path, const char* text,
                      std::vector<std::string> query,
                      void (*f)(Backend&, const Call&, const Responder&)) {
    router.add({method, base + path, text, std::move(query),
                [&backend, f](const Call& call, const Responder& to) { f(backend, call, to); }});
  };
  at("POST", "workers/{id}/drain", "no new task on this worker; running ones end", {},
     set_aside<WorkerAction::kDrain>);
  at("POST", "workers/{id}/exclude", "no task on this worker; running ones move away", {},
     set_aside<WorkerAction::kExclude>);
  at("POST", "workers/{id}/readmit", "the worker takes tasks again", {},
     set_aside<WorkerAction::kReadmit>);
  at("GET", "autoscale", "whether and between what bounds the cluster sizes itself", {}, autoscale);
  at("PUT", "autoscale", "let the cluster size itself between bounds, or not", {}, set_autoscale);
  at("GET", "autoscale/decisions", "what the autoscaler did and why, newest first",
     {"limit", "page_token"}, decisions);
}

}  // namespace polysome::api
