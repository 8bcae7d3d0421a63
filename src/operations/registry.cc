// The list of operations, in the order people read them.
#include "operations/operation.h"
#include "operations/table_stages.h"
#include "operations/task_runner.h"

namespace polysome {

const std::vector<Operation>& all_operations() {
  static const std::vector<Operation> operations = {
      aggregate_operation(), describe_operation(),  filter_operation(),
      sort_operation(),      join_operation(),      convert_operation(),
      sql_operation(),       partition_operation(), noop_operation(),
  };
  return operations;
}

const Operation* find_operation(const std::string& name) {
  for (const auto& op : all_operations())
    if (op.description.name == name) return &op;
  return nullptr;
}

const StageBody* find_body(const std::string& run) {
  static const std::vector<StageBody> shared = table_stage_bodies();
  for (const auto& b : shared)
    if (b.run == run) return &b;
  for (const auto& op : all_operations())
    for (const auto& b : op.bodies)
      if (b.run == run) return &b;
  return nullptr;
}

std::vector<OperationDescription> describe_operations() {
  std::vector<OperationDescription> out;
  for (const auto& op : all_operations()) out.push_back(op.description);
  return out;
}

}  // namespace polysome
