// The cluster as the API asks for it: start, stop, scale, status, metrics, health.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>

#include "base/bytes.h"
#include "base/files.h"
#include "base/nearest.h"
#include "daemon/engine.h"

namespace polysome {
namespace {

constexpr std::int64_t kMetricsEveryMs = 10'000;

std::string host_name() {
  std::array<char, 256> buffer{};
  return ::gethostname(buffer.data(), buffer.size() - 1) == 0 ? buffer.data() : "localhost";
}

}  // namespace

Result<ClusterSpec> Engine::read_cluster(const Json& body) {
  ObjectReader r(body, "");
  ClusterSpec spec = config_.cluster;
  if (const auto n = r.integer("n_workers", 1, kMaxWorkers)) spec.n_workers = static_cast<int>(*n);
  if (const auto n = r.integer("threads_per_worker", 1, kMaxThreadsPerWorker))
    spec.threads_per_worker = static_cast<int>(*n);
  if (const auto bytes = r.bytes("memory_limit")) spec.memory_limit = *bytes;
  if (spec.memory_per_slot() < 64'000'000)
    r.refuse("memory_limit", Code::kInvalid,
             fmt::format("memory_limit {} is too little for {} threads: at least 64MB a thread",
                         format_bytes(spec.memory_limit), spec.threads_per_worker));
  if (const auto backend = r.text("backend"); backend && *backend != "local") {
    static const std::vector<std::string> kBackends{"local"};
    r.refuse("backend", Code::kInvalid,
             fmt::format("backend \"{}\" is not available{}", *backend,
                         did_you_mean(*backend, kBackends)),
             "this version runs worker processes on this machine: \"local\"");
  }
  if (r.raw("scheduler_address") != nullptr)
    r.refuse("scheduler_address", Code::kInvalid,
             "a scheduler address goes with backend \"dask\", which this version does not have");
  if (const Json* wanted = r.raw("autoscale")) {
    auto policy = AutoscalePolicy::from_json(*wanted, core_->autoscale());
    if (!policy) {
      Error e = policy.error();
      for (auto& item : e.errors) item.pointer.insert(0, "/autoscale");
      r.refuse(std::move(e));
    }
  }
  POLYSOME_TRY(r.finish());
  return spec;
}

void Engine::store_cluster() {
  store_.put_setting("cluster",
                     {{"wanted", cluster_wanted_},
                      {"n_workers", config_.cluster.n_workers},
                      {"threads_per_worker", config_.cluster.threads_per_worker},
                      {"memory_limit", config_.cluster.memory_limit},
                      {"backend", config_.backend}},
                     {});
}

void Engine::cluster_start(const Json& body, double wait_seconds, api::Reply<Json> reply) {
  auto spec = read_cluster(body);
  if (!spec) return reply(fail(spec.error()));
  const auto now = core_->cluster();
  if (now.status == "starting" || now.status == "running") {
    const bool asks =
        body.is_object() && (body.contains("n_workers") || body.contains("threads_per_worker") ||
                             body.contains("memory_limit"));
    ClusterSpec wanted = now.spec;
    if (asks) {
      if (body.contains("n_workers")) wanted.n_workers = spec->n_workers;
      if (body.contains("threads_per_worker")) wanted.threads_per_worker = spec->threads_per_worker;
      if (body.contains("memory_limit")) wanted.memory_limit = spec->memory_limit;
    }
    // The autoscaler may have changed the number since.
    if (core_->autoscale().enabled || body.contains("autoscale"))
      wanted.n_workers = now.spec.n_workers;
    if (wanted != now.spec)
      return reply(fail(Code::kConflict,
                        fmt::format("the cluster is {} with {} workers x {} threads, {} each",
                                    now.status, now.spec.n_workers, now.spec.threads_per_worker,
                                    format_bytes(now.spec.memory_limit)),
                        "change the number of workers: POST cluster/scale {\"n_workers\": N}; "
                        "anything else: stop it, then "
                        "start it again"));
    take_autoscale(body);
    return when_settled(wait_seconds, std::move(reply));
  }
  config_.cluster = *spec;
  take_autoscale(body);
  cluster_wanted_ = "running";
  store_cluster();
  handle(core::ClusterStarted{*spec});
  journal_.append(
      "cluster.started", std::nullopt, "",
      {{"n_workers", spec->n_workers}, {"threads_per_worker", spec->threads_per_worker}});
  when_settled(wait_seconds, std::move(reply));
}

void Engine::cluster_stop(bool force, double wait_seconds, api::Reply<Json> reply) {
  cluster_wanted_ = "stopped";
  store_cluster();
  handle(core::ClusterStopped{force});
  journal_.append("cluster.stopped", std::nullopt, "", {{"mode", force ? "force" : "graceful"}});
  when_settled(wait_seconds, std::move(reply));
}

void Engine::cluster_scale(int n_workers, double wait_seconds, api::Reply<Json> reply) {
  const auto now = core_->cluster();
  if (now.status != "running" && now.status != "starting")
    return reply(
        fail(Code::kConflict,
             fmt::format("the cluster is {}; only a running one can be scaled", now.status),
             fmt::format("POST cluster/start {{\"n_workers\": {}}}", n_workers)));
  config_.cluster.n_workers = n_workers;
  store_cluster();
  handle(core::ClusterScaled{n_workers});
  journal_.append("cluster.scaled", std::nullopt, "",
                  {{"n_workers", n_workers}, {"before", now.spec.n_workers}});
  when_settled(wait_seconds, std::move(reply));
}

// Answers when no worker is starting or stopping any more, or the time is up; at once for 0.
void Engine::when_settled(double wait_seconds, api::Reply<Json> reply) {
  if (wait_seconds <= 0) return reply(cluster_status());
  ClusterWaiter& waiter = cluster_waiters_.emplace_back();
  waiter.id = next_waiter_++;
  waiter.reply = std::move(reply);
  waiter.timer = std::make_unique<boost::asio::steady_timer>(loop_);
  waiter.timer->expires_after(Millis(static_cast<std::int64_t>(wait_seconds * 1000)));
  waiter.timer->async_wait([this, n = waiter.id](const boost::system::error_code& ec) {
    const auto w = std::ranges::find(cluster_waiters_, n, &ClusterWaiter::id);
    if (ec || w == cluster_waiters_.end()) return;
    const auto answer = std::move(w->reply);
    cluster_waiters_.erase(w);
    answer(cluster_status());
  });
  cluster_moved();
}

void Engine::cluster_moved() {
  if (cluster_waiters_.empty()) return;
  const auto view = core_->cluster();
  if (view.status == "starting" || view.status == "stopping") return;
  if (view.status == "running") {
    int settled = 0;
    for (const auto& w : view.workers) {
      if (w.status == "starting" || w.status == "draining" || w.status == "stopping") return;
      ++settled;
    }
    if (settled != view.spec.n_workers) return;
  }
  auto waiters = std::move(cluster_waiters_);
  cluster_waiters_.clear();
  const Json body = cluster_status();
  for (auto& w : waiters) w.reply(body);
}

Json Engine::cluster_status() {
  const auto view = core_->cluster();
  const bool wanted = view.status == "starting" || view.status == "running";
  const MonoTime now = mono_now();
  Json workers = Json::array();
  for (const auto& w : view.workers) {
    Json faults = Json::object();
    for (const auto& [what, n] : w.faults) faults[std::string(name(what))] = n;
    workers.push_back(
        {{"id", w.id.text()},
         {"status", w.status},
         {"pid", w.pid > 0 ? Json(w.pid) : Json()},
         {"host", host_name()},
         {"threads", w.threads},
         {"memory_limit", format_bytes(w.memory_limit)},
         {"memory_limit_bytes", w.memory_limit},
         {"memory_used", format_bytes(w.memory_used)},
         {"memory_used_bytes", w.memory_used},
         {"cpu_percent", w.cpu_percent},
         {"running_tasks", w.running_tasks},
         {"completed_tasks", w.completed_tasks},
         {"failures", w.failures},
         {"faults", std::move(faults)},
         {"score", std::round(w.score * 100) / 100},
         {"reason", w.reason.empty() ? Json() : Json(w.reason)},
         {"excluded_until",
          w.excluded_until ? Json(format_time(wall_now() + (*w.excluded_until - now))) : Json()},
         {"started_at", format_time(wall_now() - (now - w.started))}});
  }
  const ClusterSpec& spec = wanted ? view.spec : config_.cluster;
  Json out = {
      {"status", view.status},
      {"backend", config_.backend},
      {"n_workers", view.workers.size()},
      {"target_workers", wanted ? view.spec.n_workers : 0},
      {"threads_per_worker", spec.threads_per_worker},
      {"memory_limit", format_bytes(spec.memory_limit)},
      {"memory_limit_bytes", spec.memory_limit},
      {"total_cores", view.total_cores},
      {"used_cores", view.used_cores},
      {"total_memory", format_bytes(view.total_memory)},
      {"total_memory_bytes", view.total_memory},
      {"used_memory", format_bytes(view.used_memory)},
      {"used_memory_bytes", view.used_memory},
      {"active_tasks", view.active_tasks},
      {"queued_tasks", view.queued_tasks},
      {"autoscale", core_->autoscale().to_json()},
      {"overcommitted", view.total_cores > static_cast<int>(std::thread::hardware_concurrency())},
      {"dashboard_url", config_.dashboard_port > 0
                            ? Json(fmt::format("http://localhost:{}/", config_.dashboard_port))
                            : Json()}};
  out["workers"] = std::move(workers);
  return out;
}

Json Engine::worker_status(const std::string& id, Status* status) {
  const Json cluster = cluster_status();
  std::vector<std::string> known;
  for (const auto& w : cluster["workers"]) {
    if (w["id"] == id) return w;
    known.push_back(w["id"]);
  }
  *status =
      fail(Code::kNotFound, fmt::format("there is no worker \"{}\"{}", id, did_you_mean(id, known)),
           "GET cluster/status lists them");
  return {};
}

Json Engine::metrics_fields() {
  const auto view = core_->cluster();
  return {{"n_workers", view.workers.size()},
          {"total_memory", format_bytes(view.total_memory)},
          {"total_memory_bytes", view.total_memory},
          {"used_memory", format_bytes(view.used_memory)},
          {"used_memory_bytes", view.used_memory},
          {"total_cores", view.total_cores},
          {"used_cores", view.used_cores},
          {"active_tasks", view.active_tasks},
          {"queued_tasks", view.queued_tasks},
          {"metrics_data",
           {{"status", view.status},
            {"pending_jobs", core_->pending_jobs()},
            {"running_jobs", core_->running_jobs()}}}};
}

// A row every ten seconds while there is a cluster or work.
void Engine::note_metrics() {
  if (shutting_down_) return;
  store_learned();
  if (core_->cluster().status != "stopped" || !active_.empty() || !store_.newest_metrics())
    store_.append_metrics(wall_now(), metrics_fields());
  metrics_timer_.expires_after(Millis(kMetricsEveryMs));
  metrics_timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) note_metrics();
  });
}

