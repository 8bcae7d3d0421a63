#include "core/stage_flow.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace polysome::core {
namespace {

std::unexpected<Error> bad_plan(const std::string& what) {
  return fail(Code::kInternal, "the plan is wrong: " + what,
              "This is a defect of the operation's planner; please report it with the job's id.");
}

Status check_stages(const JobRun& job, const std::vector<Stage>& stages) {
  std::set<std::string> names;
  bool final = std::ranges::any_of(job.stages, [](const StageRun& s) { return s.final; });
  for (const auto& stage : stages) {
    if (job.stage_numbers.contains(stage.name) || names.contains(stage.name))
      return bad_plan(fmt::format("two stages are named \"{}\"", stage.name));
    if (stage.tasks == 0) return bad_plan(fmt::format("stage \"{}\" has no tasks", stage.name));
    for (const auto& before : stage.after)
      if (!job.stage_numbers.contains(before) && !names.contains(before))
        return bad_plan(
            fmt::format("stage \"{}\" comes after \"{}\", which is not before it in the "
                        "plan",
                        stage.name, before));
    if (stage.final && (final || stage.tasks != 1))
      return bad_plan(
          final ? "it has two final stages"
                : fmt::format("final stage \"{}\" has {} tasks", stage.name, stage.tasks));
    final = final || stage.final;
    names.insert(stage.name);
  }
  return {};
}

void append_stage(Machine& m, JobRun& job, const Stage& stage) {
  const auto number = static_cast<std::uint32_t>(job.stages.size());
  job.stage_numbers.emplace(stage.name, number);
  StageRun& run = job.stages.emplace_back();
  run.number = number;
  run.name = stage.name;
  run.kind = stage.kind;
  run.fragment_file = stage.fragment_file;
  run.place = stage.place;
  run.grant = stage.grant;
  run.final = stage.final;
  run.can_split = stage.can_split;
  run.gang = stage.gang;
  run.progress.weighs = stage.kind != StageKind::kPlanner;
  run.progress.tasks = stage.tasks;
  run.progress.bytes = stage.bytes;
  run.fresh = stage.tasks;
  if (stage.borders) run.borders = std::make_unique<BorderLedger>(stage.tasks);
  std::set<std::uint32_t> after;
  for (const auto& before : stage.after) after.insert(job.stage_numbers.at(before));
  for (const auto before : after) {
    job.stages[before].dependents.push_back(number);
    if (!job.stages[before].complete) ++run.blockers;
  }
  ++job.incomplete;
  job.progress.stage_added(run.progress);
  count_ready(m, job, run);
}

void set_complete(Machine& m, JobRun& job, StageRun& stage, bool complete) {
  if (stage.complete == complete) return;
  stage.complete = complete;
  job.incomplete += complete ? -1 : 1;
  for (const auto next : stage.dependents) {
    StageRun& after = job.stages[next];
    after.blockers += complete ? -1 : 1;
    count_ready(m, job, after);
  }
}

// A finished task whose end states are unknown can't be confirmed and is done again, unless the
// stage must have been confirmed, as a later one began; so is one that had the wrong start.
void restore_borders(Machine& m, JobRun& job, StageRun& stage, const RestoredStage& restored,
                     bool later_stage_began) {
  std::vector<bool> known(stage.tasks(), later_stage_began);
  for (const auto& b : restored.borders) {
    if (!stage.is_finished(b.index)) continue;
    known[b.index] = true;
    stage.borders->note(b.index, b.started_inside,
                        {b.ends_inside_if_outside, b.ends_inside_if_inside});
  }
  std::vector<std::uint32_t> undone = stage.borders->compose().wrong;
  for (std::uint32_t i = 0; i < stage.tasks(); ++i)
    if (stage.finished[i] && !known[i]) undone.push_back(i);
  for (const auto index : undone) {
    stage.finished[index] = false;
    m.out.push_back(ForgetTask{{job.id(), stage.number, index}});
  }
}

}  // namespace

Stage root_stage() {
  Stage stage;
  stage.name = "plan";
  stage.kind = StageKind::kPlanner;
  stage.fragment_file = "job.json";
  return stage;
}

