#include "api/openapi_schemas.h"

#include <algorithm>
#include <map>

#include "api/request_reader.h"
#include "api/router.h"
#include "model/operation_schema.h"
#include "model/resources.h"
#include "model/submit_batch.h"

namespace polysome::api {
namespace {

Json integer(std::int64_t least, std::optional<std::int64_t> most = std::nullopt) {
  Json out = {{"type", "integer"}, {"minimum", least}};
  if (most) out["maximum"] = *most;
  return out;
}
Json text() { return {{"type", "string"}}; }
Json or_null(Json schema) {
  schema["type"] = Json::array({schema["type"], "null"});
  return schema;
}
Json one_of(std::vector<std::string> words) {
  return {{"type", "string"}, {"enum", std::move(words)}};
}
Json list_of(const Json& item) { return {{"type", "array"}, {"items", item}}; }
Json time_text() { return {{"type", "string"}, {"format", "date-time"}}; }
Json object(const Json& properties, std::vector<std::string> required = {}) {
  Json out = {{"type", "object"}, {"properties", properties}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}
// A body: unknown members are refused.
Json body(const Json& properties, std::vector<std::string> required = {}) {
  Json out = object(properties, std::move(required));
  out["additionalProperties"] = false;
  return out;
}

const std::vector<std::string> kStatuses{"pending", "running", "completed", "failed", "cancelled"};

Json job_schema() {
  return object(
      {{"job_id", text()},
       {"status", one_of(kStatuses)},
       {"phase",
        one_of({"held", "waiting", "planning", "running", "retrying", "cancelling", "done"})},
       {"operation", text()},
       {"dataset_ids", list_of(text())},
       {"priority", integer(1, 4)},
       {"priority_name", one_of({"LOW", "NORMAL", "HIGH", "CRITICAL"})},
       {"progress", {{"type", "number"}, {"minimum", 0}, {"maximum", 100}}},
       {"version", integer(0)},
       {"user", text()},
       {"created_at", time_text()},
       {"started_at", or_null(time_text())},
       {"completed_at", or_null(time_text())},
       {"eta_seconds", {{"type", {"number", "null"}}}},
       {"error", {{"type", {"object", "null"}}}},
       {"waiting", {{"type", {"object", "null"}}}},
       {"retry_of", {{"type", {"string", "null"}}}},
       {"stages", list_of({{"type", "object"}})},
       {"warnings", list_of({{"type", "object"}})}},
      {"job_id", "status", "phase", "operation", "progress", "version", "user", "created_at"});
}

Json autoscale_body() {
  return body({{"enabled", {{"type", "boolean"}}},
               {"min", integer(1, kMaxWorkers)},
               {"max", integer(1, kMaxWorkers)}});
}

Json cluster_body() {
  return body({{"n_workers", integer(1, kMaxWorkers)},
               {"threads_per_worker", integer(1, kMaxThreadsPerWorker)},
               {"memory_limit", size_schema("memory of each worker")},
               {"backend", one_of({"local", "dask"})},
               {"autoscale", autoscale_body()}});
}

Json user_limits() {
  return {{"max_pending_jobs", or_null(integer(0, 10'000'000))},
          {"max_running_jobs", or_null(integer(1, 10'000'000))},
          {"max_cores", or_null(integer(1, kMaxWorkers * kMaxThreadsPerWorker))},
          {"max_memory", {{"type", {"integer", "string", "null"}}}},
          {"max_priority", or_null(integer(1, 4))}};
}

// What steers queue and cluster.
void add_scheduling(const Json& members, Json* out) {
  const Json any = {{"type", "object"}};
  const Json flag = {{"type", "boolean"}};
  const Json token = {{"type", {"string", "null"}}};
  const Json tags = list_of(text());
  (*out)["Nothing"] = body(Json::object());
  (*out)["Batch"] =
      body({{"defaults", any},
            {"jobs",
             {{"type", "array"}, {"items", any}, {"minItems", 1}, {"maxItems", kMostBatchJobs}}}},
           {"jobs"});
  (*out)["BatchTaken"] = object({{"batch_id", text()},
                                 {"n_jobs", integer(1)},
                                 {"first_job_id", text()},
                                 {"last_job_id", text()}},
                                {"batch_id", "n_jobs", "first_job_id", "last_job_id"});
  (*out)["CancelMany"] = body({{"user", text()},
                               {"status", one_of({"pending", "running"})},
                               {"name", text()},
                               {"tag", text()},
                               {"batch_id", text()},
                               {"job_ids", list_of(text())},
                               {"reason", text()}});
  (*out)["Cancelled"] = object({{"matched", integer(0)},
                                {"cancelled", integer(0)},
                                {"cancelling", integer(0)},
                                {"job_ids", list_of(text())}},
                               {"matched", "cancelled", "cancelling", "job_ids"});
  (*out)["Patch"] = body({{"priority", members["priority"]},
                          {"held", flag},
                          {"keep", flag},
                          {"name", members["name"]},
                          {"tags", tags}});
  (*out)["Explained"] = object({{"job_id", text()}, {"plan", any}}, {"job_id", "plan", "waiting"});
  (*out)["Pause"] = body({{"reason", {{"type", "string"}, {"maxLength", 1000}}}});
  (*out)["Queue"] = object({{"pending", integer(0)},
                            {"running", integer(0)},
                            {"paused", flag},
                            {"by_priority", any},
                            {"by_user", any},
                            {"users", list_of(any)},
                            {"jobs", list_of(any)}},
                           {"pending", "running", "paused", "users", "jobs"});
  Json of_user = user_limits();
  of_user["weight"] = {{"type", "number"}, {"minimum", 0.001}, {"maximum", 1000}};
  (*out)["Limits"] =
      body({{"max_pending_jobs", or_null(integer(0, 10'000'000))},
            {"per_user", body(user_limits())},
            {"users", {{"type", "object"}, {"additionalProperties", body(of_user)}}}});
  (*out)["Autoscale"] = autoscale_body();
  (*out)["Drain"] = (*out)["Pause"];
  (*out)["Exclude"] = body({{"reason", {{"type", "string"}, {"maxLength", 1000}}},
                            {"for_seconds", {{"type", "number"}, {"minimum", 0.001}}}});
  (*out)["Usage"] = list_of(object({{"jobs", integer(0)},
                                    {"cpu_seconds", {{"type", "number"}}},
                                    {"memory_gb_seconds", {{"type", "number"}}},
                                    {"bytes_read", integer(0)},
                                    {"wait_seconds_p50", {{"type", "number"}}}},
                                   {"jobs", "cpu_seconds", "memory_gb_seconds"}));
  (*out)["Decisions"] = object({{"decisions", list_of(any)}, {"next_page_token", token}},
                               {"decisions", "next_page_token"});
}

struct Named {
  const char* route;  // "METHOD path below the API"
  const char* schema;
};
constexpr Named kBodies[] = {
    {"POST /jobs/submit", "Submit"},
    {"POST /jobs/validate", "Submit"},
    {"POST /jobs/{id}/cancel", "Cancel"},
    {"POST /jobs/{id}/retry", "Retry"},
    {"POST /cluster/start", "ClusterStart"},
    {"POST /cluster/stop", "ClusterStop"},
    {"POST /cluster/scale", "ClusterScale"},
    {"POST /data/load", "Load"},
    {"POST /data/partition", "Partition"},
    {"POST /jobs/batch", "Batch"},
    {"POST /jobs/cancel", "CancelMany"},
    {"PATCH /jobs/{id}", "Patch"},
    {"POST /queue/pause", "Pause"},
    {"POST /queue/resume", "Nothing"},
    {"PUT /resources/limits", "Limits"},
    {"PUT /cluster/autoscale", "Autoscale"},
    {"POST /cluster/workers/{id}/drain", "Drain"},
    {"POST /cluster/workers/{id}/exclude", "Exclude"},
    {"POST /cluster/workers/{id}/readmit", "Nothing"},
};
constexpr Named kAnswers[] = {
    {"POST /jobs/submit", "Submitted"},      {"POST /jobs/{id}/retry", "Submitted"},
    {"POST /jobs/validate", "Validated"},    {"GET /jobs/{id}", "Job"},
    {"GET /jobs/{id}/status", "Job"},        {"POST /jobs/{id}/cancel", "Job"},
    {"GET /jobs/list", "JobList"},           {"GET /jobs/{id}/result", "ResultPage"},
    {"GET /jobs/{id}/logs", "LogPage"},      {"GET /cluster/status", "Cluster"},
    {"POST /cluster/start", "Cluster"},      {"POST /cluster/stop", "Cluster"},
    {"POST /cluster/scale", "Cluster"},      {"GET /operations", "Operations"},
    {"GET /operations/{name}", "Operation"}, {"PATCH /jobs/{id}", "Job"},
    {"POST /jobs/batch", "BatchTaken"},      {"POST /jobs/cancel", "Cancelled"},
    {"GET /jobs/{id}/explain", "Explained"}, {"GET /queue/status", "Queue"},
    {"POST /queue/pause", "Queue"},          {"POST /queue/resume", "Queue"},
    {"GET /resources/limits", "Limits"},     {"PUT /resources/limits", "Limits"},
    {"GET /resources/usage", "Usage"},       {"GET /cluster/autoscale/decisions", "Decisions"},
};

template <std::size_t N>
std::optional<std::string> find(const Named (&list)[N], std::string route) {
  if (const auto base = route.find(kBase); base != std::string::npos)
    route.erase(base, kBase.size());
  for (const auto& named : list)
    if (route == named.route) return named.schema;
  return std::nullopt;
}

}  // namespace

Json query_schema(const std::string& name, const std::string& pattern) {
  const auto ends = [&](const char* with) { return pattern.ends_with(with); };
  if (name == "limit") return integer(1, kMostListed);
  if (name == "wait") return {{"type", "number"}, {"minimum", 0}, {"maximum", kMostWaitSeconds}};
  if (name == "after") return integer(0);
  if (name == "step") return {{"type", "number"}, {"exclusiveMinimum", 0}};
  if (name == "since" || name == "until") return time_text();
  if (name == "by") return one_of({"user", "operation"});
  if (name == "view") return one_of({"full", "basic"});
  if (name == "from") return one_of({"now"});
  if (name == "follow") return {{"type", "boolean"}};
  if (name == "status" && ends("/jobs/list")) return one_of(kStatuses);
  if (name == "priority") return one_of({"LOW", "NORMAL", "HIGH", "CRITICAL", "1", "2", "3", "4"});
  if (name == "format" && ends("/result"))
    return one_of({"json", "csv", "tsv", "ndjson", "parquet", "arrow"});
  if (name == "format" && ends("/content"))
    return one_of({"csv", "tsv", "gct", "parquet", "arrow", "ndjson", "json"});
  if (name == "replace") return {{"type", "boolean"}};
  if (name == "sort")
    return {{"type", "string"},
            {"description", "columns by comma; - before one sorts it descending"}};
  if (name == "columns" || name == "type")
    return {{"type", "string"}, {"description", "several are separated by commas"}};
  return text();
}

std::vector<std::string> answer_types(const std::string& pattern) {
  if (pattern == "/" || pattern.starts_with("/docs")) return {"text/html", "text/plain"};
  if (pattern.ends_with("/events")) return {"text/event-stream"};
  if (pattern.ends_with("/logs")) return {"application/json", "application/x-ndjson"};
  if (pattern == "/metrics") return {"text/plain"};
  if (pattern.ends_with("/jobs/{id}/result"))
    return {"application/json",
            "text/csv",
            "text/tab-separated-values",
            "application/x-ndjson",
            "application/vnd.apache.parquet",
            "application/octet-stream",
            "application/vnd.apache.arrow.file"};
  return {"application/json"};
}

std::optional<std::string> body_schema_name(const std::string& route) {
  auto out = find(kBodies, route);
  const bool takes_one =
      route.starts_with("POST ") || route.starts_with("PUT ") || route.starts_with("PATCH ");
  return !out && takes_one ? std::optional<std::string>("AnyObject") : out;
}

std::optional<std::string> answer_schema_name(const std::string& route) {
  return find(kAnswers, route);
}

Json shared_schemas() {
  const Json any = {{"type", "object"}};
  const Json layout = submit_members()["layout"];
  const Json members = submit_members();
  Json out = {{"AnyObject", any}};
  out["Job"] = job_schema();
  out["JobList"] = object({{"jobs", list_of({{"$ref", "#/components/schemas/Job"}})},
                           {"total", integer(0)},
                           {"next_page_token", {{"type", {"string", "null"}}}}},
                          {"jobs", "total", "next_page_token"});
  out["Submitted"] = object({{"job_id", text()},
                             {"status", one_of(kStatuses)},
                             {"queue_position", {{"type", {"integer", "null"}}}},
                             {"links", any}},
                            {"job_id", "status", "links"});
  out["Validated"] = object({{"valid", {{"type", "boolean"}}},
                             {"errors", list_of(any)},
                             {"plan", {{"type", {"object", "null"}}}},
                             {"estimate", {{"type", {"object", "null"}}}}},
                            {"valid", "errors", "plan", "estimate"});
  out["Cancel"] = body({{"reason", text()}, {"mode", one_of({"graceful", "force"})}});
  out["Retry"] = body({{"parameters", any},
                       {"on_bad_value", members["on_bad_value"]},
                       {"max_bad_values", members["max_bad_values"]},
                       {"max_memory_gb", members["max_memory_gb"]},
                       {"max_cores", members["max_cores"]},
                       {"priority", members["priority"]},
                       {"name", members["name"]}});
  out["ResultPage"] = object({{"table", text()},
                              {"columns", list_of(any)},
                              {"rows", list_of(any)},
                              {"n_rows", integer(0)},
                              {"next_page_token", {{"type", {"string", "null"}}}}},
                             {"table", "columns", "rows", "n_rows", "next_page_token"});
  out["LogPage"] = object({{"job_id", text()},
                           {"status", one_of(kStatuses)},
                           {"logs", list_of(object({{"time", time_text()},
                                                    {"level", text()},
                                                    {"worker", {{"type", {"string", "null"}}}},
                                                    {"task", {{"type", {"string", "null"}}}},
                                                    {"attempt", {{"type", {"integer", "null"}}}},
                                                    {"message", text()}},
                                                   {"time", "level", "message"}))},
                           {"next_page_token", {{"type", {"string", "null"}}}}},
                          {"job_id", "status", "logs", "next_page_token"});
  out["ClusterStart"] = cluster_body();
  out["ClusterStop"] = body({{"mode", one_of({"graceful", "force"})}});
  out["ClusterScale"] = body({{"n_workers", integer(1, kMaxWorkers)}}, {"n_workers"});
  out["Cluster"] = object({{"status", one_of({"stopped", "starting", "running", "stopping"})},
                           {"n_workers", integer(0)},
                           {"total_cores", integer(0)},
                           {"workers", list_of(any)}},
                          {"status", "n_workers", "workers"});
  out["Load"] = {{"type", "object"},
                 {"required", {"dataset_id"}},
                 {"properties",
                  {{"dataset_id", text()},
                   {"source", text()},
                   {"format", one_of({"csv", "tsv", "gct", "parquet", "arrow", "ndjson", "json"})},
                   {"columns", list_of(text())},
                   {"rows", list_of(any)},
                   {"null_values", {{"type", {"array", "object"}}}},
                   {"materialize", {{"type", "boolean"}}},
                   {"replace", {{"type", "boolean"}}},
                   {"layout", layout}}}};
  out["Partition"] = {
      {"type", "object"},
      {"properties",
       {{"dataset_id", text()},
        {"path", text()},
        {"partition_size", size_schema("how large a piece is")},
        {"n_workers", integer(1, kMaxWorkers)},
        {"exact", {{"type", "boolean"}}},
        {"limit", integer(1, kMostListed)},
        {"page_token", text()},
        {"null_values", {{"type", {"array", "object"}}}},
        {"format", one_of({"csv", "tsv", "gct", "parquet", "arrow", "ndjson", "json"})},
        {"layout", layout}}}};
  out["Operation"] = object({{"name", text()}, {"text", text()}, {"parameters", list_of(any)}},
                            {"name", "text", "parameters"});
  out["Operations"] = object({{"operations", list_of({{"$ref", "#/components/schemas/Operation"}})},
                              {"total", integer(0)}},
                             {"operations", "total"});
  add_scheduling(members, &out);
  return out;
}

}  // namespace polysome::api
