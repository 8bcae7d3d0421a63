// For tests: a backend with a few jobs, a journal in memory and notes of what it was asked. Used
// from one thread at a time.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "api/backend.h"

namespace polysome::api {

inline JobId job_number(std::uint8_t n) { return JobId::make(1'700'000'000'000 + n, {n}); }

inline OperationCatalog test_catalog() {
  OperationCatalog catalog;
  OperationDescription aggregate;
  aggregate.name = "aggregate";
  aggregate.type = "table";
  Parameter column;
  column.name = "column";
  column.type = ParamType::kColumn;
  aggregate.parameters.push_back(column);
  catalog.add(aggregate);
  return catalog;
}

class FakeBackend : public Backend {
 public:
  const OperationCatalog& catalog() const override { return catalog_; }
  SubmitDefaults submit_defaults() const override { return {}; }

  void cluster_start(const Json& body, double wait, Reply<Json> reply) override {
    note("cluster_start", {{"body", body}, {"wait", wait}}, reply);
  }
  void cluster_stop(bool force, double wait, Reply<Json> reply) override {
    note("cluster_stop", {{"force", force}, {"wait", wait}}, reply);
  }
  void cluster_scale(int n, double wait, Reply<Json> reply) override {
    note("cluster_scale", {{"n_workers", n}, {"wait", wait}}, reply);
  }
  Json cluster_status() override { return {{"status", "running"}}; }
  Json worker_status(const std::string& id, Status* status) override {
    if (id != "w1") *status = fail(Code::kNotFound, "there is no worker \"" + id + "\"");
    return {{"id", id}};
  }
  Result<Json> cluster_metrics(std::optional<WallTime> since, std::optional<double> step) override {
    return Json{{"since", since ? Json(*since) : Json()}, {"step", step ? Json(*step) : Json()}};
  }

  void submit(SubmitRequest request, const std::string& caller, const std::string& hash,
              Reply<SubmitAnswer> reply) override {
    Json spec = {{"user", request.spec.user},
                 {"caller", caller},
                 {"hash", hash},
                 {"key", request.idempotency_key},
                 {"operation", request.spec.operation}};
    asked.emplace_back("submit", spec);
    reply(SubmitAnswer{{{"job_id", job_number(7).text()}, {"status", "pending"}, {"asked", spec}},
                       job_number(7),
                       request.idempotency_key == "again"});
  }
  void validate(SubmitRequest request, Reply<Json> reply) override {
    asked.emplace_back("validate", Json{{"operation", request.spec.operation}});
    if (refuse_plan) return reply(fail(*refuse_plan));
    reply(Json{{"plan", {{"tasks", 3}}}, {"estimate", {{"seconds", nullptr}}}});
  }
  void retry(const JobId& id, const Json& body, const Repeat& repeat,
             Reply<SubmitAnswer> reply) override {
    asked.emplace_back("retry", Json{{"id", id.text()},
                                     {"body", body},
                                     {"caller", repeat.caller},
                                     {"key", repeat.key},
                                     {"hash", repeat.body_hash}});
    reply(SubmitAnswer{{{"job_id", job_number(8).text()}}, job_number(8), false});
  }
  Result<Json> job_status(const JobId& id) override {
    const auto it = jobs.find(id);
    if (it == jobs.end()) return fail(Code::kNotFound, "there is no job " + id.text());
    return it->second;
  }
  std::optional<std::string> job_owner(const JobId& id) override {
    const auto it = jobs.find(id);
    if (it == jobs.end()) return std::nullopt;
    return it->second.value("user", "anonymous");
  }
  void wait_job(const JobId& id, double seconds, std::optional<std::uint64_t> after,
                Reply<Json> reply) override {
    asked.emplace_back("wait_job",
                       Json{{"wait", seconds}, {"after", after ? Json(*after) : Json()}});
    if (hold_waits)
      waiting.push_back(std::move(reply));
    else
      reply(job_status(id));
  }
  void cancel(const JobId&, const std::string& reason, bool force, Reply<Json> reply) override {
    note("cancel", {{"reason", reason}, {"force", force}}, reply);
  }
  Result<Json> list_jobs(const ListQuery& q) override {
    return Json{{"jobs", Json::array()},
                {"limit", q.limit},
                {"full", q.full},
                {"user", q.user},
                {"priority", q.priority ? Json(name(*q.priority)) : Json()},
                {"status", q.status ? Json(name(*q.status)) : Json()}};
  }
  Result<Json> job_tasks(const JobId& id, std::uint32_t offset, std::uint32_t limit) override {
    if (!jobs.contains(id)) return fail(Code::kNotFound, "there is no job " + id.text());
    return Json{{"offset", offset}, {"limit", limit}};
  }
  void job_result(const JobId& id, const ResultQuery& q, Reply<Download> reply) override {
    if (!jobs.contains(id)) return reply(fail(Code::kNotFound, "there is no job " + id.text()));
    if (jobs[id]["status"] != "completed") return reply(fail(Code::kConflict, "not completed"));
    Download out;
    if (q.format == "json") {
      out.body = {{"rows", Json::array()}, {"columns", q.columns}, {"table", q.table}};
    } else {
      out.file = file_to_send;
      out.remove = true;
      out.content_type = "text/csv";
      out.file_name = "métrics 1.csv";
    }
    reply(std::move(out));
  }
  Result<LogPage> job_log(const JobId&, const LogQuery& query) override {
    LogPage out;
    for (out.next = query.from; out.next < log.size(); ++out.next) {
      out.more = out.lines.size() == query.limit;
      if (out.more) break;
      out.lines.push_back({{"time", "t"}, {"level", "info"}, {"message", log[out.next]}});
    }
    return out;
  }
  std::optional<std::uint64_t> follow_log(const JobId& id,
                                          std::function<void(bool)> told) override {
    if (jobs[id]["status"] != "running") return std::nullopt;
    log_told = std::move(told);
    return 1;
  }
  void unfollow_log(std::uint64_t) override { log_told = nullptr; }
  Json queue_status(std::size_t limit) override {
    return {{"limit", limit}, {"jobs", Json::array()}};
  }
  std::vector<std::string> recent_job_ids(std::size_t most) override {
    std::vector<std::string> out;
    for (const auto& [id, status] : jobs)
      if (out.size() < most) out.push_back(id.text());
    return out;
  }

