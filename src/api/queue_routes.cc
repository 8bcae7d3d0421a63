// queue/status.
#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"

namespace polysome::api {

void add_queue_routes(Router& router, Backend& backend) {
  router.add({"GET",
              std::string(kBase) + "/queue/status",
              "what waits, in the order it would start, and why",
              {"limit"},
              [&backend](const Call& call, const Responder& to) {
                QueryReader query(call.request);
                const std::size_t limit = query.limit();
                if (const auto ok = query.status(); !ok)
                  return to->send(problem_answer(ok.error()));
                to->send(json_answer(backend.queue_status(limit)));
              }});
}

}  // namespace polysome::api
