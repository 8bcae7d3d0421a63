// Datasets as the API asks for them: load, partition, list, show, forget.
#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/nearest.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

bool is_database(const std::string& source) { return source.find("://") != std::string::npos; }

Status good_name(const std::string& id) {
  if (id.empty() || id.size() > 255 || id.find('/') != std::string::npos || id.starts_with("job:"))
    return fail(Error(Code::kInvalid, fmt::format("\"{}\" can't be a dataset's name", id),
                      "a name is not empty, has no / and does not begin with job:")
                    .at("/dataset_id"));
  return {};
}

// layout, format, columns and null_values of a request, as one layout.
Result<Json> read_layout(ObjectReader& r) {
  Json layout = Json::object();
  if (const Json* given = r.raw("layout")) {
    POLYSOME_ASSIGN(layout, parse_layout(*given, "/layout"));
  }
  if (const Json* nulls = r.raw("null_values")) {
    POLYSOME_ASSIGN(const Json checked, parse_layout({{"null_values", *nulls}}, ""));
    layout["null_values"] = checked["null_values"];
  }
  return layout;
}

Result<std::string> read_format(ObjectReader& r) {
  static const std::vector<std::string> kFormats{"csv", "tsv", "parquet", "ndjson", "json"};
  const auto format = r.text("format");
  if (!format) return std::string();
  for (const auto& f : kFormats)
    if (f == *format) return f;
  return fail(
      Error(Code::kInvalid,
            fmt::format("format \"{}\" is not known{}", *format, did_you_mean(*format, kFormats)),
            "one of csv, tsv, parquet, ndjson, json")
          .at("/format"));
}

}  // namespace

