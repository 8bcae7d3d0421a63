// queue/status, pause, resume; resources/limits.
#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"

namespace polysome::api {
namespace {

void queue_status(Backend& backend, const Call& call, const Responder& to) {
  QueryReader query(call.request);
  const std::size_t limit = query.limit();
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  to->send(json_answer(backend.queue_status(limit)));
}

void pause(Backend& backend, const Call& call, const Responder& to) {
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  ObjectReader r(*body, "");
  const std::string reason = r.text("reason", 1000).value_or("");
  auto ok = r.finish();
  if (ok) ok = check_admin(call.request.caller, "pause the queue");
  if (!ok) return to->send(problem_answer(ok.error()));
  backend.pause_queue(reason, answer_with(to));
}

void resume(Backend& backend, const Call& call, const Responder& to) {
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  auto ok = ObjectReader(*body, "").finish();
  if (ok) ok = check_admin(call.request.caller, "resume the queue");
  if (!ok) return to->send(problem_answer(ok.error()));
  backend.resume_queue(answer_with(to));
}

void limits(Backend& backend, const Call&, const Responder& to) {
  to->send(json_answer(backend.limits()));
}

void set_limits(Backend& backend, const Call& call, const Responder& to) {
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  const auto wanted = QueueLimits::from_json(*body);
  if (!wanted) return to->send(problem_answer(wanted.error()));
  if (const auto ok = check_admin(call.request.caller, "change the limits"); !ok)
    return to->send(problem_answer(ok.error()));
  backend.set_limits(*wanted, answer_with(to));
}

}  // namespace

void add_queue_routes(Router& router, Backend& backend) {
  const std::string base(kBase);
  const auto at = [&](const char* method, const char* path, const char* text,
                      std::vector<std::string> query,
                      void (*f)(Backend&, const Call&, const Responder&)) {
    router.add({method, base + path, text, std::move(query),
                [&backend, f](const Call& call, const Responder& to) { f(backend, call, to); }});
  };
  at("GET", "/queue/status", "what waits, in the order it would start, and why", {"limit"},
     queue_status);
  at("POST", "/queue/pause", "no pending job starts until it is resumed", {}, pause);
  at("POST", "/queue/resume", "pending jobs start again", {}, resume);
  at("GET", "/resources/limits", "what users may hold at a time", {}, limits);
  at("PUT", "/resources/limits", "set what users may hold at a time", {}, set_limits);
}

}  // namespace polysome::api
