// data/load in its three forms (a source, inline rows, content that is sent), materialization,
// results that become datasets, and forgetting. A name is given when its data is on disk; what it
// stood for before stays until no job reads it.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/bytes.h"
#include "base/files.h"
#include "base/log.h"
#include "daemon/dataset_request.h"
#include "daemon/engine.h"
#include "daemon/upload.h"

namespace polysome {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kDiskReserve = 100'000'000;
// What a table keeps when its values are written anew.
constexpr const char* kLastingLayout[] = {"kind", "orientation", "label_columns", "scale",
                                          "zero_is_missing"};

constexpr const char* kLoadExample =
    "for example {\"dataset_id\": \"counts\", \"source\": \"liver/counts.tsv\"}, or "
    "{\"dataset_id\": "
    "\"samples\", \"rows\": [{\"id\": \"S1\"}]}";

Result<std::string> rows_as_ndjson(const Json& rows) {
  const auto refuse = [](std::size_t i, const std::string& what) {
    return fail(Error(Code::kInvalid, what, "rows is a list of objects: [{\"id\": \"S1\"}, …]")
                    .at(fmt::format("/rows/{}", i)));
  };
  if (!rows.is_array() || rows.empty())
    return fail(Error(Code::kInvalid, "rows is not a list of at least one object").at("/rows"));
  std::string out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].is_object() || rows[i].empty())
      return refuse(i, fmt::format("row {} is not an object with members", i));
    out += dump(rows[i]);
    out += "\n";
  }
  return out;
}

Error at_if_nowhere(Error error, const std::string& pointer) {
  return error.errors.empty() ? std::move(error).at(pointer) : error;
}

}  // namespace

std::string Engine::dataset_folder() const { return config_.state_dir + "/datasets"; }

Result<std::shared_ptr<api::BodySink>> Engine::open_upload(const std::string& id,
                                                           std::uint64_t announced) {
  POLYSOME_TRY(good_dataset_name(id));
  const auto free = free_disk_bytes(dataset_folder());
  if (free && announced + kDiskReserve > *free)
    return fail(Code::kDiskFull,
                fmt::format("the state folder has room for {}, the content is {}",
                            format_bytes(*free > kDiskReserve ? *free - kDiskReserve : 0),
                            format_bytes(announced)),
                "make room, or put the file below a data folder and load its path");
  POLYSOME_ASSIGN(auto upload,
                  Upload::create(fmt::format("{}/{:016x}.part", dataset_folder(), random_()),
                                 config_.max_upload));
  return std::static_pointer_cast<api::BodySink>(std::move(upload));
}

void Engine::data_upload(const std::string& id, const std::string& format, bool replace,
                         std::shared_ptr<api::BodySink> content, const std::string& caller,
                         api::Reply<Json> reply) {
  auto upload = std::dynamic_pointer_cast<Upload>(std::move(content));
  if (upload == nullptr)
    return reply(fail(Code::kInvalid, "the request has no content",
                      "send the file as the body: curl -T FILE URL"));
  if (auto ok = upload->finish(); !ok) return reply(fail(ok.error()));
  LoadRequest load;
  load.dataset.id = load.dataset.ref.id = id;
  load.dataset.ref.format = format;
  load.dataset.ref.files = {upload->path()};
  load.dataset.record = {{"source", "content"}, {"content_hash", upload->hash()}};
  load.replace = replace;
  load.caller = caller;
  load.content = std::move(upload);
  load.pointer = "";
  register_dataset(std::move(load), std::move(reply));
}

