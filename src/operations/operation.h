// One operation: how it is described to people, how it is planned, and the bodies of its stages.
// Each lies in a file of its own; registry.cc lists them. A body is a function named by the stage's
// body["run"]; it reads its inputs through the task's environment and leaves its files there.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "model/operation.h"
#include "operations/task_env.h"
#include "plan/planner.h"

namespace polysome {

struct StageBody {
  std::string run;
  std::function<Status(TaskEnv&)> body;
};

struct Operation {
  OperationDescription description;
  PlanOperation plan;
  std::vector<StageBody> bodies;
};

Operation aggregate_operation();
Operation describe_operation();
Operation filter_operation();
Operation sort_operation();
Operation join_operation();
Operation sql_operation();
Operation convert_operation();
Operation partition_operation();
Operation noop_operation();

const std::vector<Operation>& all_operations();
// nullptr when there is none.
const Operation* find_operation(const std::string& name);
const StageBody* find_body(const std::string& run);

}  // namespace polysome
