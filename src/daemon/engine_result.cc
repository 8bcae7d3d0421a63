// Tables of completed jobs: pages and downloads for the API, text for polysome run.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <filesystem>

#include "base/files.h"
#include "base/nearest.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

constexpr std::uint64_t kPageBytes = 8'000'000;
// Of text: the first piece is soon there, further ones are written while it is printed.
constexpr std::uint64_t kFirstTextBytes = 4'000'000;
constexpr std::uint64_t kTextBytes = 32'000'000;

// The part of a result that one table is; nullptr when there is none of that name.
const Json* table_of(const Json& result, const std::string& name) {
  if (!result.is_object() || !result.contains("tables")) return nullptr;
  for (const auto& t : result["tables"])
    if (name.empty() ? t.value("name", "") == result.value("table", "")
                     : t.value("name", "") == name)
      return &t;
  if (name.empty() && !result["tables"].empty()) return &result["tables"].front();
  return nullptr;
}

std::vector<std::string> table_names(const Json& result) {
  std::vector<std::string> out;
  if (result.is_object() && result.contains("tables"))
    for (const auto& t : result["tables"]) out.push_back(t.value("name", ""));
  return out;
}

}  // namespace

Result<std::vector<std::string>> Engine::result_files(const std::string& dataset_id) {
  const auto slash = dataset_id.find('/');
  const auto id = JobId::parse(std::string_view(dataset_id).substr(4, 36));
  if (!id)
    return fail(Code::kUserData, fmt::format("\"{}\" does not name a job's result", dataset_id));
  POLYSOME_ASSIGN(const StoredJob job, find(*id));
  const std::string table = slash == std::string::npos ? "" : dataset_id.substr(slash + 1);
  const Json* found = table_of(job.state.result, table);
  if (found == nullptr)
    return fail(Code::kUserData, fmt::format("job {} has no table \"{}\"{}", id->text(), table,
                                             did_you_mean(table, table_names(job.state.result))));
  std::vector<std::string> files;
  for (const auto& f : (*found)["files"]) files.push_back(f.value("path", ""));
  return files;
}

Result<Json> Engine::find_table(const JobId& id, const std::string& wanted) {
  const auto job = find(id);
  if (!job) return fail(job.error());
  if (job->state.status != JobStatus::kCompleted) {
    Error e(Code::kConflict, fmt::format("job {} is {}; its result is there when it is completed",
                                         id.text(), name(job->state.status)));
    e.hint = is_final(job->state.status) ? "its status says why"
                                         : "GET jobs/{id}/status?wait=30 waits for it";
    return fail(std::move(e));
  }
  const Json* table = table_of(job->state.result, wanted);
  if (table == nullptr) {
    const auto names = table_names(job->state.result);
    return fail(Code::kNotFound,
                names.empty()
                    ? fmt::format("job {} gave no table; its result is in its status", id.text())
                    : fmt::format("job {} has no table \"{}\"{}", id.text(), wanted,
                                  did_you_mean(wanted, names)),
                names.empty() ? "" : fmt::format("it has {}", fmt::join(names, ", ")));
  }
  for (const auto& f : (*table)["files"]) {
    const std::string path = f.value("path", "");
    if (!std::filesystem::exists(path)) return fail(result_gone(*job, path));
  }
  return *table;
}

// Whoever is quickest to answer: the worker that made the data, or the data service.
void Engine::ask_data(const std::string& kind, Json body, const DataService::Reply& reply) {
  if (config_.workers_answer && executor_->ask(kind, body, reply)) return;
  data_.request(kind, std::move(body), reply);
}

void Engine::job_result(const JobId& id, const api::ResultQuery& query,
                        api::Reply<api::Download> reply) {
  const auto table = find_table(id, query.table);
  if (!table) return reply(fail(table.error()));
  Json files = Json::array();
  for (const auto& f : (*table)["files"]) files.push_back(f.value("path", ""));
  const std::string table_name = table->value("name", "result");
  Json body = {{"files", files}, {"table", table_name}};
  if (!query.columns.empty()) body["columns"] = query.columns;
  if (!query.where.empty()) body["where"] = query.where;
  if (!query.sort.empty()) body["sort"] = query.sort;
  if (query.format == "json") {
    std::uint64_t offset = 0;
    if (!query.page_token.empty()) {
      const auto [end, ec] = std::from_chars(
          query.page_token.data(), query.page_token.data() + query.page_token.size(), offset);
      if (ec != std::errc() || *end != '\0')
        return reply(fail(Code::kMalformed, "page_token is not one of ours",
                          "take next_page_token of the page before"));
    }
    body["offset"] = offset;
    body["limit"] = query.limit.value_or(100);
    body["max_bytes"] = kPageBytes;
    // A page may be larger than a frame: it comes as a file.
    body["path"] = config_.state_dir + "/tmp/page-" + std::to_string(random_());
    ask_data("result_page", std::move(body),
             [reply = std::move(reply), table_name](Result<Json> answer) {
               if (!answer) return reply(fail(answer.error()));
               Json page = std::move(*answer);
               if (page.contains("path")) {
                 const std::string path = page["path"];
                 const auto text = read_file(path);
                 (void)remove_all(path);
                 if (!text) return reply(fail(text.error()));
                 auto parsed = parse_trusted_json(*text);
                 if (!parsed) return reply(fail(parsed.error()));
                 page = std::move(*parsed);
               }
               api::Download out;
               out.body = {
                   {"table", table_name},
                   {"columns", page["columns"]},
                   {"rows", std::move(page["rows"])},
                   {"n_rows", page["n_rows"]},
                   {"next_page_token",
                    page["next_offset"].is_null() ? Json() : Json(dump(page["next_offset"]))}};
               reply(std::move(out));
             });
    return;
  }
  body["format"] = query.format;
  if (query.limit) body["limit"] = *query.limit;
  const std::string path =
      fmt::format("{}/tmp/download-{}.{}", config_.state_dir, random_(), query.format);
  body["path"] = path;
  const std::string file_name =
      fmt::format("{}-{}.{}", table_name, id.text().substr(28), query.format);
  data_.request("result_file", std::move(body),
                [reply = std::move(reply), path, file_name](Result<Json> answer) {
                  if (!answer) {
                    (void)remove_all(path);
                    return reply(fail(answer.error()));
                  }
                  api::Download out;
                  out.file = path;
                  out.remove = true;
                  out.content_type = answer->value("content_type", "application/octet-stream");
                  out.file_name = file_name;
                  reply(std::move(out));
                });
}

void Engine::result_text(const JobId& id, const std::string& format, std::uint64_t offset,
                         api::Reply<ResultText> reply) {
  const auto table = find_table(id, {});
  if (!table) return reply(fail(table.error()));
  const std::string path = fmt::format("{}/tmp/text-{}", config_.state_dir, random_());
  Json body = {{"files", (*table)["files"]},
               {"n_columns", table->value("n_columns", std::uint64_t{0})},
               {"format", format},
               {"offset", offset},
               {"max_bytes", offset == 0 ? kFirstTextBytes : kTextBytes},
               {"path", path}};
  ask_data("result_text", std::move(body), [reply = std::move(reply), path](Result<Json> answer) {
    if (!answer) {
      (void)remove_all(path);
      return reply(fail(answer.error()));
    }
    const Json& next = (*answer)["next_offset"];
    reply(
        ResultText{path, next.is_null() ? std::nullopt : std::optional(next.get<std::uint64_t>())});
  });
}

}  // namespace polysome
