#include "store.h"

#include "core/core_story.h"

namespace polysome::simulation {

std::uint64_t hash(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9E3779B97F4A7C15ULL + b;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  return x ^ (x >> 31);
}

std::pair<bool, bool> ends_of(const Kept& kept, std::uint32_t index) {
  const std::uint64_t h = hash(kept.spec.sequence, index);
  return {h % 4 == 0, h % 5 != 0};
}

bool truly_inside(const Kept& kept, std::uint32_t index) {
  bool inside = false;
  for (std::uint32_t i = 0; i < index; ++i) {
    const auto [if_outside, if_inside] = ends_of(kept, i);
    inside = inside ? if_inside : if_outside;
  }
  return inside;
}

Kept& Store::add(const core::JobSubmitted& spec, Shape shape, MonoTime now) {
  Kept& kept = jobs[spec.id];
  kept.spec = spec;
  kept.shape = std::move(shape);
  kept.submitted = now;
  Stage root = core::story::stage("plan", 1);
  root.kind = StageKind::kPlanner;
  kept.stages = {root};
  kept.finished.assign(1, {});
  return kept;
}

void Store::take(const core::Event& event, MonoTime now) {
  if (const auto* e = std::get_if<core::CancelRequested>(&event)) {
    Kept& kept = jobs.at(e->job);
    kept.cancelled = kept.cancelled || kept.ends == 0;
  } else if (const auto* p = std::get_if<core::JobPatched>(&event)) {
    Kept& kept = jobs.at(p->job);
    if (kept.ends > 0 || kept.cancelled) return;
    kept.spec.priority = p->priority.value_or(kept.spec.priority);
    kept.spec.held = p->held.value_or(kept.spec.held);
    kept.changed = now;
  } else if (const auto* q = std::get_if<core::QueuePaused>(&event)) {
    paused = q->reason;
  } else if (std::holds_alternative<core::QueueResumed>(event)) {
    paused.reset();
  } else if (const auto* l = std::get_if<core::LimitsChanged>(&event)) {
    limits = l->limits;
  } else if (const auto* a = std::get_if<core::AutoscaleChanged>(&event)) {
    autoscale = a->policy;
  }
}

bool Store::record(const core::RecordTask& command, bool inside) {
  Kept& kept = jobs.at(command.task.job);
  if (!kept.finished[command.task.stage].emplace(command.task.index, inside).second) return false;
  uncommitted_.push_back({command.task, true, inside});
  if (!command.planned) return true;
  const auto& more = command.task.stage == 0 ? kept.shape.first : kept.shape.second;
  kept.stages.insert(kept.stages.end(), more.begin(), more.end());
  kept.finished.resize(kept.stages.size());
  return true;
}

void Store::forget(const core::ForgetTask& command) {
  auto& finished = jobs.at(command.task.job).finished[command.task.stage];
  const auto it = finished.find(command.task.index);
  if (it == finished.end()) return;  // a disputed one: never recorded
  uncommitted_.push_back({command.task, false, it->second});
  finished.erase(it);
}

void Store::end(JobId job, JobStatus status) {
  Kept& kept = jobs.at(job);
  ++kept.ends;
  kept.status = status;
  uncommitted_.clear();
}

void Store::lose_newest(std::uint64_t most) {
  for (; most > 0 && !uncommitted_.empty(); --most) {
    undo(uncommitted_.back());
    uncommitted_.pop_back();
  }
  uncommitted_.clear();
}

void Store::undo(const Change& change) {
  Kept& kept = jobs.at(change.task.job);
  auto& finished = kept.finished[change.task.stage];
  if (!change.finished) {
    finished[change.task.index] = change.inside;
    return;
  }
  finished.erase(change.task.index);
  if (kept.stages[change.task.stage].kind != StageKind::kPlanner) return;
  const std::size_t before = change.task.stage == 0 ? 1 : 1 + kept.shape.first.size();
  kept.stages.resize(before);
  kept.finished.resize(before);
}

core::JobRestored Store::restored(const Kept& kept, MonoTime now) const {
  core::JobRestored r;
  r.job = kept.spec;
  r.job.waited_ms = now - kept.submitted;
  r.progress = kept.progress;
  r.cancelling = kept.cancelled;
  for (std::size_t i = 0; i < kept.stages.size(); ++i) {
    core::RestoredStage s{kept.stages[i], {}, 0, {}};
    for (const auto& [index, inside] : kept.finished[i]) {
      if (!s.finished.empty() && s.finished.back().second + 1 == index)
        s.finished.back().second = index;
      else
        s.finished.emplace_back(index, index);
      const auto [if_outside, if_inside] = ends_of(kept, index);
      if (s.stage.borders) s.borders.push_back({index, inside, if_outside, if_inside});
    }
    if (s.stage.final && !s.finished.empty())
      r.result = Json{{"job", core::story::job_name(kept.spec.id)}};
    r.stages.push_back(std::move(s));
  }
  return r;
}

}  // namespace polysome::simulation
