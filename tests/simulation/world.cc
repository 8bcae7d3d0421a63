#include "world.h"

#include <algorithm>

#include "core/core_story.h"

namespace polysome::simulation {
namespace {

using core::story::final_stage;
using core::story::stage;

std::uint64_t hash_of(const Kept& kept, const core::StartTask& task) {
  return hash(task.task.stage * 1000 + task.task.index, kept.spec.sequence);
}

}  // namespace

Shape shape_of(std::uint64_t choice, std::uint32_t tasks) {
  Stage scan = stage("scan", tasks);
  scan.bytes = 100ULL * tasks;
  switch (choice % 7) {
    case 0: scan.borders = true; return {{scan, final_stage({"scan"})}, {}};
    case 1: return {{stage("noop", tasks * 4), final_stage({"noop"})}, {}};
    case 2:
      return {{scan, stage("left", 2, {"scan"}), stage("right", 3, {"scan"}),
               final_stage({"left", "right"})},
              {}};
    case 3: {
      Stage next = stage("plan1", 1, {"scan"});
      next.kind = StageKind::kPlanner;
      return {{scan, next}, {stage("step", tasks), final_stage({"step"})}};
    }
    case 4: {
      Stage train = stage("train", 2 + tasks % (kLargestGang - 1), {"scan"});
      train.gang = true;
      return {{scan, train, final_stage({"train"})}, {}};
    }
    case 5: return {{final_stage({})}, {}};
    default: scan.grant = 700'000'000; return {{scan, final_stage({"scan"})}, {}};
  }
}

bool has_gang(const Shape& shape) {
  return std::ranges::any_of(shape.first, [](const Stage& s) { return s.gang; });
}

core::Outcome good_outcome(const Kept& kept, const core::StartTask& task) {
  const Stage& stage = kept.stages[task.task.stage];
  const std::uint64_t h = hash_of(kept, task);
  core::Outcome o;
  o.duration_ms = stage.name == "noop" ? 1 : 5 + static_cast<MonoTime>(h % 200);
  o.failed.failure.attempt = task.attempt;
  o.failed.failure.error = Error(Code::kIo, "simulated");
  if (kept.poisoned && h % 7 == 0 && stage.name == "scan") {
    o.kind = core::Outcome::Kind::kFail;
    o.failed.failure.error = Error(Code::kUserData, "simulated");
  }
  TaskResult& result = o.finished.result;
  result.attempt = task.attempt;
  result.wall_seconds = static_cast<double>(o.duration_ms) / 1000;
  result.bytes_in = stage.bytes == 0 ? 0 : 100;
  if (stage.kind == StageKind::kPlanner)
    o.finished.fragment =
        Fragment{stage.name == "plan" ? kept.shape.first : kept.shape.second, Json::array()};
  if (stage.final) result.payload = Json{{"job", core::story::job_name(task.task.job)}};
  if (stage.borders) {
    std::tie(result.ends_inside_if_outside, result.ends_inside_if_inside) =
        ends_of(kept, task.task.index);
    const bool wrong = task.start_inside_quotes != truly_inside(kept, task.task.index);
    if (wrong && h % 2 == 0) result.disputed = Error(Code::kUserData, "disputed");
  }
  return o;
}

bool runs_out_of_memory(const Kept& kept, const core::StartTask& task, core::Outcome& o) {
  const std::uint64_t h = hash_of(kept, task);
  const std::uint64_t needed = h % 9 == 0 ? 1'300'000'000 : 100'000'000;
  if (needed <= task.grant || kept.limits().max_memory) return false;
  using Kind = core::Outcome::Kind;
  o.kind = h % 2 == 0 ? Kind::kFail : Kind::kSlotOutOfMemory;
  o.failed.failure.error = Error(Code::kOutOfMemory, "simulated");
  if (h % 4 == 0) o.failed.failure.needed_memory = needed;
  return true;
}

}  // namespace polysome::simulation
