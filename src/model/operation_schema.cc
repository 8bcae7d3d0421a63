#include "model/operation_schema.h"

#include <cmath>

#include "model/resources.h"

namespace polysome {
namespace {

Json text_type() { return {{"type", "string"}}; }
Json one_or_list(const Json& item) {
  return {{"anyOf", {item, {{"type", "array"}, {"items", item}, {"minItems", 1}}}}};
}

Json number_type(const Parameter& p, bool whole) {
  Json out = {{"type", whole ? "integer" : "number"}};
  const auto bound = [&](const char* key, double value) {
    // Whole bounds are written as such: 1, not 1.0.
    if (std::trunc(value) == value && std::abs(value) < 9e15)
      out[key] = static_cast<std::int64_t>(value);
    else
      out[key] = value;
  };
  if (p.least) bound("minimum", *p.least);
  if (p.most) bound("maximum", *p.most);
  return out;
}

Json choice_type(const Parameter& p) { return {{"type", "string"}, {"enum", p.choices}}; }

Json type_schema(const Parameter& p) {
  switch (p.type) {
    case ParamType::kInteger: return number_type(p, true);
    case ParamType::kNumber: return number_type(p, false);
    case ParamType::kBoolean: return {{"type", "boolean"}};
    case ParamType::kChoice: return choice_type(p);
    case ParamType::kChoices: return one_or_list(choice_type(p));
    case ParamType::kColumns:
    case ParamType::kTexts: return one_or_list(text_type());
    case ParamType::kNumbers: return one_or_list(number_type(p, false));
    case ParamType::kObject: return {{"type", "object"}};
    default: return text_type();
  }
}

Json described(Json schema, const std::string& text) {
  schema["description"] = text;
  return schema;
}

Json layout_schema() {
  const auto letter = [](int least) {
    return Json{{"type", "string"}, {"minLength", least}, {"maxLength", 1}};
  };
  const Json texts = {{"type", "array"}, {"items", text_type()}};
  return {{"type", "object"},
          {"additionalProperties", false},
          {"description", "how the dataset lies; this job only"},
          {"properties",
           {{"kind", {{"enum", {"table", "matrix"}}}},
            {"orientation", {{"enum", {"features_as_rows", "samples_as_rows"}}}},
            {"label_columns", texts},
            {"scale", {{"enum", {"raw", "log1p", "log2"}}}},
            {"delimiter", letter(1)},
            {"comment", letter(0)},
            {"decimal", letter(1)},
            {"thousands", letter(0)},
            {"ragged", {{"enum", {"strict", "repair"}}}},
            {"header", {{"type", "boolean"}}},
            {"zero_is_missing", {{"type", "boolean"}}},
            {"types",
             {{"type", "object"},
              {"additionalProperties",
               {{"enum", {"int64", "double", "bool", "date", "timestamp", "string"}}}}}},
            {"null_values",
             {{"anyOf", {texts, {{"type", "object"}, {"additionalProperties", texts}}}}}}}}};
}

Json output_schema() {
  return {{"type", "object"},
          {"additionalProperties", false},
          {"description", "where the answer goes, beside the result kept for the API"},
          {"properties",
           {{"path", {{"type", "string"}, {"minLength", 1}}},
            {"format", {{"enum", {"csv", "tsv", "parquet", "arrow", "ndjson", "json"}}}},
            {"compression", {{"enum", {"none", "gzip", "zstd"}}}},
            {"files", {{"enum", {"one", "parts"}}}},
            {"if_exists", {{"enum", {"error", "replace"}}}},
            {"dataset_id", {{"type", "string"}, {"minLength", 1}, {"maxLength", 255}}}}}};
}

Json dataset_schema(const OperationDescription& operation) {
  const Json name = {{"type", "string"}, {"minLength", 1}};
  Json list = {{"type", "array"},
               {"items", name},
               {"minItems", operation.min_datasets},
               {"maxItems", operation.max_datasets}};
  Json out = operation.min_datasets <= 1 && operation.max_datasets >= 1
                 ? Json{{"anyOf", {name, list}}}
                 : list;
  return described(std::move(out), "names of datasets, paths below a data folder, or job:<job_id>");
}

}  // namespace

Json size_schema(const std::string& text) {
  return {{"description", text},
          {"anyOf",
           {{{"type", "integer"}, {"minimum", 1}},
            {{"type", "string"}, {"pattern", R"(^[0-9]+(\.[0-9]+)? ?([kKMGT]i?)?B?$)"}}}}};
}

Json parameters_schema(const OperationDescription& operation) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const auto& p : operation.parameters) {
    Json schema = described(type_schema(p), p.text);
    if (!p.default_value.is_null()) schema["default"] = p.default_value;
    properties[p.name] = std::move(schema);
    if (p.required) required.push_back(p.name);
  }
  Json out = {
      {"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

Json submit_members() {
  const auto integer = [](std::int64_t least, std::int64_t most, const char* text) {
    return Json{{"type", "integer"}, {"minimum", least}, {"maximum", most}, {"description", text}};
  };
  return {
      {"priority",
       {{"description", "LOW, NORMAL (default), HIGH, CRITICAL or 1 to 4"},
        {"anyOf",
         {{{"enum", {"LOW", "NORMAL", "HIGH", "CRITICAL"}}},
          {{"type", "integer"}, {"minimum", 1}, {"maximum", 4}}}}}},
      {"max_memory_gb",
       {{"type", "number"},
        {"exclusiveMinimum", 0},
        {"maximum", 1e6},
        {"description", "ceiling on the memory of the job's running tasks together"}}},
      {"max_cores", integer(1, kMaxWorkers * kMaxThreadsPerWorker,
                            "ceiling on the job's running tasks together")},
      {"n_workers", integer(1, kMaxWorkers, "most workers used at once")},
      {"memory_per_worker", size_schema("only workers with that much memory are used")},
      {"max_attempts", integer(1, 10, "attempts of a task; the first counts")},
      {"max_retries", integer(0, 9, "max_attempts - 1; give one of the two")},
      {"timeout_seconds",
       {{"type", "number"}, {"minimum", 0.001}, {"maximum", 1e9}, {"description", "running time"}}},
      {"partition_size", size_schema("how large the pieces of the dataset are")},
      {"user", {{"type", "string"}, {"maxLength", 255}}},
      {"name", {{"type", "string"}, {"maxLength", 255}}},
      {"tags", {{"type", "array"}, {"maxItems", 100}, {"items", {{"type", "string"}}}}},
      {"depends_on",
       {{"type", "array"},
        {"maxItems", 1000},
        {"items", {{"type", "string"}, {"format", "uuid"}}},
        {"description", "jobs that must be completed first"}}},
      {"layout", layout_schema()},
      {"output", output_schema()},
      {"on_bad_value",
       {{"enum", {"fail", "null"}}, {"description", "a value that is not a number"}}},
      {"max_bad_values", {{"type", "integer"}, {"minimum", 0}}},
      {"held", described({{"type", "boolean"}}, "does not start until it is released")}};
}

Json submit_schema(const OperationDescription& operation) {
  Json properties = {{"operation", {{"type", "string"}, {"const", operation.name}}}};
  Json required = Json::array({"operation"});
  if (operation.max_datasets > 0) properties["dataset_id"] = dataset_schema(operation);
  if (operation.min_datasets > 0) required.push_back("dataset_id");
  Json parameters = parameters_schema(operation);
  if (parameters.contains("required")) required.push_back("parameters");
  properties["parameters"] = std::move(parameters);
  properties.update(submit_members());
  properties["type"] = {{"type", "string"}, {"const", operation.type}};
  Json out = {{"type", "object"},
              {"description", operation.text},
              {"additionalProperties", false},
              {"required", std::move(required)},
              {"properties", std::move(properties)}};
  if (operation.example.is_object()) out["examples"] = Json::array({operation.example});
  return out;
}

}  // namespace polysome
