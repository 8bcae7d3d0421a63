// What was said about each job's tasks, as lines of JSON in a file a job: STATE/logs/<job>.ndjson.
// Bounded; written as it comes, without fsync (a log is no record). A job nothing is said about has
// no file: the engine begins one when there is something, or when somebody asks. Followers are told
// that there is more, and read on. Owned by the engine; loop thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "api/backend.h"
#include "model/ids.h"

namespace polysome {

class JobLog {
 public:
  // An empty folder: nothing is kept (polysome run).
  explicit JobLog(std::string folder) : folder_(std::move(folder)) {}

  struct Line {
    std::string level = "info";  // debug, info, warning, error
    std::string worker, task;    // may be empty
    int attempt = 0;             // 0: none
    std::string message;
    std::optional<WallTime> time = {};  // absent: now
  };
  bool has(const JobId& job) const;
  void say(const JobId& job, const Line& line);
  api::LogPage read(const JobId& job, const api::LogQuery& query) const;

  std::uint64_t follow(const JobId& job, std::function<void(bool over)> told);
  void unfollow(std::uint64_t subscription);
  // The job is over: followers are told for the last time.
  void close(const JobId& job);
  // Removes the logs of jobs that `known` does not know.
  void sweep(const std::function<bool(const JobId&)>& known) const;

 private:
  std::string path_of(const JobId& job) const;

  std::string folder_;
  std::unordered_map<JobId, std::uint64_t> written_;  // bytes, of jobs with a log in this service
  struct Follower {
    JobId job;
    std::function<void(bool)> told;
  };
  std::map<std::uint64_t, Follower> followers_;
  std::uint64_t next_ = 1;
};

}  // namespace polysome
