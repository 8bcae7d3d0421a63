// data/load, data/partition, data/datasets. The backend reads the bodies: a dataset's layout and
// source are its own.
#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"

namespace polysome::api {
namespace {

constexpr std::size_t kMostColumns = 1000;  // of a page, when nothing is said

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

// The part of a whole list that a page is.
Json page_of(Json body, const char* list, std::uint64_t offset, std::size_t limit) {
  Json page = Json::array();
  const std::size_t end = body[list].size();
  for (std::size_t i = offset; i < end && page.size() < limit; ++i)
    page.push_back(std::move(body[list][i]));
  const std::uint64_t next = offset + page.size();
  body[list] = std::move(page);
  body["next_page_token"] = next < end ? Json(std::to_string(next)) : Json();
  return body;
}

}  // namespace

void add_data_routes(Router& router, Backend& backend) {
  const std::string datasets = std::string(kBase) + "/data/datasets";
  add_post(router, backend, "load", "give a file, folder or glob a name", &Backend::data_load);
  add_post(router, backend, "partition", "how a dataset would be cut", &Backend::data_partition);
  router.add({"GET",
              datasets,
              "the datasets there are",
              {"limit", "page_token"},
              [&backend](const Call& call, const Responder& to) {
                QueryReader query(call.request);
                const std::size_t limit = query.limit();
                const std::uint64_t offset = query.page_offset();
                if (const auto ok = query.status(); !ok)
                  return to->send(problem_answer(ok.error()));
                to->send(json_answer(page_of(backend.datasets(), "datasets", offset, limit)));
              }});
  router.add({"GET",
              datasets + "/{id*}",
              "one dataset: a page of its columns, layout, size",
              {"limit", "page_token"},
              [&backend](const Call& call, const Responder& to) {
                QueryReader query(call.request);
                const std::size_t limit = query.limit(kMostColumns);
                const std::uint64_t offset = query.page_offset();
                if (const auto ok = query.status(); !ok)
                  return to->send(problem_answer(ok.error()));
                backend.dataset(call.ids[0], offset, limit, answer_with(to));
              }});
  Route upload = {
      "PUT",
      datasets + "/{id}/content",
      "send a dataset's content under a name",
      {"format", "replace"},
      [&backend](const Call& call, const Responder& to) {
        QueryReader query(call.request);
        const auto format =
            query.choice("format", {"csv", "tsv", "gct", "parquet", "arrow", "ndjson", "json"});
        const auto replace = query.choice("replace", {"true", "false"});
        if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
        backend.data_upload(call.ids[0], format.value_or(""), replace == "true", call.request.sink,
                            call.request.caller.user, answer_with(to));
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
