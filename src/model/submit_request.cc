#include "model/submit_request.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/nearest.h"
#include "model/database_url.h"

namespace polysome {
namespace {

constexpr std::uint64_t kGigabyte = 1'000'000'000;

void read_limits(ObjectReader& body, const SubmitDefaults& defaults, JobLimits* limits) {
  if (const auto gb = body.number("max_memory_gb", 0, 1e6)) {
    if (*gb <= 0)
      body.refuse("max_memory_gb", Code::kInvalid, "max_memory_gb must be more than 0");
    else
      limits->max_memory = static_cast<std::uint64_t>(std::llround(*gb * kGigabyte));
  }
  if (const auto cores = body.integer("max_cores", 1, kMaxWorkers * kMaxThreadsPerWorker))
    limits->max_cores = static_cast<int>(*cores);
  if (const auto n = body.integer("n_workers", 1, kMaxWorkers))
    limits->n_workers = static_cast<int>(*n);
  limits->memory_per_worker = body.bytes("memory_per_worker");
  const auto attempts = body.integer("max_attempts", 1, 10);
  const auto retries = body.integer("max_retries", 0, 9);
  if (attempts && retries)
    body.refuse("max_retries", Code::kInvalid,
                "give max_attempts or max_retries, not both (max_retries is max_attempts - 1)");
  limits->max_attempts = attempts  ? static_cast<int>(*attempts)
                         : retries ? static_cast<int>(*retries) + 1
                                   : defaults.max_attempts;
  if (const auto seconds = body.number("timeout_seconds", 0.001, 1e9))
    limits->timeout_ms = static_cast<std::int64_t>(*seconds * 1000);
}

Result<Json> parse_output(const Json& output, const std::string& pointer) {
  ObjectReader r(output, pointer);
  Json out = Json::object();
  const auto choice = [&](const char* key, std::vector<std::string> allowed) {
    if (const auto v = r.text(key)) {
      if (std::ranges::find(allowed, *v) == allowed.end())
        r.refuse(key, Code::kInvalid,
                 fmt::format("{} \"{}\" is not known{}", key, *v, did_you_mean(*v, allowed)),
                 fmt::format("one of {}", fmt::join(allowed, ", ")));
      out[key] = *v;
    }
  };
  if (const auto path = r.text("path")) {
    if (path->empty()) r.refuse("path", Code::kInvalid, "path is empty");
    out["path"] = *path;
  }
  if (const auto database = r.text("database")) {
    if (const auto url = parse_database_url(*database); url)
      out["database"] = url->text();
    else
      r.refuse("database", url.error().code, url.error().message, url.error().hint);
    for (const char* other : {"path", "format", "compression", "files"})
      if (r.has(other))
        r.refuse(other, Code::kInvalid,
                 fmt::format("{} is of a file; the output is a database's table", other));
  }
  choice("format", {"csv", "tsv", "parquet", "arrow", "ndjson", "json"});
  choice("compression", {"none", "gzip", "zstd"});
  choice("files", {"one", "parts"});
  choice("if_exists", {"error", "replace"});
  if (const auto id = r.text("dataset_id", 255)) {
    if (id->empty() || id->find('/') != std::string::npos)
      r.refuse("dataset_id", Code::kInvalid, "a dataset's name is not empty and has no /");
    out["dataset_id"] = *id;
  }
  POLYSOME_TRY(r.finish());
  return out;
}

}  // namespace

Result<Priority> parse_priority(const Json& value, const std::string& pointer) {
  if (value.is_number_integer() && value.get<std::int64_t>() >= 1 && value.get<std::int64_t>() <= 4)
    return static_cast<Priority>(value.get<int>());
  static const std::vector<std::string> kNames{"LOW", "NORMAL", "HIGH", "CRITICAL"};
  std::string text = value.is_string() ? value.get<std::string>() : dump(value);
  if (value.is_string())
    if (const auto p = priority_from_name(text)) return *p;
  return fail(
      Error(Code::kInvalid,
            fmt::format("priority {} is not known{}", value.is_string() ? "\"" + text + "\"" : text,
                        did_you_mean(text, kNames)),
            "LOW, NORMAL, HIGH, CRITICAL or 1 to 4")
          .at(pointer));
}

Result<Json> parse_layout(const Json& layout, const std::string& pointer) {
  ObjectReader r(layout, pointer);
  Json out = Json::object();
  const auto choice = [&](const char* key, std::vector<std::string> allowed) {
    if (const auto v = r.text(key)) {
      if (std::ranges::find(allowed, *v) == allowed.end())
        r.refuse(key, Code::kInvalid,
                 fmt::format("{} \"{}\" is not known{}", key, *v, did_you_mean(*v, allowed)),
                 fmt::format("one of {}", fmt::join(allowed, ", ")));
      out[key] = *v;
    }
  };
  const auto letter = [&](const char* key, bool may_be_empty) {
    if (const auto v = r.text(key, 4)) {
      if (v->size() > 1 || (v->empty() && !may_be_empty))
        r.refuse(key, Code::kInvalid, fmt::format("{} must be one character", key));
      out[key] = *v;
    }
  };
  choice("kind", {"table", "matrix"});
  choice("orientation", {"features_as_rows", "samples_as_rows"});
  choice("scale", {"raw", "log1p", "log2"});
  letter("delimiter", false);
  letter("comment", true);
  letter("decimal", false);
  letter("thousands", true);
  const auto letter_of = [&](const char* key, const char* otherwise) {
    return out.value(key, std::string(otherwise));
  };
  if (const auto t = letter_of("thousands", ""); !t.empty()) {
    if (t == letter_of("decimal", "."))
      r.refuse("thousands", Code::kInvalid,
               fmt::format("\"{}\" cannot separate both thousands and decimals", t),
               "say which is which: layout.decimal \",\" and layout.thousands \".\"");
    else if ((t[0] >= '0' && t[0] <= '9') || t == "-" || t == "+" || t == "e" || t == "E")
      r.refuse("thousands", Code::kInvalid, fmt::format("\"{}\" is a letter of numbers itself", t),
               "such as \",\", \".\", \" \" or \"'\"");
  }
  choice("ragged", {"strict", "repair"});
  if (const auto v = r.boolean("header")) out["header"] = *v;
  if (const auto v = r.boolean("zero_is_missing")) out["zero_is_missing"] = *v;
  if (const auto v = r.texts("label_columns")) out["label_columns"] = *v;
  if (const Json* types = r.raw("types")) {
    static const std::vector<std::string> kTypes{"int64", "double",    "bool",
                                                 "date",  "timestamp", "string"};
    if (!types->is_object()) {
      r.refuse("types", Code::kInvalid, "types must be an object of column: type");
    } else {
      for (const auto& [column, type] : types->items()) {
        const std::string text = type.is_string() ? type.get<std::string>() : dump(type);
        if (std::ranges::find(kTypes, text) == kTypes.end())
          r.refuse("types", Code::kInvalid,
                   fmt::format("type {} of column \"{}\" is not known{}", text, column,
                               did_you_mean(text, kTypes)),
                   fmt::format("one of {}", fmt::join(kTypes, ", ")));
      }
      out["types"] = *types;
    }
  }
  if (const Json* nulls = r.raw("null_values")) {
    const auto is_list = [](const Json& j) {
      return j.is_array() && std::ranges::all_of(j, [](const Json& v) { return v.is_string(); });
    };
    bool good = is_list(*nulls);
    if (nulls->is_object()) {
      good = true;
      for (const auto& [column, list] : nulls->items()) good = good && is_list(list);
    }
    if (!good)
      r.refuse("null_values", Code::kInvalid,
               "null_values must be a list of texts, or an object of column: list");
    out["null_values"] = *nulls;
  }
  POLYSOME_TRY(r.finish());
  return out;
}

Result<SubmitRequest> parse_submit(const Json& json, const OperationCatalog& catalog,
                                   const SubmitDefaults& defaults) {
  ObjectReader body(json, "");
  SubmitRequest out;
  JobSpec& spec = out.spec;

  const auto operation = body.text("operation");
  const OperationDescription* description = nullptr;
  if (operation) {
    spec.operation = *operation;
    description = catalog.find(*operation);
    if (description == nullptr) {
      const auto names = catalog.names();
      body.refuse("operation", Code::kInvalid,
                  fmt::format("there is no operation \"{}\"{}", *operation,
                              did_you_mean(*operation, names)),
                  fmt::format("one of {}", fmt::join(names, ", ")));
    } else {
      spec.type = description->type;
    }
  } else if (body.ok()) {
    body.refuse("operation", Code::kInvalid, "operation is missing",
                fmt::format("one of {}", fmt::join(catalog.names(), ", ")));
  }

  spec.dataset_ids = body.texts("dataset_id", 1000).value_or(std::vector<std::string>{});
  if (description != nullptr) {
    const int n = static_cast<int>(spec.dataset_ids.size());
    if (n < description->min_datasets)
      body.refuse("dataset_id", Code::kInvalid,
                  n == 0 ? fmt::format("{} needs a dataset_id", spec.operation)
                         : fmt::format("{} needs at least {} datasets", spec.operation,
                                       description->min_datasets));
    if (n > description->max_datasets)
      body.refuse(
          "dataset_id", Code::kInvalid,
          description->max_datasets == 0
              ? fmt::format("{} takes no dataset", spec.operation)
              : fmt::format("{} takes at most {} dataset{}", spec.operation,
                            description->max_datasets, description->max_datasets == 1 ? "" : "s"));
  }
  const Json* parameters = body.raw("parameters");
  if (description != nullptr) {
    auto checked = description->validate(parameters != nullptr ? *parameters : Json::object());
    if (checked)
      spec.parameters = std::move(*checked);
    else
      body.refuse(checked.error());
  }
  if (const Json* p = body.raw("priority")) {
    const auto priority = parse_priority(*p, body.pointer_to("priority"));
    if (priority)
      spec.priority = *priority;
    else
      body.refuse(priority.error());
  }
  read_limits(body, defaults, &spec.limits);
  const auto partition_size = body.bytes("partition_size");
  spec.partition_size = partition_size.value_or(defaults.partition_size);
  spec.partition_size_given = partition_size.has_value();
  if (spec.partition_size == 0)
    body.refuse("partition_size", Code::kInvalid, "partition_size must be at least 1 byte");
  if (const Json* type = body.raw("type"); type != nullptr && *type != spec.type)
    body.refuse(
        "type", Code::kInvalid,
        fmt::format("type follows from the operation: {} is \"{}\"", spec.operation, spec.type),
        "leave it out");
  spec.user = body.text("user", 255).value_or("");
  spec.name = body.text("name", 255).value_or("");
  spec.tags = body.texts("tags", 100).value_or(std::vector<std::string>{});
  if (const auto url = body.text("callback_url", 2048))
    body.refuse("callback_url", Code::kInvalid, "this version sends no callbacks",
                "follow GET jobs/{id}/events or poll jobs/{id}/status?wait=30");
  for (const auto& id : body.texts("depends_on", 1000).value_or(std::vector<std::string>{})) {
    if (const auto parsed = JobId::parse(id))
      spec.depends_on.push_back(*parsed);
    else
      body.refuse("depends_on", Code::kInvalid, fmt::format("\"{}\" is not a job id", id));
  }
  if (const Json* layout = body.raw("layout")) {
    auto checked = parse_layout(*layout, "/layout");
    if (checked)
      out.layout = std::move(*checked);
    else
      body.refuse(checked.error());
  }
  if (const Json* output = body.raw("output")) {
    if (spec.type == "diagnostic")
      body.refuse("output", Code::kInvalid,
                  fmt::format("{} writes no table, so there is no output", spec.operation),
                  "leave it out");
    auto checked = parse_output(*output, "/output");
    if (checked)
      spec.output = std::move(*checked);
    else
      body.refuse(checked.error());
  }
  if (const auto bad = body.text("on_bad_value")) {
    if (*bad != "fail" && *bad != "null")
      body.refuse("on_bad_value", Code::kInvalid, "on_bad_value must be \"fail\" or \"null\"");
    spec.on_bad_value = *bad;
  }
  spec.max_bad_values = body.integer("max_bad_values", 0, INT64_MAX);
  spec.held = body.boolean("held").value_or(false);
  POLYSOME_TRY(body.finish());
  return out;
}

Result<SubmitRequest> parse_retry(const Json& json, const JobSpec& job,
                                  const OperationCatalog& catalog) {
  ObjectReader body(json, "");
  SubmitRequest out;
  JobSpec& spec = out.spec;
  spec = job;
  spec.retry_of = job.id;
  spec.created_at = 0;
  spec.batch.reset();
  spec.held = spec.keep = false;
  const OperationDescription* description = catalog.find(job.operation);
  if (description == nullptr)
    return fail(Code::kInvalid,
                fmt::format("this version has no operation \"{}\" any more", job.operation));
  if (const Json* changes = body.raw("parameters")) {
    if (!changes->is_object()) {
      body.refuse("parameters", Code::kInvalid, "parameters must be an object");
    } else {
      for (const auto& [key, value] : changes->items()) {
        if (value.is_null())
          spec.parameters.erase(key);
        else
          spec.parameters[key] = value;
      }
      auto checked = description->validate(spec.parameters);
      if (checked)
        spec.parameters = std::move(*checked);
      else
        body.refuse(checked.error());
    }
  }
  if (const Json* p = body.raw("priority")) {
    const auto priority = parse_priority(*p, body.pointer_to("priority"));
    if (priority)
      spec.priority = *priority;
    else
      body.refuse(priority.error());
  }
  if (const auto gb = body.number("max_memory_gb", 0, 1e6)) {
    if (*gb <= 0)
      body.refuse("max_memory_gb", Code::kInvalid, "max_memory_gb must be more than 0");
    else
      spec.limits.max_memory = static_cast<std::uint64_t>(std::llround(*gb * kGigabyte));
  }
  if (const auto cores = body.integer("max_cores", 1, kMaxWorkers * kMaxThreadsPerWorker))
    spec.limits.max_cores = static_cast<int>(*cores);
  if (const auto bad = body.text("on_bad_value")) {
    if (*bad != "fail" && *bad != "null")
      body.refuse("on_bad_value", Code::kInvalid, "on_bad_value must be \"fail\" or \"null\"");
    spec.on_bad_value = *bad;
  }
  if (const auto most = body.integer("max_bad_values", 0, INT64_MAX)) spec.max_bad_values = most;
  if (auto name = body.text("name", 255)) spec.name = std::move(*name);
  POLYSOME_TRY(body.finish());
  return out;
}

}  // namespace polysome