void Engine::data_load(const Json& body, api::Reply<Json> reply) {
  ObjectReader r(body, "");
  const auto id = r.text("dataset_id", 1000);
  const auto source = r.text("source");
  const bool replace = r.boolean("replace").value_or(false);
  const auto columns = r.texts("columns", 100'000);
  auto layout = read_layout(r);
  auto format = read_format(r);
  if (auto ok = r.finish(); !ok) return reply(fail(ok.error()));
  if (!layout) return reply(fail(layout.error()));
  if (!format) return reply(fail(format.error()));
  if (!id)
    return reply(fail(Error(Code::kInvalid, "dataset_id is missing: the name to load it under")
                          .at("/dataset_id")));
  if (!source)
    return reply(
        fail(Error(Code::kInvalid, "source is missing: a path, folder or glob below a data folder")
                 .at("/source")));
  if (auto ok = good_name(*id); !ok) return reply(fail(ok.error()));
  if (is_database(*source))
    return reply(fail(Error(Code::kInvalid,
                            fmt::format("{}: this version reads files, not databases", *source),
                            "export the table as Parquet or CSV below a data folder and load that")
                          .at("/source")));
  auto path = datasets_.resolve_path(*source, "/source");
  if (!path) return reply(fail(path.error()));
  StoredDataset dataset;
  dataset.id = *id;
  dataset.created_at = wall_now();
  dataset.ref.id = *id;
  dataset.ref.source = *path;
  dataset.ref.format = *format;
  dataset.ref.layout = std::move(*layout);
  if (const auto* known = datasets_.loaded(*id); known != nullptr && !replace) {
    if (known->ref.to_json() == dataset.ref.to_json()) return reply(known->record);
    return reply(
        fail(Code::kConflict,
             fmt::format("dataset \"{}\" is loaded already, from {}", *id, known->ref.source),
             "give \"replace\": true, or another name"));
  }
  Json request = {{"dataset", dataset.ref.to_json()}, {"read_roots", config_.read_roots}};
  data_.request(
      "inspect", std::move(request),
      [this, dataset, columns, reply = std::move(reply)](Result<Json> seen) mutable {
        if (!seen) return reply(fail(std::move(seen.error()).at("/source")));
        if (columns) {
          std::vector<std::string> names;
          for (const auto& c : (*seen)["columns"]) names.push_back(c.value("name", ""));
          for (const auto& wanted : *columns)
            if (std::ranges::find(names, wanted) == names.end())
              return reply(fail(Error(Code::kInvalid,
                                      fmt::format("column \"{}\" is not in {}{}", wanted,
                                                  dataset.ref.source, did_you_mean(wanted, names)))
                                    .at("/columns")));
          // Only these are offered to jobs and shown.
          dataset.ref.layout["columns"] = *columns;
          Json kept = Json::array();
          for (const auto& wanted : *columns)
            for (const auto& c : (*seen)["columns"])
              if (c.value("name", "") == wanted) kept.push_back(c);
          (*seen)["columns"] = std::move(kept);
        }
        dataset.record = {{"dataset_id", dataset.id}, {"source", dataset.ref.source}};
        dataset.record.update(*seen);
        dataset.record["created_at"] = format_time(dataset.created_at);
        dataset.record["loaded"] = true;
        store_.put_dataset(
            dataset, [this, dataset, reply = std::move(reply)](const Status& status) {
              if (!status) return reply(fail(status.error()));
              datasets_.add_loaded(dataset);
              journal_.append("dataset.loaded", std::nullopt, "",
                              {{"dataset_id", dataset.id}, {"source", dataset.ref.source}});
              reply(dataset.record);
            });
      });
}

void Engine::data_partition(const Json& body, api::Reply<Json> reply) {
  ObjectReader r(body, "");
  const auto id = r.text("dataset_id", 4096);
  const auto path = r.text("path");
  auto size = r.bytes("partition_size");
  const auto n_workers = r.integer("n_workers", 1, kMaxWorkers);
  const auto limit = r.integer("limit", 1, 1000).value_or(1000);
  const auto offset_token = r.text("page_token");
  auto layout = read_layout(r);
  auto format = read_format(r);
  if (id.has_value() == path.has_value())
    r.refuse("dataset_id", Code::kInvalid, "give exactly one of dataset_id and path");
  if (size && *size == 0)
    r.refuse("partition_size", Code::kInvalid, "partition_size must be at least 1 byte");
  std::uint64_t offset = 0;
  if (offset_token) {
    try {
      offset = std::stoull(*offset_token);
    } catch (const std::exception&) {
      r.refuse("page_token", Code::kMalformed, "page_token is not one of ours");
    }
  }
  if (auto ok = r.finish(); !ok) return reply(fail(ok.error()));
  if (!layout) return reply(fail(layout.error()));
  if (!format) return reply(fail(format.error()));
  DatasetRef ref;
  if (id) {
    auto found = datasets_.resolve(*id, "/dataset_id");
    if (!found) return reply(fail(found.error()));
    ref = std::move(*found);
    if (ref.source.starts_with("job:")) {
      auto files = result_files(ref.source);
      if (!files) return reply(fail(std::move(files.error()).at("/dataset_id")));
      ref.files = std::move(*files);
      ref.source.clear();
      ref.format = "parquet";
    }
  } else {
    auto found = datasets_.resolve_path(*path, "/path");
    if (!found) return reply(fail(found.error()));
    ref.id = *path;
    ref.source = *found;
  }
  if (!format->empty()) ref.format = *format;
  ref.layout.update(*layout);
  Json roots = config_.read_roots;
  if (!config_.read_roots.empty()) roots.push_back(config_.work_dir);
  Json request = {{"dataset", ref.to_json()},
                  {"partition_size", size.value_or(config_.submit.partition_size)},
                  {"read_roots", std::move(roots)},
                  {"offset", offset},
                  {"limit", limit}};
  if (n_workers) request["n_workers"] = *n_workers;
  data_.request("partition", std::move(request),
                [ref, reply = std::move(reply)](Result<Json> answer) {
                  if (!answer) return reply(fail(answer.error()));
                  Json out = {{"dataset_id", ref.id}};
                  out.update(*answer);
                  reply(std::move(out));
                });
}

void Engine::add_files(const std::string& id, const std::vector<std::string>& files) {
  StoredDataset dataset;
  dataset.id = id;
  dataset.ref.id = id;
  dataset.ref.files = files;
  dataset.record = Json::object();
  datasets_.add_loaded(std::move(dataset));
}

Json Engine::datasets() {
  Json list = Json::array();
  for (const auto& e : datasets_.list())
    list.push_back({{"dataset_id", e.id},
                    {"source", e.source},
                    {"format", e.format},
                    {"size", format_bytes(e.bytes)},
                    {"size_bytes", e.bytes},
                    {"loaded", e.loaded}});
  const std::size_t total = list.size();
  return {{"datasets", std::move(list)}, {"total", total}, {"data_dirs", datasets_.data_dirs()}};
}

void Engine::dataset(const std::string& id, api::Reply<Json> reply) {
  auto ref = datasets_.resolve(id, "");
  if (!ref) {
    Error e = ref.error();
    if (e.code == Code::kInvalid) e.code = Code::kNotFound;
    e.errors.clear();
    return reply(fail(std::move(e)));
  }
  const auto* loaded = datasets_.loaded(id);
  Json head = {{"dataset_id", id}, {"source", ref->source}, {"loaded", loaded != nullptr}};
  Json request = {{"dataset", ref->to_json()}, {"read_roots", config_.read_roots}};
  data_.request("inspect", std::move(request), [head, reply = std::move(reply)](Result<Json> seen) {
    if (!seen) return reply(fail(seen.error()));
    Json out = head;
    out.update(*seen);
    reply(std::move(out));
  });
}

void Engine::forget_dataset(const std::string& id, api::Reply<Json> reply) {
  if (datasets_.loaded(id) == nullptr) {
    const auto there = datasets_.resolve(id, "");
    if (there)
      return reply(fail(
          Code::kConflict,
          fmt::format("\"{}\" is a file below a data folder; such files are never deleted", id),
          "only loaded names can be forgotten"));
    Error e = there.error();
    e.code = Code::kNotFound;
    e.errors.clear();
    return reply(fail(std::move(e)));
  }
  store_.remove_dataset(id, [this, id, reply = std::move(reply)](const Status& status) {
    if (!status) return reply(fail(status.error()));
    datasets_.remove_loaded(id);
    reply(Json{{"dataset_id", id}, {"forgotten", true}});
  });
}

}  // namespace polysome
