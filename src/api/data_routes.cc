// data/load, data/partition, data/datasets. The backend reads the bodies: a dataset's layout and
// source are its own.
#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"

namespace polysome::api {
namespace {

using BodyCall = void (Backend::*)(const Json&, const std::string&, Reply<Json>);

void add_post(Router& router, Backend& backend, const char* name, const char* text, BodyCall f) {
  router.add({"POST",
              std::string(kBase) + "/data/" + name,
              text,
              {},
              [&backend, f](const Call& call, const Responder& to) {
                const auto body = read_body(call.request);
                if (!body) return to->send(problem_answer(body.error()));
                (backend.*f)(*body, call.request.caller.user, answer_with(to));
              }});
}

}  // namespace

void add_data_routes(Router& router, Backend& backend) {
  const std::string datasets = std::string(kBase) + "/data/datasets";
  add_post(router, backend, "load", "give a file, folder or glob a name", &Backend::data_load);
  add_post(router, backend, "partition", "how a dataset would be cut", &Backend::data_partition);
  router.add(
      {"GET", datasets, "the datasets there are", {}, [&backend](const Call&, const Responder& to) {
         to->send(json_answer(backend.datasets()));
       }});
  router.add({"GET",
              datasets + "/{id*}",
              "one dataset: columns, layout, size",
              {},
              [&backend](const Call& call, const Responder& to) {
                backend.dataset(call.ids[0], answer_with(to));
              }});
  Route upload = {"PUT",
                  datasets + "/{id}/content",
                  "send a dataset's content under a name",
                  {"format", "replace"},
                  [&backend](const Call& call, const Responder& to) {
                    QueryReader query(call.request);
                    const auto format =
                        query.choice("format", {"csv", "tsv", "gct", "parquet", "ndjson", "json"});
                    const auto replace = query.choice("replace", {"true", "false"});
                    if (const auto ok = query.status(); !ok)
                      return to->send(problem_answer(ok.error()));
                    backend.data_upload(call.ids[0], format.value_or(""), replace == "true",
                                        call.request.sink, call.request.caller.user,
                                        answer_with(to));
                  }};
  upload.max_body = backend.most_upload();
  upload.sink = [&backend](const Call& call) {
    return backend.open_upload(call.ids[0], call.request.content_length);
  };
  router.add(std::move(upload));
  router.add({"DELETE",
              datasets + "/{id*}",
              "forget a loaded name; files stay",
              {},
              [&backend](const Call& call, const Responder& to) {
                backend.forget_dataset(call.ids[0], answer_with(to));
              }});
}

}  // namespace polysome::api
