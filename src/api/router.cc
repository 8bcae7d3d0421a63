#include "api/router.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>

#include "api/answers.h"
#include "api/guard.h"
#include "api/request_target.h"
#include "base/log.h"
#include "base/nearest.h"

namespace polysome::api {
namespace {

using Segments = std::vector<std::string>;

void append(const std::vector<Header>& more, std::vector<Header>* headers) {
  headers->insert(headers->end(), more.begin(), more.end());
}

std::vector<Header> cross_origin_headers(const std::string& page) {
  return {{"Access-Control-Allow-Origin", page},
          {"Access-Control-Expose-Headers",
           "Content-Disposition, ETag, Idempotency-Replayed, Location, Retry-After"},
          {"Vary", "Origin"}};
}

// Says with every answer that the page which made the browser call may read it.
class CrossOriginExchange final : public Exchange {
 public:
  CrossOriginExchange(Responder to, const std::string& page)
      : to_(std::move(to)), headers_(cross_origin_headers(page)) {}
  void send(HttpResponse response) override {
    append(headers_, &response.headers);
    to_->send(std::move(response));
  }
  void send_file(FileAnswer file) override {
    append(headers_, &file.headers);
    to_->send_file(std::move(file));
  }
  std::shared_ptr<EventStream> open_stream(StreamOptions options) override {
    append(headers_, &options.headers);
    return to_->open_stream(std::move(options));
  }

 private:
  Responder to_;
  std::vector<Header> headers_;
};

Segments split(std::string_view path) {
  Segments out;
  for (std::size_t at = 1; at < path.size();) {
    const auto slash = std::min(path.find('/', at), path.size());
    out.emplace_back(path.substr(at, slash - at));
    at = slash + 1;
  }
  return out;
}

bool is_id(const std::string& s) { return s.starts_with('{'); }
bool is_rest(const std::string& s) { return s.ends_with("*}"); }

// The number of literal segments if `path` fits, else -1.
int fit(const Segments& pattern, const Segments& path, std::vector<std::string>* ids) {
  int literal = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (i >= path.size()) return -1;
    if (is_rest(pattern[i])) {
      ids->push_back(fmt::format(
          "{}", fmt::join(path.begin() + static_cast<std::ptrdiff_t>(i), path.end(), "/")));
      return ids->back().empty() ? -1 : literal;
    }
    if (is_id(pattern[i])) {
      if (path[i].empty()) return -1;
      ids->push_back(path[i]);
    } else if (pattern[i] == path[i]) {
      ++literal;
    } else {
      return -1;
    }
  }
  return pattern.size() == path.size() ? literal : -1;
}

Status check_query(const Route& route, const HttpRequest& request) {
  for (auto it = request.query.begin(); it != request.query.end(); ++it) {
    const std::string& name = it->first;
    if (std::ranges::find(route.query, name) == route.query.end())
      return fail(
          Code::kInvalid,
          fmt::format("unknown query parameter \"{}\"{}", name, did_you_mean(name, route.query)),
          route.query.empty() ? "this route takes none"
                              : fmt::format("this route takes {}", fmt::join(route.query, ", ")));
    if (std::any_of(request.query.begin(), it, [&](const auto& p) { return p.first == name; }))
      return fail(Code::kInvalid, fmt::format("query parameter \"{}\" is given twice", name),
                  "give it once");
  }
  return {};
}

}  // namespace

void Router::add(Route route) {
  patterns_.push_back(split(route.pattern));
  routes_.push_back(std::move(route));
}

std::optional<Router::Match> Router::find(const HttpRequest& request) const {
  // Literal paths win over patterns: GET jobs/submit is a wrong method, not a job named "submit".
  std::optional<Match> out;
  int best = -1;
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    std::vector<std::string> ids;
    const int score = fit(patterns_[i], request.segments, &ids);
    if (score < 0 || score < best) continue;
    if (score > best) out = Match{};
    best = score;
    const Route& route = routes_[i];
    out->allowed.push_back(route.method);
    if (route.method == "GET") out->allowed.emplace_back("HEAD");
    if (route.method == request.method || (route.method == "GET" && request.method == "HEAD")) {
      out->route = &route;
      out->ids = std::move(ids);
    }
  }
  return out;
}

