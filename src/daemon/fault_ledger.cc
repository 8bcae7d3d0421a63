#include "daemon/fault_ledger.h"

#include <array>
#include <utility>

namespace polysome {
namespace {

Json counts_json(const std::map<std::string, std::uint64_t>& counts) {
  Json out = Json::object();
  for (const auto& [key, n] : counts) out[key] = n;
  return out;
}

void read_counts(const Json& from, std::map<std::string, std::uint64_t>* out) {
  if (!from.is_object()) return;
  for (const auto& [key, n] : from.items())
    if (n.is_number_unsigned()) (*out)[key] = n.get<std::uint64_t>();
}

std::uint64_t sum(const std::map<std::string, std::uint64_t>& counts) {
  std::uint64_t out = 0;
  for (const auto& [key, n] : counts) out += n;
  return out;
}

}  // namespace

void FaultLedger::attempt_started(const std::string& operation, const std::string& worker) {
  ++attempts_;
  ++by_operation_[operation].attempts;
  ++by_worker_[worker].attempts;
  changed_ = true;
}

void FaultLedger::attempt_failed(FaultClass what, const std::string& operation,
                                 const std::string& worker) {
  const std::string key(name(what));
  ++by_class_[key];
  ++by_operation_[operation].by_class[key];
  ++by_worker_[worker].by_class[key];
  changed_ = true;
}

FaultLedger::Counts FaultLedger::totals(const core::FaultCounts& now) const {
  Counts out = before_;
  out["retries"] += now.retries;
  out["gave_up"] += now.gave_up;
  out["workers_lost"] += now.workers_lost;
  out["slots_lost"] += now.slots_lost;
  out["exclusions"] += now.exclusions;
  out["readmissions"] += now.readmissions;
  out["stragglers_doubled"] += now.stragglers_doubled;
  out["stragglers_won"] += now.stragglers_won;
  return out;
}

bool FaultLedger::changed(const core::FaultCounts& now) const {
  return changed_ || sum(totals(now)) != stored_sum_;
}

Json FaultLedger::statistics(const core::FaultCounts& now) const {
  constexpr std::array kClasses{FaultClass::kUser,       FaultClass::kOutOfMemory,
                                FaultClass::kWorkerLost, FaultClass::kTimeout,
                                FaultClass::kIo,         FaultClass::kInternal};
  Json by_class = Json::object();
  for (const auto c : kClasses) {
    const auto it = by_class_.find(std::string(name(c)));
    by_class[std::string(name(c))] = it == by_class_.end() ? 0 : it->second;
  }
  const auto rows = [](const std::map<std::string, Row>& from, const char* key) {
    Json out = Json::array();
    for (const auto& [who, row] : from)
      out.push_back({{key, who},
                     {"attempts", row.attempts},
                     {"failed", sum(row.by_class)},
                     {"by_class", counts_json(row.by_class)}});
    return out;
  };
  Json out = {{"since", format_time(since_)},
              {"attempts", attempts_},
              {"failed", sum(by_class_)},
              {"by_class", std::move(by_class)}};
  for (const auto& [key, n] : totals(now)) out[key] = n;
  out["by_operation"] = rows(by_operation_, "operation");
  out["by_worker"] = rows(by_worker_, "worker");
  return out;
}

Json FaultLedger::to_store(const core::FaultCounts& now) {
  changed_ = false;
  const Counts all = totals(now);
  stored_sum_ = sum(all);
  const auto rows = [](const std::map<std::string, Row>& from) {
    Json out = Json::object();
    for (const auto& [who, row] : from)
      out[who] = {{"attempts", row.attempts}, {"by_class", counts_json(row.by_class)}};
    return out;
  };
  return {{"since", format_time(since_)},       {"attempts", attempts_},
          {"by_class", counts_json(by_class_)}, {"by_operation", rows(by_operation_)},
          {"by_worker", rows(by_worker_)},      {"core", counts_json(all)}};
}

void FaultLedger::restore(const Json& stored) {
  since_ = wall_now();
  if (!stored.is_object()) return;
  if (const auto time = parse_time(stored.value("since", ""))) since_ = *time;
  attempts_ = stored.value("attempts", std::uint64_t{0});
  read_counts(stored.value("by_class", Json()), &by_class_);
  read_counts(stored.value("core", Json()), &before_);
  stored_sum_ = sum(before_);
  const auto rows = [&](const char* key, std::map<std::string, Row>* out) {
    const auto it = stored.find(key);
    if (it == stored.end() || !it->is_object()) return;
    for (const auto& [who, row] : it->items()) {
      (*out)[who].attempts = row.value("attempts", std::uint64_t{0});
      read_counts(row.value("by_class", Json()), &(*out)[who].by_class);
    }
  };
  rows("by_operation", &by_operation_);
  rows("by_worker", &by_worker_);
}

}  // namespace polysome
