// Workers set aside by hand, and the autoscaler's policy and decisions.
#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"
#include "daemon/engine.h"

namespace polysome {

void Engine::set_worker_aside(const std::string& id, api::WorkerAction action,
                              const std::string& reason, double seconds, api::Reply<Json> reply) {
  Status known;
  const Json before = worker_status(id, &known);
  if (!known) return reply(fail(known.error()));
  const std::string status = before.value("status", "");
  if (status == "stopping")
    return reply(fail(Code::kConflict, fmt::format("worker {} is stopping", id),
                      "GET cluster/status shows the workers that stay"));
  const WorkerId worker = *WorkerId::parse(id);
  switch (action) {
    case api::WorkerAction::kDrain: handle(core::WorkerDrainRequested{worker, reason}); break;
    case api::WorkerAction::kExclude:
      handle(
          core::WorkerExcludeRequested{worker, reason, static_cast<std::int64_t>(seconds * 1000)});
      break;
    case api::WorkerAction::kReadmit: handle(core::WorkerReadmitRequested{worker}); break;
  }
  Json after = worker_status(id, &known);
  if (!known) return reply(fail(known.error()));
  reply(std::move(after));
}

Json Engine::autoscale() {
  Json out = core_->autoscale().to_json();
  const auto cluster = core_->cluster();
  const bool wanted = cluster.status == "running" || cluster.status == "starting";
  out["n_workers"] = cluster.workers.size();
  out["target_workers"] = wanted ? cluster.spec.n_workers : 0;
  const auto last = store_.decisions(std::nullopt, 1);
  out["last_decision"] = last.empty() ? Json() : decision_json(last.front());
  return out;
}

void Engine::apply_autoscale(const AutoscalePolicy& policy) {
  handle(core::AutoscaleChanged{policy});
  journal_.append("cluster.autoscale_changed", std::nullopt, "", policy.to_json());
  cluster_moved();
}

void Engine::set_autoscale(const Json& body, api::Reply<Json> reply) {
  const auto policy = AutoscalePolicy::from_json(body, core_->autoscale());
  if (!policy) return reply(fail(policy.error()));
  store_.put_setting("autoscale", policy->to_json(),
                     [this, policy = *policy, reply = std::move(reply)](const Status& status) {
                       if (!status) return reply(fail(status.error()));
                       apply_autoscale(policy);
                       reply(autoscale());
                     });
}

// The `autoscale` of cluster/start, which read_cluster has checked.
void Engine::take_autoscale(const Json& body) {
  if (!body.is_object() || !body.contains("autoscale") || body["autoscale"].is_null()) return;
  const auto policy = AutoscalePolicy::from_json(body["autoscale"], core_->autoscale());
  if (!policy) return;
  store_.put_setting("autoscale", policy->to_json(), {});
  apply_autoscale(*policy);
}

void Engine::restore_autoscale() {
  if (const auto stored = store_.setting("autoscale"))
    if (const auto policy = AutoscalePolicy::from_json(*stored, {}))
      handle(core::AutoscaleChanged{*policy});
}

Json Engine::decision_json(const StoredDecision& d) {
  return {{"id", d.id}, {"time", format_time(d.at)}, {"from", d.from},
          {"to", d.to}, {"reason", d.reason},        {"numbers", d.numbers}};
}

Json Engine::autoscale_decisions(std::optional<std::int64_t> before, std::size_t limit) {
  auto found = store_.decisions(before, limit + 1);
  Json next;
  if (found.size() > limit) {
    found.resize(limit);
    next = std::to_string(found.back().id);
  }
  Json list = Json::array();
  for (const auto& d : found) list.push_back(decision_json(d));
  return {{"decisions", std::move(list)}, {"next_page_token", std::move(next)}};
}

}  // namespace polysome