Error Router::no_such_path(const HttpRequest& request) const {
  const std::string path = fmt::format("/{}", fmt::join(request.segments, "/"));
  // Candidates: every route, with this path's own segments for ids where they would stand.
  std::vector<std::string> candidates;
  for (const auto& pattern : patterns_) {
    Segments with_ids = pattern;
    for (std::size_t i = 0; i < pattern.size() && i < request.segments.size(); ++i)
      if (is_id(pattern[i])) with_ids[i] = request.segments[i];
    candidates.push_back(fmt::format("/{}", fmt::join(with_ids, "/")));
  }
  std::string hint = "GET / lists the routes";
  const std::string based = fmt::format("{}{}", kBase, path);
  auto found = nearest(path, candidates);
  if (!path.starts_with(kBase))
    if (const auto below = nearest(based, candidates)) found = below;
  std::string meant = found ? fmt::format("; did you mean {}?", *found) : std::string();
  return Error(Code::kNotFound, fmt::format("there is no {}{}", path.substr(0, 200), meant),
               std::move(hint));
}

std::optional<HttpResponse> Router::refuse(const HttpRequest& head) {
  const auto page = access_.foreign_origin(head);
  if (page && head.method == "OPTIONS") return preflight(head);
  auto out = refusal(head);
  if (out && page) append(cross_origin_headers(*page), &out->headers);
  return out;
}

// A browser asks before it lets a foreign page call; the call itself still needs its right.
HttpResponse Router::preflight(const HttpRequest& head) const {
  HttpResponse out{204, cross_origin_headers(std::string(*head.header("Origin"))), {}, false};
  const auto match = find(head);
  std::vector<std::string> methods = match ? match->allowed : std::vector<std::string>{"GET"};
  append({{"Access-Control-Allow-Methods", fmt::format("{}", fmt::join(methods, ", "))},
          {"Access-Control-Allow-Headers",
           "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID"},
          {"Access-Control-Max-Age", "600"}},
         &out.headers);
  return out;
}

std::optional<HttpResponse> Router::refusal(const HttpRequest& head) {
  if (const auto caller = access_.admit(head); !caller) return problem_answer(caller.error());
  const auto match = find(head);
  const bool any_kind = match && match->route != nullptr && match->route->sink;
  const auto media =
      any_kind ? Status{} : check_media(head, static_cast<std::size_t>(head.content_length));
  if (!media) return problem_answer(media.error());
  if (!match) return problem_answer(no_such_path(head));
  if (match->route == nullptr) {
    const std::string methods = fmt::format("{}", fmt::join(match->allowed, ", "));
    HttpResponse out = problem_answer(
        Error(Code::kMethodNotAllowed,
              fmt::format("{} is not a method of /{}", head.method, fmt::join(head.segments, "/")),
              fmt::format("use {}", methods)));
    out.headers.push_back({"Allow", methods});
    return out;
  }
  if (const auto query = check_query(*match->route, head); !query)
    return problem_answer(query.error());
  return std::nullopt;
}

std::optional<std::size_t> Router::body_limit(const HttpRequest& head) const {
  const auto match = find(head);
  return match && match->route != nullptr ? match->route->max_body : std::nullopt;
}

Result<std::shared_ptr<BodySink>> Router::open_sink(const HttpRequest& head) {
  auto match = find(head);
  if (!match || match->route == nullptr || !match->route->sink) return std::shared_ptr<BodySink>();
  HttpRequest request = head;
  POLYSOME_ASSIGN(request.caller, access_.admit(head));
  return match->route->sink({request, std::move(match->ids)});
}

void Router::handle(HttpRequest request, Responder responder) {
  if (auto page = access_.foreign_origin(request))
    responder = std::make_shared<CrossOriginExchange>(std::move(responder), std::move(*page));
  serve(std::move(request), responder);
}

void Router::serve(HttpRequest request, const Responder& responder) {
  const bool any_kind = request.sink != nullptr;
  if (const auto media = any_kind ? Status{} : check_media(request, request.body.size()); !media)
    return responder->send(problem_answer(media.error()));
  auto caller = access_.admit(request);
  if (!caller) return responder->send(problem_answer(caller.error()));
  request.caller = std::move(*caller);
  auto match = find(request);
  if (!match || match->route == nullptr)
    return responder->send(problem_answer(no_such_path(request)));
  try {
    match->route->handler({request, std::move(match->ids)}, responder);
  } catch (const std::exception& e) {
    // A defect of a handler costs its own request only.
    log::error("{} {}: {}", request.method, match->route->pattern, e.what());
    responder->send(problem_answer(Error(Code::kInternal, "the service failed on this request",
                                         "this is a defect; the service's log has the reason")));
  }
}

}  // namespace polysome::api
