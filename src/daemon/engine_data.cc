// Datasets as the API asks for them: partition, list, show. engine_load.cc has load and forget.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/nearest.h"
#include "daemon/dataset_request.h"
#include "daemon/engine.h"

namespace polysome {
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
        // Of very many files only a job knows what they come to.
        const bool by_job = wanted.exact || out.value("more_files", false);
        if (by_job && !out.value("n_rows_exact", false))
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
  Json counts = state.result.value("summary", Json::object());
  counts["job_id"] = spec.id.text();
  store_.put_setting(counts_key(spec.datasets[0]), counts, {});
}

void Engine::use_counts(const PartitionRequest& request, Json* answer) {
  const auto known = store_.setting(counts_key(request.ref));
  if (!known || known->value("fingerprint", "") != answer->value("fingerprint", "-")) return;
  (*answer)["n_rows"] = known->value("n_rows", std::uint64_t{0});
  (*answer)["n_rows_exact"] = true;
  if (answer->value("more_files", false)) {
    // The partitions are in the result of the job that counted.
    for (const char* key : {"n_files", "total_size_bytes", "n_partitions", "job_id"})
      if (known->contains(key)) (*answer)[key] = (*known)[key];
    (*answer)["total_size"] = format_bytes((*answer)["total_size_bytes"].get<std::uint64_t>());
    answer->erase("more_files");
  }
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
  JobSpec& spec = submit_request->spec;
  spec.user = caller;
  spec.datasets = {request.ref};
  // Asked again while a job still counts: that one.
  for (const auto& [id, job] : active_) {
    const JobSpec& other = job.spec;
    if (job.ending || other.operation != spec.operation || other.user != spec.user ||
        other.datasets != spec.datasets || other.partition_size != spec.partition_size)
      continue;
    answer["job_id"] = id.text();
    return reply(std::move(answer));
  }
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
  bool more = false;
  for (const auto& e : datasets_.list(&more))
    list.push_back({{"dataset_id", e.id},
                    {"source", e.source.empty() && datasets_.loaded(e.id) != nullptr
                                   ? datasets_.loaded(e.id)->record.value("source", "")
                                   : e.source},
                    {"format", e.format},
                    {"size", e.bytes ? Json(format_bytes(*e.bytes)) : Json()},
                    {"size_bytes", e.bytes ? Json(*e.bytes) : Json()},
                    {"loaded", e.loaded}});
  const std::size_t total = list.size();
  Json out = {
      {"datasets", std::move(list)}, {"total", total}, {"data_dirs", datasets_.data_dirs()}};
  if (more) out["more_datasets"] = true;  // by path any file is a dataset
  return out;
}

void Engine::dataset(const std::string& id, std::uint64_t column_offset, std::size_t columns,
                     api::Reply<Json> reply) {
  auto ref = datasets_.resolve(id, "");
  if (!ref) {
    Error e = ref.error();
    if (e.code == Code::kInvalid) e.code = Code::kNotFound;
    e.errors.clear();
    return reply(fail(std::move(e)));
  }
  const auto* loaded = datasets_.loaded(id);
  Json head = {{"dataset_id", id}, {"source", ref->source}, {"loaded", loaded != nullptr}};
  if (loaded != nullptr)
    for (const char* key : {"source", "created_at", "job_id"})
      if (loaded->record.contains(key)) head[key] = loaded->record[key];
  if (loaded != nullptr) head["was"] = loaded->record.value("fingerprint", "");
  Json request = {{"dataset", ref->to_json()},
                  {"read_roots", readable_roots()},
                  {"column_offset", column_offset},
                  {"columns", columns}};
  data_.request("inspect", std::move(request), [head, reply = std::move(reply)](Result<Json> seen) {
    if (!seen) return reply(fail(seen.error()));
    Json out = head;
    out.erase("was");
    out.update(*seen);
    const Json next = out["next_column"];
    out.erase("next_column");
    out["next_page_token"] = next.is_null() ? Json() : Json(dump(next));
    const std::string was = head.value("was", "");
    if (!was.empty()) out["changed_since_load"] = was != seen->value("fingerprint", "");
    reply(std::move(out));
  });
}

}  // namespace polysome
