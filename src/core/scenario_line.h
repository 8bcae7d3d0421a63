// Test support: a line of a script in tests/scenarios as words and values, and the events that need
// nothing but the line. scenario_test.cc adds those that need to know the attempts.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "core/core_story.h"

namespace polysome::core::story {

inline std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

// "submit a priority=HIGH": the words, and the values of those with '='.
struct Line {
  int number = 0;
  std::vector<std::string> words;
  std::map<std::string, std::string> values;
  std::vector<std::string> expected;  // the indented lines below

  std::string word(std::size_t i) const { return i < words.size() ? words[i] : ""; }
  bool has(const std::string& w) const { return std::ranges::find(words, w) != words.end(); }
  bool gives(const std::string& key) const { return values.contains(key); }
  std::string text(const std::string& key, const std::string& otherwise) const {
    const auto it = values.find(key);
    return it == values.end() ? otherwise : it->second;
  }
  long value(const std::string& key, long otherwise) const {
    return gives(key) ? std::stol(values.at(key)) : otherwise;
  }
  template <class T>
  void set(const std::string& key, std::optional<T>& member) const {
    if (gives(key)) member = static_cast<T>(value(key, 0));
  }
  WorkerId worker() const { return WorkerId::parse(word(1)).value_or(WorkerId{}); }
};

// "a", or "a..e" for several.
inline std::vector<JobId> jobs_named(const std::string& word) {
  std::vector<JobId> jobs;
  const char first = word.empty() ? 'a' : word.front();
  const char last = word.find("..") == std::string::npos ? first : word.back();
  for (char letter = first; letter <= last; ++letter) jobs.push_back(job_named(letter));
  return jobs;
}

inline JobSubmitted submission(const Line& line, JobId id, std::uint64_t sequence) {
  JobSubmitted s;
  s.id = id;
  s.sequence = sequence;
  s.user = line.text("user", "");
  s.held = line.has("held");
  s.waited_ms = line.value("waited", 0);
  if (line.gives("priority"))
    s.priority = priority_from_name(line.text("priority", "")).value_or(Priority::kNormal);
  for (const auto& before : split(line.text("after", ""), ','))
    s.depends_on.push_back(job_named(before[0]));
  line.set("max_cores", s.limits.max_cores);
  line.set("max_memory", s.limits.max_memory);
  line.set("n_workers", s.limits.n_workers);
  line.set("timeout", s.limits.timeout_ms);
  line.set("memory", s.limits.memory_per_worker);
  s.limits.max_attempts = static_cast<int>(line.value("max_attempts", 3));
  return s;
}

inline UserLimits user_limits(const Line& line, const std::string& who) {
  UserLimits limits;
  line.set(who + "max_running", limits.max_running_jobs);
  line.set(who + "max_cores", limits.max_cores);
  line.set(who + "max_memory", limits.max_memory);
  return limits;
}

// limits max_running=1 ada.weight=2 ada.max_cores=4
inline QueueLimits limits_from(const Line& line) {
  QueueLimits limits;
  limits.per_user = user_limits(line, "");
  for (const auto& [key, value] : line.values) {
    const auto dot = key.find('.');
    if (dot == std::string::npos) continue;
    const std::string user = key.substr(0, dot);
    limits.users[user].own = user_limits(line, user + ".");
    limits.users[user].weight = std::stod(line.text(user + ".weight", "1"));
  }
  return limits;
}

// Events about the queue and the cluster that a line says by itself; nullopt: not one of these.
inline std::optional<Event> plain_event(const Line& line) {
  const std::string verb = line.word(0);
  const JobId job = jobs_named(line.word(1))[0];
  if (verb == "hold") return JobPatched{job, std::nullopt, true};
  if (verb == "release") return JobPatched{job, std::nullopt, false};
  if (verb == "patch") return JobPatched{job, priority_from_name(line.text("priority", "")), {}};
  if (verb == "pause") return QueuePaused{line.word(1)};
  if (verb == "resume") return QueueResumed{};
  if (verb == "limits") return LimitsChanged{limits_from(line)};
  if (verb == "usage") {
    UsageKnown known;
    for (const auto& [user, used] : line.values) known.by_user.emplace_back(user, std::stod(used));
    return known;
  }
  if (verb == "dependency")
    return DependencyKnown{job, job_status_from_name(line.word(2)).value_or(JobStatus::kCompleted)};
  if (verb == "start")
    return ClusterStarted{{static_cast<int>(line.value("workers", 1)),
                           static_cast<int>(line.value("threads", 1)),
                           static_cast<std::uint64_t>(line.value("memory", 2'000'000'000))}};
  if (verb == "stop") return ClusterStopped{line.has("force")};
  if (verb == "scale") return ClusterScaled{std::stoi(line.word(1))};
  if (verb == "autoscale") {
    AutoscalePolicy policy;
    policy.enabled = !line.has("off");
    policy.min_workers = static_cast<int>(line.value("min", 1));
    policy.max_workers = static_cast<int>(line.value("max", kMaxWorkers));
    return AutoscaleChanged{policy};
  }
  if (verb == "drain") return WorkerDrainRequested{line.worker(), line.text("reason", "")};
  if (verb == "exclude")
    return WorkerExcludeRequested{line.worker(), line.text("reason", ""), line.value("for", 0)};
  if (verb == "readmit") return WorkerReadmitRequested{line.worker()};
  if (verb == "ready") return WorkerReady{line.worker(), 1};
  if (verb == "heard") return WorkerHeard{line.worker(), 1, 1};
  if (verb == "worker_lost") return WorkerLost{line.worker(), line.has("killed"), "scripted"};
  return std::nullopt;
}

// Questions: they change nothing, and are answered by one line. nullopt: not one of these.
inline std::optional<std::string> answer(const Core& core, const Line& line, MonoTime now) {
  const std::string verb = line.word(0);
  if (verb == "why") {
    const auto view = core.job(job_named(line.word(1)[0]), now);
    if (!view) return "ended";
    const std::string phase(name(view->phase));
    return view->waiting ? phase + ": " + view->waiting->code : phase;
  }
  if (verb == "queue") {
    std::string jobs;
    for (const auto& job : core.queue(now, 100)) jobs += " " + job_name(job.id);
    return jobs.empty() ? "empty" : jobs.substr(1);
  }
  if (verb == "worker") {
    for (const auto& worker : core.cluster().workers)
      if (worker.id == line.worker()) return worker.status;
    return "gone";
  }
  if (verb == "attempts") {
    const auto view = core.job(job_named(line.word(1)[0]), now);
    std::string failed;
    if (view)
      for (const auto& a : view->attempts) failed += fmt::format(" {}:{}", a.task, a.fault_class);
    return failed.empty() ? "none" : failed.substr(1);
  }
  return std::nullopt;
}

}  // namespace polysome::core::story
