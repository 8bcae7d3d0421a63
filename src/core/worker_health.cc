#include "core/worker_health.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/cluster_flow.h"
#include "core/machine.h"

namespace polysome::core {
namespace {

// What one task that went well takes off: a worker of which more than one task in fifty fails gets
// worse, one with rare faults among many good tasks does not.
constexpr double kSuccessTakesOff = 0.02;
constexpr double kSilenceWeight = 0.5;
// A worker that was well for so long begins anew with short exclusions.
constexpr MonoTime kWellAgainMs = 3'600'000;

bool usable(const Worker& w) { return w.state == WorkerState::kReady && w.aside == Aside::kNo; }

// The middle score of the usable workers but this one; nullopt when there is none.
std::optional<double> score_of_others(const Machine& m, const Worker& worker) {
  std::vector<double> scores;
  for (const auto& [n, other] : m.resources.workers())
    if (&other != &worker && usable(other)) scores.push_back(other.health.score_at(m.now));
  if (scores.empty()) return std::nullopt;
  const auto middle = scores.begin() + static_cast<long>(scores.size() / 2);
  std::ranges::nth_element(scores, middle);
  return *middle;
}

std::string plural(std::uint64_t n, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

std::string reason_of(const Worker& worker) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kWords{{
      {"user error", "user errors"},
      {"out of memory", "out of memory"},
      {"crash or loss of a slot", "crashes or losses of slots"},
      {"time-out", "time-outs"},
      {"input-output error", "input-output errors"},
      {"internal error", "internal errors"},
  }};
  std::string list;
  for (const auto cls : {FaultClass::kWorkerLost, FaultClass::kIo, FaultClass::kTimeout}) {
    const auto n = worker.health.by_class[static_cast<std::size_t>(cls)];
    const auto& [one, many] = kWords[static_cast<std::size_t>(cls)];
    if (n > 0) list += (list.empty() ? "" : ", ") + plural(n, one, many);
  }
  if (worker.health.silences > 0)
    list += (list.empty() ? "" : ", ") + plural(worker.health.silences, "silence", "silences");
  return fmt::format("more goes wrong on it than on the others: {}", list);
}

void exclude(Machine& m, Worker& worker) {
  WorkerHealth& health = worker.health;
  if (worker.aside == Aside::kNo && m.now - health.readmitted > kWellAgainMs) health.exclusions = 0;
  const std::int64_t for_ms = exclusion_ms(++health.exclusions);
  set_excluded(m, worker, reason_of(worker), for_ms);
  health.probes = true;
}

bool was_probe(const Attempt& a) { return a.worker->health.probe == a.n; }

}  // namespace

double WorkerHealth::score_at(MonoTime now) const {
  return score * std::exp2(-static_cast<double>(now - at) / kScoreHalfLifeMs);
}

void WorkerHealth::add(double weight, MonoTime now) {
  score = std::max(0.0, score_at(now) + weight);
  at = now;
}

std::vector<std::pair<FaultClass, std::uint64_t>> WorkerHealth::faults() const {
  std::vector<std::pair<FaultClass, std::uint64_t>> list;
  for (std::size_t i = 0; i < by_class.size(); ++i)
    if (by_class[i] > 0) list.emplace_back(static_cast<FaultClass>(i), by_class[i]);
  return list;
}

double weight_of(FaultClass fault_class, bool lost) {
  if (lost) return 0;
  switch (fault_class) {
    case FaultClass::kWorkerLost:
    case FaultClass::kIo:
    case FaultClass::kTimeout: return 1;
    case FaultClass::kUser:
    case FaultClass::kOutOfMemory:
    case FaultClass::kInternal: return 0;
  }
  return 0;
}

std::int64_t exclusion_ms(int exclusions) {
  const int doublings = std::clamp(exclusions - 1, 0, 10);
  return std::min(kFirstExclusionMs << doublings, kLongestExclusionMs);
}

void note_fault(Machine& m, const Attempt& a, const Fault& fault) {
  WorkerHealth& health = a.worker->health;
  ++health.by_class[static_cast<std::size_t>(fault.fault_class)];
  const double weight = weight_of(fault.fault_class, fault.lost);
  if (weight <= 0) return note_no_answer(a);
  const TaskRef task{a.job->id(), a.stage, a.index};
  if (std::ranges::find(health.blamed, task) == health.blamed.end()) {
    health.blamed[health.next_blamed++ % health.blamed.size()] = task;
    health.add(weight, m.now);
    m.unwell = true;
  }
  if (was_probe(a)) exclude(m, *a.worker);
}

void note_success(Machine& m, const Attempt& a) {
  WorkerHealth& health = a.worker->health;
  if (!was_probe(a)) return health.add(-kSuccessTakesOff, m.now);
  health.score = 0;
  health.at = m.now;
  readmit_worker(m, a.worker->id);
}

void note_no_answer(const Attempt& a) {
  if (was_probe(a)) a.worker->health.probe.reset();
}

void note_silence(Machine& m, Worker& worker, MonoTime silence) {
  if (silence <= m.config.lease_ms / 3) return;
  ++worker.health.silences;
  worker.health.add(kSilenceWeight, m.now);
  m.unwell = true;
}

void judge_workers(Machine& m) {
  if (!m.unwell) return;
  m.unwell = false;
  for (auto& [n, worker] : m.resources.workers()) {
    if (!usable(worker) || worker.health.score_at(m.now) < kExcludeScore) continue;
    const auto others = score_of_others(m, worker);
    if (others && worker.health.score_at(m.now) >= kTimesWorse * *others) exclude(m, worker);
  }
  Worker* best = nullptr;
  for (auto& [n, worker] : m.resources.workers()) {
    if (worker.state == WorkerState::kStarting) return;
    if (worker.state != WorkerState::kReady || worker.aside == Aside::kDrained) continue;
    if (worker.aside == Aside::kNo || worker.aside == Aside::kProbed) return;
    if (!worker.health.probes) continue;
    if (best == nullptr || worker.health.score_at(m.now) < best->health.score_at(m.now))
      best = &worker;
  }
  if (best != nullptr) probe_worker(m, *best);
}

}  // namespace polysome::core
