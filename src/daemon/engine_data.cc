// Datasets as the API asks for them: load, partition, list, show, forget.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/nearest.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

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

void Engine::data_load(const Json& body, const std::string& caller, api::Reply<Json> reply) {
  (void)caller;
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
  auto path = datasets_.resolve_source(*source, "/source");
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
  Json request = {{"dataset", dataset.ref.to_json()}, {"read_roots", readable_roots()}};
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

struct Engine::PartitionRequest {
  DatasetRef ref;
  bool by_path = false;
  Json layout;  // of this request
  std::string format;
  std::optional<std::uint64_t> size;
  std::uint32_t slots = 1;
  std::uint64_t offset = 0;
  std::uint64_t limit = 1000;
  bool exact = false;
};

Result<Engine::PartitionRequest> Engine::read_partition_request(const Json& body) {
  ObjectReader r(body, "");
  PartitionRequest out;
  const auto id = r.text("dataset_id", 4096);
  const auto path = r.text("path");
  out.size = r.bytes("partition_size");
  const auto n_workers = r.integer("n_workers", 1, kMaxWorkers);
  out.limit = static_cast<std::uint64_t>(r.integer("limit", 1, 1000).value_or(1000));
  out.exact = r.boolean("exact").value_or(false);
  const auto token = r.text("page_token");
  auto layout = read_layout(r);
  auto format = read_format(r);
  if (id.has_value() == path.has_value())
    r.refuse("dataset_id", Code::kInvalid, "give exactly one of dataset_id and path");
  if (out.size && *out.size == 0)
    r.refuse("partition_size", Code::kInvalid, "partition_size must be at least 1 byte");
  if (token) {
    const auto [end, ec] =
        std::from_chars(token->data(), token->data() + token->size(), out.offset);
    if (ec != std::errc() || end != token->data() + token->size())
      r.refuse("page_token", Code::kMalformed, "page_token is not one of ours",
               "take next_page_token of the page before");
  }
  POLYSOME_TRY(r.finish());
  if (!layout) return fail(layout.error());
  if (!format) return fail(format.error());
  out.by_path = path.has_value();
  if (id) {
    POLYSOME_ASSIGN(out.ref, datasets_.resolve(*id, "/dataset_id"));
    if (out.ref.source.starts_with("job:")) {
      auto files = result_files(out.ref.source);
      if (!files) return fail(std::move(files.error()).at("/dataset_id"));
      out.ref.files = std::move(*files);
      out.ref.source.clear();
      out.ref.format = "parquet";
    }
  } else {
    out.ref.id = *path;
    POLYSOME_ASSIGN(out.ref.source, datasets_.resolve_source(*path, "/path"));
  }
  if (!format->empty()) out.ref.format = *format;
  out.ref.layout.update(*layout);
  const ClusterSpec& cluster =
      core_->cluster().status == "stopped" ? config_.cluster : core_->cluster().spec;
  const int workers = n_workers ? static_cast<int>(*n_workers) : cluster.n_workers;
  out.slots = static_cast<std::uint32_t>(std::max(1, workers * cluster.threads_per_worker));
  return out;
}

void Engine::data_partition(const Json& body, const std::string& caller, api::Reply<Json> reply) {
  auto wanted = read_partition_request(body);
  if (!wanted) return reply(fail(wanted.error()));
  Json request = {{"dataset", wanted->ref.to_json()},
                  {"partition_size", wanted->size.value_or(config_.submit.partition_size)},
                  {"size_given", wanted->size.has_value()},
                  {"slots", wanted->slots},
                  {"read_roots", readable_roots()},
                  {"offset", wanted->offset},
                  {"limit", wanted->limit}};
  data_.request(
      "partition", std::move(request),
      [this, wanted = *wanted, caller, reply = std::move(reply)](Result<Json> answer) mutable {
        if (!answer) return reply(fail(answer.error()));
        Json out = {{"dataset_id", wanted.ref.id}};
        out.update(*answer);
        out["next_page_token"] =
            out["next_offset"].is_null() ? Json() : Json(dump(out["next_offset"]));
        out.erase("next_offset");
        use_counts(wanted, &out);
        if (wanted.exact && !out.value("n_rows_exact", false))
          return count_exactly(wanted, caller, std::move(out), std::move(reply));
        reply(std::move(out));
      });
}

// ---- exact counts: made by a job, kept until a file changes ----

namespace {

// Where the counts of a dataset lie among the settings: whatever else it is called.
std::string counts_key(const DatasetRef& ref) {
  DatasetRef nameless = ref;
  nameless.id.clear();
  return "rows/" + dump(nameless.to_json());
}

}  // namespace

void Engine::keep_counts(const JobSpec& spec, const JobState& state) {
  if (spec.operation != "partition" || state.status != JobStatus::kCompleted ||
      spec.datasets.empty() || !state.result.is_object())
    return;
  store_.put_setting(counts_key(spec.datasets[0]), state.result.value("summary", Json::object()),
                     {});
}

void Engine::use_counts(const PartitionRequest& request, Json* answer) {
  const auto known = store_.setting(counts_key(request.ref));
  if (!known || known->value("fingerprint", "") != answer->value("fingerprint", "-")) return;
  (*answer)["n_rows"] = known->value("n_rows", std::uint64_t{0});
  (*answer)["n_rows_exact"] = true;
  const auto rows = known->find("partition_rows");
  if (rows == known->end() || rows->size() != answer->value("n_partitions", std::size_t{0})) return;
  for (auto& p : (*answer)["partitions"]) {
    const auto index = p.value("index", std::size_t{0});
    if (index < rows->size()) p["rows"] = (*rows)[index];
  }
}

void Engine::count_exactly(const PartitionRequest& request, const std::string& caller, Json answer,
                           api::Reply<Json> reply) {
  Json body = {{"operation", "partition"}, {"dataset_id", request.ref.id}};
  if (request.size) body["partition_size"] = *request.size;
  auto submit_request = parse_submit(body, catalog_, config_.submit);
  if (!submit_request) return reply(fail(submit_request.error()));
  submit_request->spec.user = caller;
  submit_request->spec.datasets = {request.ref};
  submit(std::move(*submit_request), caller, "",
         [answer = std::move(answer),
          reply = std::move(reply)](const Result<api::SubmitAnswer>& submitted) mutable {
           if (!submitted) return reply(fail(submitted.error()));
           answer["job_id"] = submitted->id.text();
           reply(std::move(answer));
         });
}

// Where datasets may lie: data folders, and what the service keeps itself. Empty: anywhere.
Json Engine::readable_roots() const {
  Json roots = config_.read_roots;
  if (!config_.read_roots.empty()) {
    roots.push_back(config_.work_dir);
    roots.push_back(config_.state_dir + "/datasets");
  }
  return roots;
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
  Json request = {{"dataset", ref->to_json()}, {"read_roots", readable_roots()}};
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
