// health, and the root's livez, readyz, version.
#include "api/answers.h"
#include "api/routes.h"

namespace polysome::api {

void add_health_routes(Router& router, Backend& backend) {
  router.add({"GET",
              std::string(kBase) + "/health",
              "healthy, degraded or unhealthy, and why",
              {},
              [&backend](const Call&, const Responder& to) {
                int status = 200;
                const Json body = backend.health(&status);
                to->send(json_answer(body, status));
              }});
  router.add({"GET", "/livez", "the service answers", {}, [](const Call&, const Responder& to) {
                to->send(json_answer({{"status", "alive"}}));
              }});
  router.add({"GET",
              "/readyz",
              "the service takes jobs",
              {},
              [&backend](const Call&, const Responder& to) {
                std::string why_not;
                if (backend.ready(&why_not)) return to->send(json_answer({{"status", "ready"}}));
                Error error(Code::kUnavailable, "the service is not ready: " + why_not,
                            "try again");
                error.retry_after_seconds = 1;
                to->send(problem_answer(error));
              }});
  router.add(
      {"GET", "/version", "name and version", {}, [&backend](const Call&, const Responder& to) {
         to->send(json_answer(backend.version()));
       }});
}

}  // namespace polysome::api
