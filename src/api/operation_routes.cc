// operations, operations/{name}: what can be done with data, as data.
#include <fmt/format.h>

#include "api/answers.h"
#include "api/routes.h"
#include "base/nearest.h"
#include "model/operation_schema.h"

namespace polysome::api {
namespace {

Json full_description(const OperationDescription& operation) {
  Json out = operation.to_json();
  out["parameters_schema"] = parameters_schema(operation);
  out["links"] = {{"self", fmt::format("{}/operations/{}", kBase, operation.name)},
                  {"submit", fmt::format("{}/jobs/submit", kBase)}};
  return out;
}

void one(Backend& backend, const Call& call, const Responder& to) {
  const auto& catalog = backend.catalog();
  if (const auto* found = catalog.find(call.ids[0]))
    return to->send(json_answer(full_description(*found)));
  to->send(problem_answer(
      Error(Code::kNotFound,
            fmt::format("there is no operation \"{}\"{}", call.ids[0].substr(0, 100),
                        did_you_mean(call.ids[0], catalog.names())),
            fmt::format("GET {}/operations shows the operations there are", kBase))));
}

}  // namespace

void add_operation_routes(Router& router, Backend& backend) {
  const std::string base = std::string(kBase) + "/operations";
  router.add({"GET",
              base,
              "the operations there are and their parameters",
              {},
              [&backend](const Call&, const Responder& to) {
                Json list = Json::array();
                for (const auto& name : backend.catalog().names())
                  list.push_back(backend.catalog().find(name)->to_json());
                const std::size_t total = list.size();
                to->send(json_answer({{"operations", std::move(list)}, {"total", total}}));
              }});
  router.add({"GET",
              base + "/{name}",
              "one operation: JSON Schema of its parameters, its tables, an example",
              {},
              [&backend](const Call& call, const Responder& to) { one(backend, call, to); }});
}

}  // namespace polysome::api
