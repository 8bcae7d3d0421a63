// How long tasks of a stage of some name took in jobs before: what is known of a stage before its
// own tasks tell; and what jobs took in all, for those whose plan is not known. Names are few
// (operations have the same stages); at most 256 are kept. Part of the machine.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

namespace polysome::core {

class TypicalDurations {
 public:
  static constexpr std::size_t kMostNames = 256;

  void add(const std::string& stage, double ms) {
    const auto it = mean_ms_.find(stage);
    if (it != mean_ms_.end())
      it->second = it->second * 0.9 + ms * 0.1;
    else if (mean_ms_.size() < kMostNames)
      mean_ms_.emplace(stage, ms);
  }
  // All the slots' time that a job took that came to its end.
  void add_job(double ms) { job_ms_ = job_ms_ ? *job_ms_ * 0.9 + ms * 0.1 : ms; }
  std::optional<double> job() const { return job_ms_; }
  std::optional<double> find(const std::string& stage) const {
    const auto it = mean_ms_.find(stage);
    return it == mean_ms_.end() ? std::nullopt : std::optional(it->second);
  }

 private:
  std::map<std::string, double> mean_ms_;
  std::optional<double> job_ms_;
};

}  // namespace polysome::core
