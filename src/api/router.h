// The table of routes: finds the one for a request, tells who calls (access.h), refuses unknown
// paths, methods and query parameters by naming the nearest known ones. Loop thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/access.h"
#include "api/http_message.h"
#include "base/error.h"

namespace polysome::api {

inline constexpr std::string_view kBase = "/api/processing";

// A request at its route; `ids` are what stood for the pattern's {…} parts, decoded.
struct Call {
  const HttpRequest& request;
  std::vector<std::string> ids;
};

struct Route {
  std::string method;
  std::string pattern;  // "/api/processing/jobs/{id}/status"; a last {id*} takes all the rest
  std::string text;     // one line for people
  std::vector<std::string> query;  // names of the parameters it takes
  std::function<void(const Call&, const Responder&)> handler;
  std::optional<std::size_t> max_body = std::nullopt;  // absent: the server's limit
  // For bodies of any kind that are taken as they come: where to.
  std::function<Result<std::shared_ptr<BodySink>>(const Call&)> sink = {};
};

class Router final : public RequestHandler {
 public:
  explicit Router(AccessConfig access = {}) : access_(std::move(access)) {}

  void add(Route route);
  Access& access() { return access_; }
  const std::vector<Route>& routes() const { return routes_; }

  std::optional<HttpResponse> refuse(const HttpRequest& head) override;
  std::optional<std::size_t> body_limit(const HttpRequest& head) const override;
  Result<std::shared_ptr<BodySink>> open_sink(const HttpRequest& head) override;
  void handle(HttpRequest request, Responder responder) override;

 private:
  struct Match {
    const Route* route = nullptr;  // nullptr: the path exists, not with this method
    std::vector<std::string> ids;
    std::vector<std::string> allowed;
  };
  // nullopt: no route has such a path.
  std::optional<Match> find(const HttpRequest& request) const;
  Error no_such_path(const HttpRequest& request) const;

  std::optional<HttpResponse> refusal(const HttpRequest& head);
  HttpResponse preflight(const HttpRequest& head) const;
  void serve(HttpRequest request, const Responder& responder);

  Access access_;
  std::vector<Route> routes_;
  std::vector<std::vector<std::string>> patterns_;  // segments, beside routes_
};

}  // namespace polysome::api
