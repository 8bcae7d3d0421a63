// Finished tasks of the job that this one does again (jobs/{id}/retry), taken over in place of
// being run: when program, operation, plan, stage and all stages before it are the same, and the
// input's fingerprint with them, the earlier task's files are linked into this job's folder and its
// result is given. Read by one slot; kept while it works for the job. Anything unsure counts as
// different.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "model/plan.h"
#include "operations/task_runner.h"
#include "plan/job_description.h"

namespace polysome {

class EarlierRun {
 public:
  // nullptr: the job does none again, or nothing of that is left.
  static std::unique_ptr<EarlierRun> find(const JobDescription& job, const std::string& job_folder);

  // What the task gave earlier, as this task's output with `reused`; nullopt: it has to be run.
  std::optional<TaskOutput> take_over(const TaskSpec& spec, const Stage& stage);

 private:
  EarlierRun() = default;
  const std::map<std::string, Stage>& stages_of(const std::string& folder);
  bool same(const std::string& stage);
  bool same_plan(const std::string& now, const std::string& then);
  std::optional<std::string> comparable_plan(const std::string& folder, const std::string& name,
                                             bool ignore_bad_values);

  std::string folder_;   // of the earlier job
  std::string current_;  // of this one
  bool ignore_bad_values_ = false;
  std::map<std::string, std::map<std::string, Stage>> stages_;  // by folder and name
  std::map<std::string, bool> same_;                            // by stage
  std::map<std::string, bool> plans_;                           // by both names
};

}  // namespace polysome
