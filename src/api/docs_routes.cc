// /openapi.json, /docs and /docs/problems: the interface described by itself, for programs and for
// people. The pages are plain HTML with no script and no outside address.
#include <fmt/format.h>

#include "api/answers.h"
#include "api/openapi.h"
#include "api/openapi_schemas.h"
#include "api/routes.h"
#include "base/error.h"

namespace polysome::api {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

HttpResponse page(const std::string& title, const std::string& content) {
  HttpResponse out;
  out.headers = {{"Content-Type", "text/html; charset=utf-8"},
                 {"Cache-Control", "no-store"},
                 {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"}};
  out.body = fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>{0}</title><style>"
      ":root{{color-scheme:light dark}}"
      "body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}}"
      "pre{{overflow:auto;padding:.6rem;border:1px solid #8884;border-radius:4px}}"
      "code,pre{{font:13px/1.45 ui-monospace,monospace}}"
      "table{{border-collapse:collapse}}td,th{{text-align:left;vertical-align:top;"
      "padding:.15rem .9rem .15rem 0}}h2{{margin-top:2rem}}h3{{margin:1.2rem 0 .2rem}}"
      ".method{{display:inline-block;min-width:4rem;font-weight:600}}:target{{background:#fd04}}"
      "</style><h1>{0}</h1>{1}</html>\n",
      escaped(title), content);
  return out;
}

std::string type_text(const Json& schema) {
  if (schema.contains("enum")) {
    std::string out;
    for (const auto& word : schema["enum"]) {
      if (!out.empty()) out += ", ";
      out += word.is_string() ? word.get<std::string>() : dump(word);
    }
    return out;
  }
  std::string out = schema.contains("type") && schema["type"].is_string()
                        ? schema["type"].get<std::string>()
                        : "";
  if (schema.contains("minimum") && schema.contains("maximum"))
    out += fmt::format(" {} to {}", dump(schema["minimum"]), dump(schema["maximum"]));
  else if (schema.contains("minimum"))
    out += fmt::format(", at least {}", dump(schema["minimum"]));
  return out;
}

std::string route_section(const Route& route) {
  std::string out = fmt::format("<h3><span class=\"method\">{}</span><code>{}</code></h3><p>{}</p>",
                                route.method, escaped(route.pattern), escaped(route.text));
  if (route.query.empty()) return out;
  out += "<table>";
  for (const auto& name : route.query) {
    const Json schema = query_schema(name, route.pattern);
    out += fmt::format("<tr><td><code>?{}=</code><td>{}<td>{}", name, escaped(type_text(schema)),
                       escaped(schema.value("description", "")));
  }
  return out + "</table>";
}

std::string operation_section(const OperationDescription& operation) {
  std::string out = fmt::format("<h3 id=\"{0}\"><code>{0}</code></h3><p>{1}</p><table>",
                                operation.name, escaped(operation.text));
  for (const auto& p : operation.parameters) {
    std::string more(name(p.type));
    if (p.required) more += ", required";
    if (!p.default_value.is_null()) more += ", default " + dump(p.default_value);
    std::string choices;
    for (const auto& c : p.choices) choices += (choices.empty() ? "" : ", ") + c;
    out += fmt::format("<tr><td><code>{}</code><td>{}<td>{}{}", escaped(p.name), escaped(more),
                       escaped(p.text), choices.empty() ? "" : "<br>" + escaped(choices));
  }
  out += "</table>";
  if (operation.example.is_object())
    out += "<pre>POST " + std::string(kBase) + "/jobs/submit\n" +
           escaped(dump_pretty(operation.example)) + "</pre>";
  return out;
}

HttpResponse docs(const Router& router, const OperationCatalog& catalog) {
  std::string body =
      "<p>JSON in and out. <a href=\"/openapi.json\">openapi.json</a> describes all of this for "
      "programs; errors are listed at <a href=\"/docs/problems\">/docs/problems</a>.</p>"
      "<pre>curl -X POST localhost:8001/api/processing/cluster/start\n"
      "curl --json '{\"operation\":\"describe\",\"dataset_id\":\"my_dataset\"}' "
      "localhost:8001/api/processing/jobs/submit\n"
      "curl 'localhost:8001/api/processing/jobs/JOB_ID/status?wait=30'</pre>"
      "<ul><li>Sizes: 2000000000, \"2GB\" or \"512MiB\". Times: RFC 3339, UTC.</li>"
      "<li>Unknown members and parameters are errors that name the nearest known one.</li>"
      "<li>Lists: <code>limit</code> (100, at most 1000) and <code>page_token</code>; "
      "<code>next_page_token</code> is null on the last page.</li>"
      "<li><code>Idempotency-Key</code> on submit and retry: the same key and body answer the "
      "first job again.</li>"
      "<li>A job's status has an <code>ETag</code>; <code>?wait=30&amp;after=VERSION</code> "
      "answers "
      "at the next change.</li>"
      "<li>From other machines: <code>Authorization: Bearer TOKEN</code> "
      "(<code>polysome token new NAME</code>).</li></ul><h2>Routes</h2>";
  for (const auto& route : router.routes()) body += route_section(route);
  body += "<h2>Operations</h2>";
  for (const auto& name : catalog.names()) body += operation_section(*catalog.find(name));
  return page("Polysome " POLYSOME_VERSION, body);
}

HttpResponse problems() {
  std::string body =
      "<p>Every refusal is <code>application/problem+json</code> (RFC 9457): <code>code</code> is "
      "one of these, <code>detail</code> says what, where and why, <code>hint</code> the next "
      "thing "
      "to try, <code>errors</code> the places in the request or the data. The command line and the "
      "Python client give the same object.</p>"
      "<table><tr><th>code<th>status<th>exit<th>again?<th>when, and what to do";
  for (const auto& c : all_codes())
    body += fmt::format(
        "<tr id=\"{0}\"><td><code>{0}</code><td>{1}<td>{2}<td>{3}<td><b>{4}.</b> {5}", c.name,
        c.http_status, c.exit_code, c.retryable ? "yes" : "", c.title, escaped(c.text));
  return page("Problems", body + "</table><p><a href=\"/docs\">Routes and operations</a></p>");
}

}  // namespace

void add_docs_routes(Router& router, Backend& backend) {
  router.add({"GET",
              "/openapi.json",
              "this interface as OpenAPI 3.1",
              {},
              [&router, &backend](const Call&, const Responder& to) {
                to->send(json_answer(openapi_document(router, backend.catalog())));
              }});
  router.add({"GET",
              "/docs",
              "this interface for people",
              {},
              [&router, &backend](const Call&, const Responder& to) {
                to->send(docs(router, backend.catalog()));
              }});
  router.add({"GET",
              "/docs/problems",
              "what can go wrong, by code",
              {},
              [](const Call&, const Responder& to) { to->send(problems()); }});
}

}  // namespace polysome::api