  void submit_batch(std::vector<SubmitRequest> requests, const std::string& caller,
                    const std::string& key, const std::string& hash,
                    Reply<SubmitAnswer> reply) override {
    Json users = Json::array();
    for (const auto& r : requests) users.push_back(r.spec.user);
    const Json with = {{"n_jobs", requests.size()},
                       {"users", users},
                       {"caller", caller},
                       {"key", key},
                       {"hash", hash}};
    asked.emplace_back("submit_batch", with);
    reply(SubmitAnswer{{{"asked", with}}, job_number(8), key == "again"});
  }
  void patch_job(const JobId&, const JobPatch& p, Reply<Json> reply) override {
    note("patch_job",
         {{"priority", p.priority ? Json(name(*p.priority)) : Json()},
          {"held", p.held ? Json(*p.held) : Json()},
          {"keep", p.keep ? Json(*p.keep) : Json()},
          {"name", p.name ? Json(*p.name) : Json()},
          {"tags", p.tags ? Json(*p.tags) : Json()}},
         reply);
  }
  void cancel_jobs(const CancelFilter& f, Reply<Json> reply) override {
    note("cancel_jobs",
         {{"user", f.user},
          {"status", f.status ? Json(name(*f.status)) : Json()},
          {"tag", f.tag},
          {"job_ids", f.job_ids ? Json(f.job_ids->size()) : Json()},
          {"reason", f.reason}},
         reply);
  }
  Result<Json> explain(const JobId& id) override {
    if (!jobs.contains(id)) return fail(Code::kNotFound, "there is no job " + id.text());
    return Json{{"job_id", id.text()}};
  }
  void pause_queue(const std::string& reason, Reply<Json> reply) override {
    note("pause_queue", reason, reply);
  }
  void resume_queue(Reply<Json> reply) override { note("resume_queue", Json(), reply); }
  Json limits() override { return queue_limits.to_json(); }
  void set_limits(const QueueLimits& l, Reply<Json> reply) override {
    queue_limits = l;
    reply(limits());
  }
  void set_worker_aside(const std::string& id, WorkerAction action, const std::string& reason,
                        double seconds, Reply<Json> reply) override {
    if (id != "w1") return reply(fail(Code::kNotFound, "there is no worker \"" + id + "\""));
    note("set_worker_aside",
         {{"action", static_cast<int>(action)}, {"reason", reason}, {"seconds", seconds}}, reply);
  }
  Json autoscale() override { return {{"enabled", false}}; }
  void set_autoscale(const Json& body, Reply<Json> reply) override {
    note("set_autoscale", body, reply);
  }
  Json autoscale_decisions(std::optional<std::int64_t> before, std::size_t limit) override {
    return {{"before", before ? Json(*before) : Json()}, {"limit", limit}};
  }
  Json usage(bool by_operation, std::optional<WallTime> since) override {
    return {{"by_operation", by_operation}, {"since", since ? Json(*since) : Json()}};
  }
  Json recommendations(const std::string& operation) override { return {{"operation", operation}}; }
  Json fault_statistics() override { return {{"attempts", 0}}; }

