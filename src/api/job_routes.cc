// jobs/submit, list, {id}, {id}/status, cancel, tasks, result.
#include <fmt/format.h>

#include <algorithm>

#include "api/answers.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "api/submit.h"
#include "base/nearest.h"

namespace polysome::api {
namespace {

constexpr std::size_t kNearestAmong = 200;

void submit(Backend& backend, const Call& call, const Responder& to) {
  const auto refuse = [&](const Error& e) { to->send(problem_answer(e)); };
  const auto body = read_body(call.request);
  if (!body) return refuse(body.error());
  auto key = idempotency_key(call.request);
  if (!key) return refuse(key.error());
  auto request = read_submit(*body, call.request.caller, backend);
  if (!request) return refuse(request.error());
  request->idempotency_key = std::move(*key);
  backend.submit(std::move(*request), call.request.caller.user, hash_of(*body), answer_submit(to));
}

// If-None-Match: a list of entity tags, compared weakly, or "*".
bool names_tag(std::string_view list, std::string_view tag) {
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    std::string_view one = list.substr(0, comma);
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == tag || one == "*") return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

void send_status(Result<Json> status, const std::string& none_match, const Caller& caller,
                 const Responder& to) {
  if (!status) return to->send(problem_answer(status.error()));
  hide_from(caller, &*status);
  const std::string tag = fmt::format("\"{}\"", status->value("version", std::uint64_t{0}));
  HttpResponse out = json_answer(*status);
  if (names_tag(none_match, tag)) out = {304, {{"Cache-Control", "no-store"}}, {}, false};
  out.headers.push_back({"ETag", tag});
  to->send(std::move(out));
}

void status(Backend& backend, const Call& call, const Responder& to) {
  QueryReader query(call.request);
  const auto wait = query.number("wait", 0, kMostWaitSeconds);
  const auto after = query.integer("after", 0, INT64_MAX);
  if (after && !wait)
    query.refuse(Error(Code::kInvalid, "after goes with wait", "status?wait=30&after=VERSION"));
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  const auto id = job_of_path(call.ids[0], backend);
  if (!id) return to->send(problem_answer(id.error()));
  const std::string none_match(call.request.header("If-None-Match").value_or(""));
  if (!wait) return send_status(backend.job_status(*id), none_match, call.request.caller, to);
  backend.wait_job(*id, *wait,
                   after ? std::optional(static_cast<std::uint64_t>(*after)) : std::nullopt,
                   [to, none_match, caller = call.request.caller](Result<Json> status) {
                     send_status(std::move(status), none_match, caller, to);
                   });
}

void cancel(Backend& backend, const Call& call, const Responder& to) {
  static const std::vector<std::string> kModes{"graceful", "force"};
  const auto id = own_job_of_path(call, backend, "cancel it");
  if (!id) return to->send(problem_answer(id.error()));
  const auto body = read_body(call.request);
  if (!body) return to->send(problem_answer(body.error()));
  ObjectReader r(*body, "");
  const std::string reason = r.text("reason").value_or("");
  const std::string mode = r.text("mode").value_or("graceful");
  if (std::ranges::find(kModes, mode) == kModes.end())
    r.refuse("mode", Code::kInvalid,
             fmt::format("mode \"{}\" is not known{}", mode, did_you_mean(mode, kModes)),
             "graceful or force");
  if (const auto ok = r.finish(); !ok) return to->send(problem_answer(ok.error()));
  backend.cancel(*id, reason, mode == "force", answer_with(to));
}

void list(Backend& backend, const Call& call, const Responder& to) {
  static const std::vector<std::string> kStatuses{"pending", "running", "completed", "failed",
                                                  "cancelled"};
  QueryReader query(call.request);
  ListQuery out;
  if (const auto s = query.choice("status", kStatuses)) out.status = job_status_from_name(*s);
  if (const auto p = query.text("priority")) {
    const bool digit = p->size() == 1 && (*p)[0] >= '0' && (*p)[0] <= '9';
    const auto priority = parse_priority(digit ? Json((*p)[0] - '0') : Json(*p), "");
    if (priority) {
      out.priority = *priority;
    } else {
      Error error = priority.error();
      error.errors.clear();  // no place in a body
      query.refuse(std::move(error));
    }
  }
  out.operation = query.text("operation").value_or("");
  out.dataset_id = query.text("dataset_id").value_or("");
  out.user = query.text("user").value_or("");
  out.name = query.text("name").value_or("");
  out.tag = query.text("tag").value_or("");
  if (const auto batch = query.text("batch_id")) {
    out.batch = JobId::parse(*batch);
    if (!out.batch)
      query.refuse(Error(Code::kInvalid, fmt::format("batch_id \"{}\" is no id", *batch),
                         "it is the batch_id that jobs/batch answered"));
  }
  out.since = query.time("since");
  out.until = query.time("until");
  out.limit = query.limit();
  out.page_token = query.text("page_token").value_or("");
  out.full = query.choice("view", {"full", "basic"}) == "full";
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  auto listed = backend.list_jobs(out);
  if (listed && out.full)
    for (auto& job : (*listed)["jobs"]) hide_from(call.request.caller, &job);
  answer_with(to)(listed);
}

void tasks(Backend& backend, const Call& call, const Responder& to) {
  QueryReader query(call.request);
  const std::size_t limit = query.limit();
  const auto offset = static_cast<std::uint32_t>(query.page_offset());
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  const auto id = job_of_path(call.ids[0], backend);
  if (!id) return to->send(problem_answer(id.error()));
  answer_with(to)(backend.job_tasks(*id, offset, static_cast<std::uint32_t>(limit)));
}

void result(Backend& backend, const Call& call, const Responder& to) {
  static const std::vector<std::string> kFormats{"json",   "csv",     "tsv",
                                                 "ndjson", "parquet", "arrow"};
  QueryReader query(call.request);
  ResultQuery out;
  out.format = query.choice("format", kFormats).value_or("json");
  out.table = query.text("table").value_or("");
  out.columns = query.list("columns");
  out.where = query.text("where").value_or("");
  out.sort = query.list("sort");
  out.page_token = query.text("page_token").value_or("");
  const bool pages = out.format == "json";
  if (const auto limit = query.integer("limit", 1, pages ? kMostListed : INT64_MAX))
    out.limit = static_cast<std::uint64_t>(*limit);
  if (!pages && !out.page_token.empty())
    query.refuse(Error(
        Code::kInvalid,
        fmt::format("page_token goes with format=json; {} gives the whole table", out.format)));
  if (const auto ok = query.status(); !ok) return to->send(problem_answer(ok.error()));
  const auto id = own_job_of_path(call, backend, "see its result");
  if (!id) return to->send(problem_answer(id.error()));
  const auto answer = [to, id = *id, &backend](const Result<Download>& download) {
    if (!download) {
      // A job that has no result yet, or any more: say how it stands.
      Json more = Json::object();
      if (const auto status = backend.job_status(id);
          status && download.error().code == Code::kConflict)
        more["job_status"] = status->value("status", Json());
      more["job_id"] = id.text();
      return to->send(problem_answer(download.error(), more));
    }
    if (download->file.empty()) return to->send(json_answer(download->body));
    to->send_file({download->file, download->remove, download->content_type, download->file_name});
  };
  backend.job_result(*id, out, answer);
}

}  // namespace

Result<JobId> job_of_path(const std::string& text, Backend& backend) {
  if (const auto id = JobId::parse(text)) return *id;
  const auto known = backend.recent_job_ids(kNearestAmong);
  std::string meant;
  // People copy the last characters, as tables show them.
  if (text.size() >= 6 && text.size() < 36)
    for (const auto& k : known)
      if (k.ends_with(text)) meant = fmt::format("; did you mean \"{}\"?", k);
  if (meant.empty()) meant = did_you_mean(text, known);
  return fail(Code::kNotFound, fmt::format("there is no job \"{}\"{}", text.substr(0, 100), meant),
              fmt::format("GET {}/jobs/list shows the jobs there are", kBase));
}

Result<JobId> own_job_of_path(const Call& call, Backend& backend, std::string_view what) {
  POLYSOME_ASSIGN(const JobId id, job_of_path(call.ids[0], backend));
  const auto owner = backend.job_owner(id);
  const Caller& caller = call.request.caller;
  if (!owner || caller.may_touch(*owner)) return id;
  return fail(Code::kForbidden,
              fmt::format("job {} is {}'s; {} may not {}", id.text(), *owner, caller.user, what),
              fmt::format("ask {} or an admin, or call with a token of scope admin (polysome token "
                          "new NAME --admin)",
                          *owner));
}

void hide_from(const Caller& caller, Json* status) {
  if (!status->is_object() || caller.may_touch(status->value("user", ""))) return;
  Json hidden = Json::array();
  for (const char* key : {"parameters", "result"})
    if (const auto it = status->find(key); it != status->end()) {
      *it = nullptr;
      hidden.push_back(key);
    }
  if (!hidden.empty()) (*status)["hidden"] = std::move(hidden);
}

void add_job_routes(Router& router, Backend& backend) {
  const std::string base = std::string(kBase) + "/jobs/";
  const auto at = [&](const char* method, const std::string& path, const char* text,
                      std::vector<std::string> query,
                      void (*f)(Backend&, const Call&, const Responder&)) {
    router.add({method, base + path, text, std::move(query),
                [&backend, f](const Call& call, const Responder& to) { f(backend, call, to); }});
  };
  at("POST", "submit", "hand in a job", {}, submit);
  at("GET", "list", "jobs, newest first",
     {"status", "priority", "operation", "dataset_id", "user", "name", "tag", "batch_id", "since",
      "until", "limit", "page_token", "view"},
     list);
  at("GET", "{id}", "one job", {"wait", "after"}, status);
  at("GET", "{id}/status", "one job; waits for a change when asked", {"wait", "after"}, status);
  at("POST", "{id}/cancel", "end a job's work", {}, cancel);
  at("GET", "{id}/tasks", "a job's tasks", {"limit", "page_token"}, tasks);
  at("GET", "{id}/result", "a completed job's table, in pages or whole",
     {"table", "columns", "where", "sort", "format", "limit", "page_token"}, result);
}

}  // namespace polysome::api
