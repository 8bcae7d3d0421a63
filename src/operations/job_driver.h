// Runs a whole job in this process, stage after stage, as the core and the slots would: for tests
// of operations. One thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/plan.h"
#include "operations/task_runner.h"
#include "plan/job_description.h"

namespace polysome {

class JobDriver {
 public:
  // `root` must exist; jobs get folders of their own below it, outputs go below root/results.
  explicit JobDriver(std::string root);

  JobDescription description;    // to be set up before run(); the operation's parameters unchecked
  Json layout = Json::object();  // declared of every dataset
  std::uint64_t task_memory = 1'000'000'000;  // what a task is given
  std::uint32_t split = 1;                    // of the tasks of stages that can cut their work
  // The payload of the final task. Parameters are validated first, as submit does.
  Result<Json> run(const std::string& operation, const Json& parameters,
                   const std::vector<std::string>& sources);
  // All rows of a result's first table, through the data service.
  Json rows(const Json& result);
  Json answer(const Json& request);
  Result<Json> try_answer(const Json& request);

  struct RanStage {
    std::string name;
    std::uint32_t tasks = 0;
  };
  std::vector<RanStage> stages;    // of the last run, in the order they ran
  std::vector<std::string> reran;  // tasks run again because their start state was wrong
  std::string job_folder() const { return job_folder_; }
  TaskContext context();

 private:
  struct Pending {
    Stage stage;
    bool done = false;
  };
  Result<TaskResult> run_task(const Stage& stage, std::uint32_t stage_number, std::uint32_t index,
                              bool inside);
  Status settle_borders(const Stage& stage, std::uint32_t number, std::vector<TaskResult>* results);
  Status run_stage(std::size_t number);

  std::string root_;
  std::string job_folder_;
  std::vector<Pending> plan_;
  Json payload_;
  std::uint64_t attempts_ = 0;
  int jobs_ = 0;
  TaskRunner runner_;
};

}  // namespace polysome