Result<Json> Engine::cluster_metrics(std::optional<WallTime> since,
                                     std::optional<double> step_seconds) {
  const auto newest = store_.newest_metrics();
  Json out = {{"id", newest ? Json(newest->id) : Json()}, {"timestamp", format_time(wall_now())}};
  out.update(metrics_fields());
  if (!since && !step_seconds) return out;
  const auto step = static_cast<std::int64_t>(step_seconds.value_or(0) * 1000);
  Json series = Json::array();
  WallTime next = 0;
  for (const auto& m : store_.metrics(since.value_or(wall_now() - 3'600'000), 10'000)) {
    if (m.timestamp < next) continue;
    next = m.timestamp + step;
    Json row = {{"id", m.id}, {"timestamp", format_time(m.timestamp)}};
    row.update(m.fields);
    series.push_back(std::move(row));
  }
  out["series"] = std::move(series);
  return out;
}

Json Engine::health(int* http_status) {
  const auto trouble = store_.trouble();
  const auto free = free_disk_bytes(config_.work_dir);
  const bool disk_low = free && *free < 1'000'000'000;
  const auto cluster = core_->cluster();
  bool workers_missing = false;
  if (cluster.status == "running")
    workers_missing = static_cast<int>(cluster.workers.size()) < cluster.spec.n_workers;
  const char* status = trouble ? "unhealthy" : disk_low || workers_missing ? "degraded" : "healthy";
  *http_status = trouble ? 503 : 200;
  return {{"status", status},
          {"version", POLYSOME_VERSION},
          {"uptime_seconds", static_cast<double>(mono_now() - started_at_) / 1000},
          {"checks",
           {{"store",
             {{"status", trouble ? "unhealthy" : "healthy"},
              {"detail", trouble ? Json(trouble->message) : Json()}}},
            {"cluster",
             {{"status", workers_missing ? "degraded" : "healthy"},
              {"detail", fmt::format("{}, {} of {} workers", cluster.status, cluster.workers.size(),
                                     cluster.status == "running" || cluster.status == "starting"
                                         ? cluster.spec.n_workers
                                         : 0)}}},
            {"disk",
             {{"status", disk_low ? "degraded" : "healthy"},
              {"free", free ? Json(format_bytes(*free)) : Json()},
              {"free_bytes", free ? Json(*free) : Json()}}}}}};
}

bool Engine::ready(std::string* why_not) {
  if (shutting_down_) *why_not = "shutting down";
  if (const auto trouble = store_.trouble()) *why_not = trouble->message;
  return why_not->empty();
}

Json Engine::version() {
  return {{"name", "polysome"}, {"version", POLYSOME_VERSION}, {"api", "/api/processing"}};
}

}  // namespace polysome