Status append_stages(Machine& m, JobRun& job, const std::vector<Stage>& stages) {
  POLYSOME_TRY(check_stages(job, stages));
  for (const auto& stage : stages) append_stage(m, job, stage);
  return {};
}

void restore_stage(Machine& m, JobRun& job, std::uint32_t number, const RestoredStage& restored,
                   bool later_stage_began) {
  StageRun& stage = job.stages[number];
  stage.finished.assign(stage.tasks(), false);
  for (const auto& [first, last] : restored.finished)
    for (std::uint64_t i = first; i <= last && i < stage.tasks(); ++i) stage.finished[i] = true;
  if (stage.borders) restore_borders(m, job, stage, restored, later_stage_began);
  // A gang that had not come to its end begins again as a whole.
  const bool whole = std::ranges::find(stage.finished, false) == stage.finished.end();
  for (std::uint32_t i = 0; stage.gang && !whole && i < stage.tasks(); ++i) {
    if (!stage.finished[i]) continue;
    stage.finished[i] = false;
    m.out.push_back(ForgetTask{{job.id(), number, i}});
  }
  stage.progress.done = static_cast<std::uint32_t>(std::ranges::count(stage.finished, true));
  stage.fresh = stage.tasks() - stage.progress.done;
  stage.progress.bytes_finished =
      restored.bytes_done > 0 ? restored.bytes_done : stage.progress.share() * stage.progress.done;
  job.reused_tasks += stage.progress.done;
  job.progress.stage_changed(stage.progress);
  count_ready(m, job, stage);
  if (stage.progress.done == stage.tasks()) set_complete(m, job, stage, true);
}

std::uint32_t take_ready(Machine& m, JobRun& job, StageRun& stage, bool again) {
  std::uint32_t index = 0;
  if (again) {
    index = stage.again.front();
    stage.again.pop_front();
  } else {
    while (stage.is_finished(stage.cursor)) ++stage.cursor;
    index = stage.cursor++;
    --stage.fresh;
  }
  count_ready(m, job, stage);
  return index;
}

void make_ready(Machine& m, JobRun& job, StageRun& stage, std::uint32_t index) {
  stage.again.push_back(index);
  count_ready(m, job, stage);
}

bool finish_task(Machine& m, JobRun& job, std::uint32_t number, std::uint32_t index,
                 std::uint64_t bytes) {
  StageRun& stage = job.stages[number];
  if (stage.finished.empty()) stage.finished.assign(stage.tasks(), false);
  stage.finished[index] = true;
  stage.trouble.erase(index);
  ++stage.progress.done;
  stage.progress.bytes_finished += bytes > 0 ? bytes : stage.progress.share();
  job.progress.stage_changed(stage.progress);
  job.progressed = true;
  if (stage.progress.done < stage.tasks()) return false;
  set_complete(m, job, stage, true);
  return true;
}

void forget_task(Machine& m, JobRun& job, std::uint32_t number, std::uint32_t index) {
  StageRun& stage = job.stages[number];
  stage.finished[index] = false;
  stage.progress.bytes_finished -= stage.progress.bytes_finished / stage.progress.done;
  --stage.progress.done;
  job.progress.stage_changed(stage.progress);
  if (stage.borders) stage.borders->forget(index);
  if (index >= stage.cursor)
    ++stage.fresh;  // finished before this service began; the cursor comes by
  else
    stage.again.push_back(index);
  count_ready(m, job, stage);
  set_complete(m, job, stage, false);
}

void count_ready(Machine& m, JobRun& job, StageRun& stage) {
  const std::uint64_t ready = stage.ready();
  if (ready == stage.ready_counted) return;
  const std::uint64_t before = stage.ready_counted;
  m.ready_tasks = m.ready_tasks - before + ready;
  job.ready = job.ready - before + ready;
  stage.ready_counted = ready;
  if ((before == 0) != (ready == 0)) {
    if (ready > 0)
      job.ready_stages.insert(stage.number);
    else
      job.ready_stages.erase(stage.number);
  }
  place_in_queue(m, job);
}

void place_in_queue(Machine& m, JobRun& job) { m.queue.set_runnable(job, job.runnable()); }

}  // namespace polysome::core
