// What answers about files share: which files a request names, and a DuckDB session that may read
// them. The slot's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/session.h"
#include "model/json.h"
#include "operations/task_runner.h"

namespace polysome {

// Locked; reads the folders and the task's scratch. Interrupted when the request is cancelled.
Result<std::unique_ptr<Session>> open_session(const TaskContext& context,
                                              std::vector<std::string> folders);
// A session that is open already and may read these files, or nullptr.
using KeptSession = std::function<Session*(const std::vector<std::string>& paths)>;
struct AnswerSession {
  std::unique_ptr<Session> own;  // null: a kept one is used
  Session* use = nullptr;
};
Result<AnswerSession> session_for(const std::vector<std::string>& paths, const TaskContext& context,
                                  const KeptSession& kept);
// Of "files": paths, or objects with a "path". Errors: kInvalid when there are none, kGone.
Result<std::vector<std::string>> paths_of(const Json& request);
// The folders that the files lie in, each once.
std::vector<std::string> parents_of(const std::vector<std::string>& paths);

}  // namespace polysome
