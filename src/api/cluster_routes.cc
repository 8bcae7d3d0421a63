// cluster/start, stop, scale, status, workers/{id}; metrics/cluster.
#include <algorithm>

#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "base/nearest.h"
#include "model/resources.h"

namespace polysome::api {
namespace {

Result<bool> read_stop(const Json& body) {
  static const std::vector<std::string> kModes{"graceful", "force"};
  ObjectReader r(body, "");
  const std::string mode = r.text("mode").value_or("graceful");
  if (std::ranges::find(kModes, mode) == kModes.end())
    r.refuse("mode", Code::kInvalid,
             "mode \"" + mode + "\" is not known" + did_you_mean(mode, kModes),
             "graceful: tasks finish or go back to the queue; force: they are ended");
  POLYSOME_TRY(r.finish());
  return mode == "force";
}

Result<int> read_scale(const Json& body) {
  ObjectReader r(body, "");
  const auto n = r.integer("n_workers", 1, kMaxWorkers);
  POLYSOME_TRY(r.finish());
  if (!n)
    return fail(Error(Code::kInvalid, "n_workers is missing", "give {\"n_workers\": 1 to 32}")
                    .at("/n_workers"));
  return static_cast<int>(*n);
}

// Reads body and `wait` with `read`, then calls `f(value, wait_seconds)`.
template <class Read, class F>
void with_body(const Call& call, const Responder& to, Read read, F f) {
  QueryReader query(call.request);
  const double wait = query.wait();
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  const auto value = read(*body);
  if (!value) return to->send(problem_answer(value.error()));
  f(*value, wait);
}

}  // namespace

void add_cluster_routes(Router& router, Backend& backend) {
  const std::string base = std::string(kBase) + "/cluster/";
  router.add({"POST",
              base + "start",
              "start the workers",
              {"wait"},
              [&backend](const Call& call, const Responder& to) {
                // The backend reads the settings: what is missing comes from its configuration.
                with_body(
                    call, to, [](const Json& body) -> Result<Json> { return body; },
                    [&](const Json& body, double wait) {
                      backend.cluster_start(body, wait, answer_with(to));
                    });
              }});
  router.add({"POST",
              base + "stop",
              "stop the workers; running jobs go back to pending",
              {"wait"},
              [&backend](const Call& call, const Responder& to) {
                with_body(call, to, read_stop, [&](bool force, double wait) {
                  backend.cluster_stop(force, wait, answer_with(to));
                });
              }});
  router.add({"POST",
              base + "scale",
              "change the number of workers",
              {"wait"},
              [&backend](const Call& call, const Responder& to) {
                with_body(call, to, read_scale, [&](int n, double wait) {
                  backend.cluster_scale(n, wait, answer_with(to));
                });
              }});
  router.add({"GET",
              base + "status",
              "the cluster and its workers",
              {},
              [&backend](const Call&, const Responder& to) {
                to->send(json_answer(backend.cluster_status()));
              }});
  router.add({"GET",
              base + "workers/{id}",
              "one worker",
              {},
              [&backend](const Call& call, const Responder& to) {
                Status status;
                const Json worker = backend.worker_status(call.ids[0], &status);
                to->send(status ? json_answer(worker) : problem_answer(status.error()));
              }});
  router.add({"GET",
              std::string(kBase) + "/metrics/cluster",
              "the newest metrics, and their history",
              {"since", "step"},
              [&backend](const Call& call, const Responder& to) {
                QueryReader query(call.request);
                const auto since = query.time("since");
                const auto step = query.number("step", 0.001, 31'536'000);
                if (const auto ok = query.status(); !ok)
                  return to->send(problem_answer(ok.error()));
                answer_with(to)(backend.cluster_metrics(since, step));
              }});
}

}  // namespace polysome::api
