#include "api/openapi.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "api/openapi_schemas.h"
#include "base/error.h"
#include "model/operation_schema.h"

namespace polysome::api {
namespace {

// Every refusal any route may answer with; one shape for all.
constexpr std::array kProblems{400, 401, 403, 404, 405, 406, 408, 409, 410,
                               413, 415, 422, 429, 431, 500, 503, 507};

Json reference(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

// "{id}" and "{id*}" of a pattern, in order.
std::vector<std::string> names_in(const std::string& pattern) {
  std::vector<std::string> out;
  for (std::size_t at = pattern.find('{'); at != std::string::npos; at = pattern.find('{', at + 1))
    out.push_back(pattern.substr(at + 1, pattern.find_first_of("*}", at) - at - 1));
  return out;
}

std::string path_of(std::string pattern) {
  if (const auto star = pattern.find("*}"); star != std::string::npos) pattern.erase(star, 1);
  return pattern;
}

// "POST /api/processing/jobs/{id}/cancel" → "post_jobs_id_cancel"
std::string operation_id(const Route& route) {
  std::string path = route.pattern;
  if (path.starts_with(kBase)) path.erase(0, kBase.size());
  std::string out;
  for (const char c : route.method) out += static_cast<char>(c | 0x20);
  for (const char c : path) {
    if (c == '{' || c == '}' || c == '*') continue;
    out += c == '/' || c == '.' ? '_' : c;
  }
  while (out.ends_with('_')) out.pop_back();
  return out;
}

std::string tag_of(const Route& route) {
  std::string path = route.pattern;
  if (!path.starts_with(kBase)) return "service";
  path.erase(0, kBase.size() + 1);
  return path.substr(0, path.find('/'));
}

Json parameters_of(const Route& route) {
  Json out = Json::array();
  for (const auto& name : names_in(route.pattern))
    out.push_back({{"name", name},
                   {"in", "path"},
                   {"required", true},
                   {"schema", {{"type", "string"}, {"minLength", 1}}}});
  for (const auto& name : route.query)
    out.push_back({{"name", name}, {"in", "query"}, {"schema", query_schema(name, route.pattern)}});
  if (route.pattern.ends_with("/jobs/submit") || route.pattern.ends_with("/jobs/batch") ||
      route.pattern.ends_with("/retry"))
    out.push_back(
        {{"name", "Idempotency-Key"},
         {"in", "header"},
         {"description", "the same key and body answer the first job again"},
         {"schema",
          {{"type", "string"}, {"minLength", 1}, {"maxLength", 255}, {"pattern", "^[!-~]+$"}}}});
  return out;
}

Json body_of(const Route& route) {
  if (route.sink)
    return {{"required", true},
            {"content", {{"application/octet-stream", {{"schema", {{"type", "string"}}}}}}}};
  const std::string key = route.method + " " + route.pattern;
  const auto named = body_schema_name(key);
  if (!named) return nullptr;
  const bool required =
      key.ends_with("/jobs/submit") || key.ends_with("/jobs/validate") || key.ends_with("/scale") ||
      key.ends_with("/load") || key.ends_with("/partition") || key.ends_with("/jobs/batch") ||
      key.ends_with("/jobs/cancel") || route.method == "PATCH" || route.method == "PUT";
  return {{"required", required},
          {"content", {{"application/json", {{"schema", reference(*named)}}}}}};
}

Json responses_of(const Route& route) {
  Json out = Json::object();
  Json content = Json::object();
  for (const auto& type : answer_types(route.pattern)) {
    if (type != "application/json") {
      content[type] = Json::object();
      continue;
    }
    const auto named = answer_schema_name(route.method + " " + route.pattern);
    content[type] = {{"schema", named ? reference(*named) : Json({{"type", "object"}})}};
  }
  out["200"] = {{"description", route.text}, {"content", std::move(content)}};
  const bool status = route.pattern.ends_with("/jobs/{id}") || route.pattern.ends_with("/status");
  if (status && route.pattern.find("/jobs/") != std::string::npos)
    out["304"] = {{"description", "nothing has changed since the version named in If-None-Match"}};
  if (route.pattern.ends_with("/jobs/{id}/events"))
    out["204"] = {{"description", "all events of a job that is over were told"}};
  for (const int code : kProblems)
    out[std::to_string(code)] = {{"$ref", fmt::format("#/components/responses/Problem{}", code)}};
  // Health and readiness tell with 503 and their own object.
  if (route.pattern.ends_with("/health"))
    out["503"] = {{"description", "unhealthy"},
                  {"content", {{"application/json", {{"schema", {{"type", "object"}}}}}}}};
  return out;
}

Json problem_schema() {
  Json codes = Json::array();
  for (const auto& c : all_codes()) codes.push_back(c.name);
  const Json text = {{"type", "string"}};
  return {{"type", "object"},
          {"description", "RFC 9457; the codes are explained at /docs/problems"},
          {"required", {"type", "title", "status", "detail", "code", "retryable"}},
          {"properties",
           {{"type", text},
            {"title", text},
            {"status", {{"type", "integer"}}},
            {"detail", text},
            {"code", {{"type", "string"}, {"enum", std::move(codes)}}},
            {"hint", text},
            {"retryable", {{"type", "boolean"}}},
            {"job_id", text},
            {"errors",
             {{"type", "array"},
              {"items",
               {{"type", "object"},
                {"properties",
                 {{"pointer", text},
                  {"message", text},
                  {"file", text},
                  {"line", {{"type", "integer"}}},
                  {"column", text},
                  {"value", text}}}}}}}}}};
}

// One schema an operation; `operation` tells which is meant.
void add_submit(const OperationCatalog& catalog, Json* schemas) {
  Json choices = Json::array();
  Json mapping = Json::object();
  for (const auto& name : catalog.names()) {
    const std::string schema = "Submit_" + name;
    (*schemas)[schema] = submit_schema(*catalog.find(name));
    choices.push_back(reference(schema));
    mapping[name] = "#/components/schemas/" + schema;
  }
  (*schemas)["Submit"] = {
      {"oneOf", std::move(choices)},
      {"discriminator", {{"propertyName", "operation"}, {"mapping", std::move(mapping)}}}};
}

}  // namespace

Json openapi_document(const Router& router, const OperationCatalog& catalog) {
  Json schemas = shared_schemas();
  schemas["Problem"] = problem_schema();
  add_submit(catalog, &schemas);
  Json responses = Json::object();
  for (const int code : kProblems) {
    std::string text;
    for (const auto& c : all_codes())
      if (c.http_status == code) text += (text.empty() ? "" : "; ") + std::string(c.title);
    responses[fmt::format("Problem{}", code)] = {
        {"description", text},
        {"content", {{"application/problem+json", {{"schema", reference("Problem")}}}}}};
  }
  Json paths = Json::object();
  for (const auto& route : router.routes()) {
    Json entry = {{"operationId", operation_id(route)},
                  {"summary", route.text},
                  {"tags", {tag_of(route)}},
                  {"responses", responses_of(route)}};
    if (Json parameters = parameters_of(route); !parameters.empty())
      entry["parameters"] = std::move(parameters);
    if (Json body = body_of(route); !body.is_null()) entry["requestBody"] = std::move(body);
    std::string method = route.method;
    std::ranges::transform(method, method.begin(),
                           [](char c) { return static_cast<char>(c | 0x20); });
    paths[path_of(route.pattern)][method] = std::move(entry);
  }
  return {{"openapi", "3.1.0"},
          {"info",
           {{"title", "Polysome"},
            {"version", POLYSOME_VERSION},
            {"description", "Big multi-omics data jobs on many workers."},
            {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
          {"jsonSchemaDialect", "https://json-schema.org/draft/2020-12/schema"},
          {"security", {Json::object(), {{"bearer", Json::array()}}, {{"basic", Json::array()}}}},
          {"paths", std::move(paths)},
          {"components",
           {{"schemas", std::move(schemas)},
            {"responses", std::move(responses)},
            {"securitySchemes",
             {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
              {"basic", {{"type", "http"}, {"scheme", "basic"}}}}}}}};
}

}  // namespace polysome::api