void Engine::data_load(const Json& body, const std::string& caller, api::Reply<Json> reply) {
  ObjectReader r(body, "");
  const auto id = r.text("dataset_id", 1000);
  const auto source = r.text("source");
  const Json* rows = r.raw("rows");
  LoadRequest load;
  load.replace = r.boolean("replace").value_or(false);
  load.materialize = r.boolean("materialize").value_or(false);
  load.caller = caller;
  const auto columns = r.texts("columns", 100'000);
  auto layout = read_layout(r);
  auto format = read_format(r);
  if (auto ok = r.finish(); !ok) return reply(fail(ok.error()));
  if (!layout) return reply(fail(layout.error()));
  if (!format) return reply(fail(format.error()));
  if (!id)
    return reply(
        fail(Error(Code::kInvalid, "dataset_id is missing: the name to load it under", kLoadExample)
                 .at("/dataset_id")));
  if (source.has_value() == (rows != nullptr))
    return reply(fail(Error(Code::kInvalid,
                            source ? "give source or rows, not both"
                                   : "source is missing: a path, folder or glob below a data "
                                     "folder, or a database's address; or rows",
                            kLoadExample)
                          .at("/source")));
  if (auto ok = good_dataset_name(*id); !ok) return reply(fail(ok.error()));
  if (source && source->empty())
    return reply(fail(Error(Code::kInvalid, "source is empty", kLoadExample).at("/source")));
  auto& dataset = load.dataset;
  dataset.id = dataset.ref.id = *id;
  dataset.ref.format = *format;
  dataset.ref.layout = std::move(*layout);
  if (columns) dataset.ref.layout["columns"] = *columns;  // only these are offered and shown
  if (source) {
    auto path = datasets_.resolve_source(*source, "/source");
    if (!path) return reply(fail(path.error()));
    dataset.ref.source = *path;
    dataset.record = {{"source", *path}};
    load.pointer = "/source";
    return register_dataset(std::move(load), std::move(reply));
  }
  auto text = rows_as_ndjson(*rows);
  if (!text) return reply(fail(text.error()));
  auto upload = Upload::create(fmt::format("{}/{:016x}.part", dataset_folder(), random_()),
                               config_.max_upload);
  if (!upload) return reply(fail(upload.error()));
  if (auto ok = (*upload)->take(*text); !ok) return reply(fail(ok.error()));
  if (auto ok = (*upload)->finish(); !ok) return reply(fail(ok.error()));
  dataset.ref.format = "ndjson";
  dataset.ref.files = {(*upload)->path()};
  dataset.record = {{"source", "rows"}, {"content_hash", (*upload)->hash()}};
  load.content = std::move(*upload);
  load.pointer = "/rows";
  register_dataset(std::move(load), std::move(reply));
}

// Whether a name stands for just this already; kConflict if it stands for something else.
Result<bool> Engine::is_loaded_already(const LoadRequest& load) const {
  const auto* known = datasets_.loaded(load.dataset.id);
  if (known == nullptr || load.replace) return false;
  DatasetRef a = known->ref, b = load.dataset.ref;
  const std::string hash = load.dataset.record.value("content_hash", "");
  if (!hash.empty() && known->record.value("content_hash", "") == hash) b.files = a.files;
  if (a.to_json() == b.to_json()) return true;
  return fail(Code::kConflict,
              fmt::format("dataset \"{}\" is loaded already, from {}", load.dataset.id,
                          known->record.value("source", known->ref.source)),
              "give \"replace\": true, or another name");
}

void Engine::register_dataset(LoadRequest load, api::Reply<Json> reply) {
  // Whoever is told finds nothing left of content that was not taken.
  if (load.content)
    reply = [content = load.content, told = std::move(reply)](Result<Json> answer) {
      content->discard();
      told(std::move(answer));
    };
  const auto same = is_loaded_already(load);
  if (!same) return reply(fail(same.error()));
  if (*same) return reply(datasets_.loaded(load.dataset.id)->record);
  Json request = {
      {"dataset", load.dataset.ref.to_json()}, {"read_roots", readable_roots()}, {"missing", true}};
  if (load.content) request["sync"] = load.dataset.ref.files;
  data_.request(
      "inspect", std::move(request),
      [this, load = std::move(load), reply = std::move(reply)](Result<Json> seen) mutable {
        if (!seen) return reply(fail(at_if_nowhere(std::move(seen.error()), load.pointer)));
        // Another request may have taken the name meanwhile.
        if (const auto again = is_loaded_already(load); !again) return reply(fail(again.error()));
        auto& dataset = load.dataset;
        dataset.created_at = wall_now();
        const Json given = std::exchange(dataset.record, Json{{"dataset_id", dataset.id}});
        dataset.record.update(*seen);
        dataset.record.update(given);
        dataset.record["created_at"] = format_time(dataset.created_at);
        dataset.record["loaded"] = true;
        // From here on the file belongs to the name: a crash leaves it to the next start, which
        // removes what no name stands for.
        const std::shared_ptr<Upload> content = load.content;
        if (content) content->keep();
        const StoredDataset stored = dataset;  // `load` moves into what comes after
        store_.put_dataset(stored, [this, load = std::move(load), content,
                                    reply = std::move(reply)](const Status& status) mutable {
          if (!status) {
            if (content) (void)remove_all(content->path());
            return reply(fail(status.error()));
          }
          take_name(load.dataset);
          if (!load.materialize) return reply(load.dataset.record);
          materialize(load, std::move(reply));
        });
      });
}

// Gives the name to the dataset; what it stood for is removed when it was ours.
void Engine::take_name(const StoredDataset& dataset) {
  std::vector<std::string> before;
  if (const auto* known = datasets_.loaded(dataset.id)) before = known->ref.files;
  datasets_.add_loaded(dataset);
  journal_.append("dataset.loaded", std::nullopt, "",
                  {{"dataset_id", dataset.id}, {"source", dataset.record.value("source", "")}});
  remove_unused_content(before);
}

// Files of the state folder that no name stands for and no unfinished job reads.
void Engine::remove_unused_content(const std::vector<std::string>& files) {
  std::set<std::string> used;
  for (const auto& [id, dataset] : datasets_.all_loaded())
    used.insert(dataset.ref.files.begin(), dataset.ref.files.end());
  for (const auto& [id, job] : active_)
    for (const auto& ref : job.spec.datasets) used.insert(ref.files.begin(), ref.files.end());
  const fs::path folder = dataset_folder();
  for (const auto& file : files)
    if (fs::path(file).parent_path() == folder && !used.contains(file))
      if (const auto removed = remove_all(file); !removed)
        log::warning("{}", removed.error().message);
}

void Engine::remove_orphaned_content() {
  std::vector<std::string> files;
  std::error_code ec;
  for (const auto& e : fs::directory_iterator(dataset_folder(), ec))
    files.push_back(e.path().string());
  remove_unused_content(files);
}

void Engine::materialize(const LoadRequest& load, api::Reply<Json> reply) {
  const auto& dataset = load.dataset;
  const Json body = {{"operation", "filter"},
                     {"dataset_id", dataset.id},
                     {"name", "load " + dataset.id},
                     {"output", {{"dataset_id", dataset.id}, {"if_exists", "replace"}}}};
  auto request = parse_submit(body, catalog_, config_.submit);
  if (!request) return reply(fail(request.error()));
  request->spec.user = load.caller;
  request->spec.datasets = {dataset.ref};
  // What only the format says would be lost with it.
  const Json layout = dataset.record.value("layout", Json::object());
  for (const char* key : kLastingLayout)
    if (layout.contains(key) && layout[key].value("from", Json()) == "format")
      request->spec.datasets[0].layout[key] = layout[key]["value"];
  submit(std::move(*request), load.caller, "",
         [record = dataset.record,
          reply = std::move(reply)](const Result<api::SubmitAnswer>& submitted) mutable {
           if (!submitted) return reply(fail(submitted.error()));
           record["job_id"] = submitted->id.text();
           reply(std::move(record));
         });
}

// The name that a job's answer is to have; an end that gives none is not one to build on.
std::optional<StoredDataset> Engine::dataset_of_result(const JobSpec& spec, const JobState& end) {
  if (end.status != JobStatus::kCompleted || !spec.output.is_object() ||
      !spec.output.contains("dataset_id") || !end.result.is_object())
    return std::nullopt;
  const std::string main = end.result.value("table", "");
  for (const auto& table : end.result.value("tables", Json::array())) {
    if (table.value("name", "") != main) continue;
    StoredDataset out;
    out.id = out.ref.id = spec.output["dataset_id"].get<std::string>();
    out.created_at = wall_now();
    out.ref.format = "parquet";
    std::uint64_t bytes = 0;
    for (const auto& file : table.value("files", Json::array())) {
      out.ref.files.push_back(file.value("path", ""));
      bytes += file.value("bytes", std::uint64_t{0});
    }
    if (out.ref.files.empty()) return std::nullopt;
    if (spec.datasets.size() == 1 && spec.operation == "filter")
      for (const char* key : kLastingLayout)
        if (spec.datasets[0].layout.contains(key))
          out.ref.layout[key] = spec.datasets[0].layout[key];
    out.record = {{"dataset_id", out.id},
                  {"source", "job:" + spec.id.text()},
                  {"format", "parquet"},
                  {"columns", table.value("columns", Json::array())},
                  {"n_columns", table.value("n_columns", 0)},
                  {"n_rows", table.value("n_rows", std::uint64_t{0})},
                  {"n_rows_exact", true},
                  {"total_size_bytes", bytes},
                  {"job_id", spec.id.text()},
                  {"created_at", format_time(out.created_at)},
                  {"loaded", true}};
    return out;
  }
  return std::nullopt;
}

// Refuses a job whose answer is to take a name that stands for something else.
// What can be told before the job runs; its last task looks again, at what is there then.
Status Engine::check_output_path(const JobSpec& spec) const {
  const auto& roots = config_.output_roots;
  if (!spec.output.is_object() || !spec.output.contains("path") || roots.empty()) return {};
  const auto asked = spec.output["path"].get<std::string>();
  std::error_code ec;
  const fs::path path = fs::weakly_canonical(fs::path(roots.front()) / asked, ec);
  const bool below = std::ranges::any_of(roots, [&](const std::string& root) {
    const fs::path relative = path.lexically_relative(fs::weakly_canonical(root, ec));
    return !relative.empty() && *relative.begin() != ".." && relative != ".";
  });
  if (below) return {};
  return fail(
      Error(
          Code::kInvalid, fmt::format("output path {} lies outside the output folders", asked),
          fmt::format("give a path relative to {}, or one below {}; serve --output-dir DIR allows "
                      "others",
                      roots.front(), fmt::join(roots, ", ")))
          .at("/output/path"));
}

Status Engine::check_output_name(const JobSpec& spec) const {
  POLYSOME_TRY(check_output_path(spec));
  if (!spec.output.is_object() || !spec.output.contains("dataset_id")) return {};
  const auto id = spec.output["dataset_id"].get<std::string>();
  const auto* known = datasets_.loaded(id);
  if (known == nullptr || spec.output.value("if_exists", "error") == "replace") return {};
  return fail(Error(Code::kConflict,
                    fmt::format("dataset \"{}\" is loaded already, from {}", id,
                                known->record.value("source", known->ref.source)),
                    "choose another name, or say \"if_exists\": \"replace\"")
                  .at("/output/dataset_id"));
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
    std::vector<std::string> files;
    if (const auto* known = datasets_.loaded(id)) files = known->ref.files;
    datasets_.remove_loaded(id);
    remove_unused_content(files);
    reply(Json{{"dataset_id", id}, {"forgotten", true}});
  });
}

}  // namespace polysome
