// resources/usage, resources/recommendations, faults/statistics: what was measured and learned.
#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "base/nearest.h"

namespace polysome::api {
namespace {

void usage(Backend& backend, const Call& call, const Responder& to) {
  QueryReader query(call.request);
  const auto by = query.choice("by", {"user", "operation"});
  const auto since = query.time("since");
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  to->send(json_answer(backend.usage(by == "operation", since)));
}

void recommendations(Backend& backend, const Call& call, const Responder& to) {
  QueryReader query(call.request);
  const std::string operation = query.text("operation").value_or("");
  if (!operation.empty() && backend.catalog().find(operation) == nullptr) {
    const auto names = backend.catalog().names();
    query.refuse(
        Error(Code::kInvalid,
              "there is no operation \"" + operation + "\"" + did_you_mean(operation, names),
              "GET operations lists them"));
  }
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  to->send(json_answer(backend.recommendations(operation)));
}

void faults(Backend& backend, const Call&, const Responder& to) {
  to->send(json_answer(backend.fault_statistics()));
}

}  // namespace

void add_resource_routes(Router& router, Backend& backend) {
  const std::string base(kBase);
  const auto at = [&](const char* path, const char* text, std::vector<std::string> query,
                      void (*f)(Backend&, const Call&, const Responder&)) {
    router.add({"GET", base + path, text, std::move(query),
                [&backend, f](const Call& call, const Responder& to) { f(backend, call, to); }});
  };
  at("/resources/usage", "what ended jobs used, by user or operation", {"by", "since"}, usage);
  at("/resources/recommendations", "what jobs will need, and how large the cluster should be",
     {"operation"}, recommendations);
  at("/faults/statistics", "failed attempts by class, operation and worker", {}, faults);
}

}  // namespace polysome::api
