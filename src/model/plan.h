// A plan is data, and grows in one way: a task of kind planner publishes a Fragment, whose stages
// the core appends to the job. A job's first stage is "plan" with one planner task. What a task has
// to do is private to the worker (`body`); the core sees counts, bytes, order and grants only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/json.h"

namespace polysome {

inline constexpr std::size_t kMaxFragmentBytes = 1'000'000;
inline constexpr std::size_t kMaxFrameBytes = 1'000'000;
inline constexpr std::size_t kMaxInlineResultBytes = 16'384;
inline constexpr int kMaxFanIn = 64;

enum class StageKind : std::uint8_t { kPlanner, kMap, kCombine, kReduce, kSingle };
std::string_view name(StageKind k);

struct Stage {
  std::string name;  // unique in the job: [a-z0-9_.-]{1,64}; also its folder's name
  StageKind kind = StageKind::kMap;
  std::uint32_t tasks = 1;
  std::vector<std::string> after;  // names of stages that must be complete before any task starts
  std::uint64_t bytes = 0;         // input of all tasks together; the weight in progress
  std::uint64_t grant = 0;         // memory one task needs; 0: the cluster's default
  bool borders = false;            // tasks report end states at partition borders (decision 10)
  bool gang = false;               // all its tasks run at once or none (they talk to each other)
  bool can_split = false;          // a task can cut its work into pieces to need less memory
  bool final = false;              // its single task's payload is the job's result; ends the plan
  // Where the tasks' work is described: the fragment's file and the stage's place in it. The root
  // planner's is the job's own description.
  std::string fragment_file;  // name in the job's work folder
  std::uint32_t place = 0;
  Json body;  // for the worker; dropped from the core's copy
};

struct Fragment {
  std::vector<Stage> stages;
  Json warnings = Json::array();

  // `file` is noted in each stage. Errors: kInternal naming what is wrong (a planner's defect).
  static Result<Fragment> from_json(const Json& j, const std::string& file);
  Json to_json() const;
};

}  // namespace polysome