  void data_load(const Json& body, const std::string&, Reply<Json> reply) override {
    note("data_load", body, reply);
  }
  void data_partition(const Json& body, const std::string&, Reply<Json> reply) override {
    note("data_partition", body, reply);
  }
  std::uint64_t most_upload() const override { return 5'000'000; }
  struct Kept : BodySink {
    std::string bytes;
    Status take(std::string_view more) override {
      bytes += more;
      return {};
    }
  };
  Result<std::shared_ptr<BodySink>> open_upload(const std::string& id, std::uint64_t) override {
    if (id == "full") return fail(Code::kDiskFull, "no room");
    return std::make_shared<Kept>();
  }
  void data_upload(const std::string& id, const std::string& format, bool replace,
                   std::shared_ptr<BodySink> content, const std::string& caller,
                   Reply<Json> reply) override {
    const auto* kept = dynamic_cast<Kept*>(content.get());
    note("data_upload",
         {{"id", id},
          {"format", format},
          {"replace", replace},
          {"bytes", kept != nullptr ? kept->bytes.size() : 0},
          {"caller", caller}},
         reply);
  }
  Json datasets() override { return {{"datasets", Json::array()}}; }
  void dataset(const std::string& id, std::uint64_t, std::size_t, Reply<Json> reply) override {
    note("dataset", id, reply);
  }
  void forget_dataset(const std::string& id, Reply<Json> reply) override {
    note("forget", id, reply);
  }

  std::uint64_t subscribe(std::optional<JobId> job, Listener listener) override {
    subscribers[++subscriptions] = {job, std::move(listener)};
    return subscriptions;
  }
  void unsubscribe(std::uint64_t subscription) override { subscribers.erase(subscription); }
  std::vector<Told> replay(std::uint64_t after, std::optional<JobId> job,
                           std::size_t limit) override {
    std::vector<Told> out;
    for (const auto& told : journal)
      if (told.id > after && (!job || told.job == job) && out.size() < limit) out.push_back(told);
    if (during_replay) during_replay();
    return out;
  }
  std::uint64_t newest_event() override { return newest; }
  std::uint64_t oldest_event() override { return journal.empty() ? 0 : journal.front().id; }
  std::optional<Told> snapshot(const JobId& id) override {
    const auto it = jobs.find(id);
    if (it == jobs.end()) return std::nullopt;
    const auto status = job_status_from_name(it->second.value("status", ""));
    return Told{newest,
                id,
                "job.status",
                "",
                dump({{"type", "job.status"}, {"snapshot", true}, {"data", snapshot_data}}),
                status && is_final(*status)};
  }
  Json health(int* status) override {
    *status = healthy ? 200 : 503;
    return {{"status", healthy ? "healthy" : "unhealthy"}};
  }
  bool ready(std::string* why_not) override {
    if (!healthy) *why_not = "the disk is full";
    return healthy;
  }
  Json version() override { return {{"version", "1"}}; }

  // A committed event: into the journal and to the subscribers.
  void tell(std::optional<JobId> job, std::string type, bool last = false, std::string user = {}) {
    const std::uint64_t seq = job ? ++seqs[*job] : 0;
    const Json envelope = {{"id", ++newest}, {"type", type}, {"seq", seq}};
    journal.push_back({newest, job, std::move(type), std::move(user), dump(envelope), last});
    const Told told = journal.back();
    auto listeners = subscribers;
    for (auto& [id, subscriber] : listeners)
      if (subscribers.contains(id) && (!subscriber.first || subscriber.first == told.job))
        subscriber.second(told);
  }

  QueueLimits queue_limits;
  std::map<JobId, Json> jobs;
  Json snapshot_data;
  std::optional<Error> refuse_plan;
  std::vector<std::string> log;
  std::function<void(bool)> log_told;
  std::vector<Told> journal;
  std::uint64_t newest = 0;
  std::map<JobId, std::uint64_t> seqs;
  std::map<std::uint64_t, std::pair<std::optional<JobId>, Listener>> subscribers;
  std::uint64_t subscriptions = 0;
  std::function<void()> during_replay;
  std::vector<std::pair<std::string, Json>> asked;
  std::vector<Reply<Json>> waiting;
  bool hold_waits = false;
  bool healthy = true;
  std::string file_to_send;

 private:
  void note(const char* what, const Json& with, const Reply<Json>& reply) {
    asked.emplace_back(what, with);
    reply(Json{{"asked", what}, {"with", with}});
  }

  OperationCatalog catalog_ = test_catalog();
};

}  // namespace polysome::api
