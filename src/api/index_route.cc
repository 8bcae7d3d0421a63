// "/": what there is, for people who open the address. HTML for browsers, else plain text.
#include <fmt/format.h>

#include "api/answers.h"
#include "api/routes.h"

namespace polysome::api {
namespace {

std::string query_text(const Route& route) {
  std::string out;
  for (const auto& q : route.query) out += (out.empty() ? "?" : "&") + q + "=";
  return out;
}

std::string as_text(const Router& router) {
  std::string out =
      fmt::format("Polysome {}: big omics data jobs on many workers\n\n", POLYSOME_VERSION);
  for (const auto& r : router.routes())
    out += fmt::format("{:<7}{:<46} {}\n", r.method, r.pattern + query_text(r), r.text);
  return out;
}

// Routes are ours and hold no character that HTML gives a meaning.
std::string as_html(const Router& router) {
  std::string rows;
  for (const auto& r : router.routes()) {
    const bool link = r.method == "GET" && r.pattern.find('{') == std::string::npos;
    const std::string path = link ? fmt::format("<a href=\"{0}\">{0}</a>", r.pattern) : r.pattern;
    std::string query;
    for (const auto& q : r.query) query += (query.empty() ? "" : ", ") + q;
    rows +=
        fmt::format("<tr><td>{}<td><code>{}</code><td>{}<td>{}\n", r.method, path, query, r.text);
  }
  return fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Polysome</title>"
      "<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 "
      "1rem}}"
      "td,th{{text-align:left;padding:.15rem .8rem .15rem 0}}</style>"
      "<h1>Polysome {}</h1><p>Big omics data jobs on many workers. JSON in and out.</p>"
      "<table><tr><th>Method<th>Path<th>Query<th>What it does\n{}</table></html>\n",
      POLYSOME_VERSION, rows);
}

}  // namespace

void add_index_route(Router& router) {
  router.add({"GET", "/", "this list", {}, [&router](const Call& call, const Responder& to) {
                const std::string accept(call.request.header("Accept").value_or(""));
                const bool html = accept.find("text/html") != std::string::npos;
                HttpResponse out;
                out.headers = {{"Content-Type",
                                html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8"},
                               {"Cache-Control", "no-store"}};
                if (html)
                  out.headers.push_back(
                      {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"});
                out.body = html ? as_html(router) : as_text(router);
                to->send(std::move(out));
              }});
}

}  // namespace polysome::api
