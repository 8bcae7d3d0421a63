#include "cli/service_client.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "base/nearest.h"
#include "cli/phrases.h"
#include "model/job.h"

namespace polysome::cli {
namespace {

constexpr std::string_view kBase = "/api/processing/";
// Jobs looked through for the end of an id.
constexpr int kMostPages = 50;
constexpr int kSubmitTries = 3;

std::string with_query(std::string path, const Query& query) {
  char before = path.find('?') == std::string::npos ? '?' : '&';
  for (const auto& [name, value] : query) {
    if (value.empty()) continue;
    path += fmt::format("{}{}={}", before, name, encode(value));
    before = '&';
  }
  return path;
}

std::string login() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : "";
}

std::string random_key() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

Error several(const std::string& name, const std::vector<std::string>& ids) {
  std::string list;
  for (std::size_t i = 0; i < ids.size() && i < 4; ++i) list += (i > 0 ? ", " : "") + ids[i];
  return {
      Code::kConflict,
      fmt::format("\"{}\" could be several jobs: {}{}", name, list, ids.size() > 4 ? ", …" : ""),
      "give more of the id"};
}

}  // namespace

bool looks_like_id(const std::string& word) {
  return word.size() >= 6 && word.size() <= 36 &&
         word.find_first_not_of("0123456789abcdefABCDEF-") == std::string::npos;
}

Error error_of_answer(const HttpAnswer& answer, const std::string& url) {
  const auto problem = parse_trusted_json(answer.body);
  if (problem && problem->is_object() && problem->contains("detail"))
    return error_from_problem(*problem);
  Code code = answer.status >= 500 ? Code::kInternal : Code::kInvalid;
  if (answer.status == 404) code = Code::kNotFound;
  if (answer.status == 503) code = Code::kUnavailable;
  return {code, fmt::format("{} answered {} without a reason", url, answer.status),
          "is this a Polysome service? polysome version shows what answers there"};
}

Result<ServiceClient> ServiceClient::open(const std::string& url, const std::string& token) {
  POLYSOME_ASSIGN(HttpClient http, HttpClient::open(url));
  http.set_token(token);
  return ServiceClient(std::move(http));
}

Result<Json> ServiceClient::ask(HttpAsk ask) {
  POLYSOME_ASSIGN(const HttpAnswer answer, http_.send(ask));
  if (answer.status < 200 || answer.status > 299) return fail(error_of_answer(answer, url()));
  auto json = parse_trusted_json(answer.body);
  if (!json)
    return fail(Code::kInternal, fmt::format("the answer of {} is not JSON", url()),
                "is this a Polysome service? polysome version shows what answers there");
  return json;
}

Result<Json> ServiceClient::get(const std::string& path, const Query& query) {
  HttpAsk get;
  get.target = with_query(std::string(kBase) + path, query);
  return ask(std::move(get));
}

Result<Json> ServiceClient::get_root(const std::string& path) {
  HttpAsk get;
  get.target = path;
  get.quiet = Millis(5'000);
  return ask(std::move(get));
}

Result<Json> ServiceClient::post(const std::string& path, const Json& body, const Query& query) {
  HttpAsk post;
  post.method = "POST";
  post.target = with_query(std::string(kBase) + path, query);
  post.body = dump(body);
  post.quiet = Millis(120'000);
  return ask(std::move(post));
}

Result<Json> ServiceClient::change(const char* method, const std::string& path, const Json& body) {
  HttpAsk put;
  put.method = method;
  put.target = std::string(kBase) + path;
  put.body = dump(body);
  return ask(std::move(put));
}

Result<Json> ServiceClient::put(const std::string& path, const Json& body) {
  return change("PUT", path, body);
}

Result<Json> ServiceClient::patch(const std::string& path, const Json& body) {
  return change("PATCH", path, body);
}

Result<Json> ServiceClient::get_any(const std::string& path) {
  HttpAsk get;
  get.target = std::string(kBase) + path;
  POLYSOME_ASSIGN(const HttpAnswer answer, http_.send(get));
  auto json = parse_trusted_json(answer.body);
  if (!json || !json->is_object() || json->contains("detail"))
    return fail(error_of_answer(answer, url()));
  return json;
}

Result<Json> ServiceClient::submit(const Json& body, const std::string& path) {
  HttpAsk post;
  post.method = "POST";
  post.target = std::string(kBase) + path;
  post.body = dump(body);
  post.headers = {{"Idempotency-Key", random_key()}};
  Result<Json> answer = ask(post);
  for (int tries = 1; tries < kSubmitTries && !answer; ++tries) {
    const bool lost = answer.error().code == Code::kUnavailable &&
                      answer.error().message.starts_with("the connection");
    if (!lost) break;
    answer = ask(post);
  }
  return answer;
}

Status ServiceClient::download(const std::string& path, const Query& query,
                               std::function<Status(std::string_view)> sink) {
  HttpAsk get;
  get.target = with_query(std::string(kBase) + path, query);
  get.sink = std::move(sink);
  get.quiet = Millis(600'000);  // the service writes the file before the first byte
  POLYSOME_ASSIGN(const HttpAnswer answer, http_.send(get));
  if (answer.status < 200 || answer.status > 299) return fail(error_of_answer(answer, url()));
  return {};
}

Result<std::string> ServiceClient::newest_job() {
  // A caller the kernel could not name is "anonymous" to the service.
  for (const std::string& user : {login(), std::string("anonymous")}) {
    POLYSOME_ASSIGN(const Json page, get("jobs/list", {{"user", user}, {"limit", "1"}}));
    if (!list_of(page, "jobs").empty()) return text_of(list_of(page, "jobs")[0], "job_id");
  }
  return fail(Code::kNotFound, fmt::format("you have no job at {} yet", url()),
              "hand one in: polysome submit OPERATION DATASET");
}

Result<std::string> ServiceClient::job_id(const std::string& name) {
  if (name == "last") return newest_job();
  std::string lower = name;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (const auto id = JobId::parse(lower)) return id->text();
  POLYSOME_ASSIGN(const Json named, get("jobs/list", {{"name", name}, {"limit", "5"}}));
  std::vector<std::string> found;
  for (const auto& job : list_of(named, "jobs")) found.push_back(text_of(job, "job_id"));
  std::vector<std::string> near;
  if (found.empty()) {
    std::string token;
    for (int page = 0; page < kMostPages; ++page) {
      POLYSOME_ASSIGN(const Json jobs,
                      get("jobs/list", {{"limit", "1000"}, {"page_token", token}}));
      for (const auto& job : list_of(jobs, "jobs")) {
        const std::string id = text_of(job, "job_id");
        if (looks_like_id(lower) && id.ends_with(lower)) found.push_back(id);
        near.push_back(short_id(id));
        if (const auto own = text_of(job, "name"); !own.empty()) near.push_back(own);
      }
      token = text_of(jobs, "next_page_token");
      if (token.empty() || !looks_like_id(lower)) break;
    }
  }
  if (found.size() > 1) return fail(several(name, found));
  if (found.size() == 1) return found.front();
  const bool too_short =
      name.size() < 6 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
  return fail(Code::kNotFound,
              fmt::format("there is no job \"{}\"{}", name, did_you_mean(lower, near)),
              too_short ? "the end of an id needs 6 characters or more; polysome list shows them"
                        : "polysome list shows the jobs there are");
}

}  // namespace polysome::cli
