// Test support: events and commands as lines of text, ids by letters, and a core whose invariants
// are checked after each step. Included by tests only.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/core.h"

namespace polysome::core::story {

inline JobId job_id(std::uint32_t n) {
  JobId id;
  for (int i = 0; i < 4; ++i) id.bytes[15 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}
// "a" is job 1, "b" job 2 … beyond z: "j27".
inline std::string job_name(JobId id) {
  std::uint32_t n = 0;
  for (int i = 12; i < 16; ++i) n = n << 8 | id.bytes[static_cast<std::size_t>(i)];
  if (n >= 1 && n <= 26) return std::string(1, static_cast<char>('a' + n - 1));
  return "j" + std::to_string(n);
}
inline JobId job_named(char letter) { return job_id(static_cast<std::uint32_t>(letter - 'a') + 1); }

inline Stage stage(std::string name, std::uint32_t tasks, std::vector<std::string> after = {}) {
  Stage s;
  s.name = std::move(name);
  s.tasks = tasks;
  s.after = std::move(after);
  s.fragment_file = "plan/0.json";
  return s;
}
inline Stage final_stage(std::vector<std::string> after, std::string name = "merge") {
  Stage s = stage(std::move(name), 1, std::move(after));
  s.kind = StageKind::kSingle;
  s.final = true;
  return s;
}

// One line a command; JobProgressed is a hint for drawing and has none.
inline std::string line(const Command& command) {
  const auto task = [](const TaskRef& t, const std::string& stage) {
    return fmt::format("{}/{}/{}", job_name(t.job), stage, t.index);
  };
  struct Writer {
    decltype(task)& name;
    std::string operator()(const StartWorker& c) const {
      return fmt::format("start_worker {} slots={} memory={}", c.worker.text(), c.slots,
                         c.memory_limit);
    }
    std::string operator()(const StopWorker& c) const {
      return fmt::format("stop_worker {}{}", c.worker.text(), c.force ? " force" : "");
    }
    std::string operator()(const StartTask& c) const {
      std::string out = fmt::format("start_task {} on={}.{}", name(c.task, c.stage_name),
                                    c.worker.text(), c.slot);
      if (c.attempt_number != 1) out += fmt::format(" attempt={}", c.attempt_number);
      if (c.start_inside_quotes) out += " inside";
      if (c.split != 1) out += fmt::format(" split={}", c.split);
      return out;
    }
    std::string operator()(const CancelTask& c) const {
      return fmt::format("cancel_task #{} on={}.{}", c.attempt.n, c.worker.text(), c.slot);
    }
    std::string operator()(const RecordTask& c) const {
      return fmt::format("record {}{}", name(c.task, std::to_string(c.task.stage)),
                         c.planned ? " planned" : "");
    }
    std::string operator()(const ForgetTask& c) const {
      return "forget " + name(c.task, std::to_string(c.task.stage));
    }
    std::string operator()(const JobChanged& c) const { return "changed " + job_name(c.job); }
    std::string operator()(const JobProgressed&) const { return ""; }
    std::string operator()(const JobEnded& c) const {
      return fmt::format("ended {} {}{}", job_name(c.job), name_of(c.status),
                         c.error ? fmt::format(" {}", info(c.error->code).name) : "");
    }
    std::string operator()(const Announce& c) const {
      return fmt::format("announce {}{}", c.type,
                         c.data.contains("worker")   ? " " + c.data["worker"].get<std::string>()
                         : c.data.contains("status") ? " " + c.data["status"].get<std::string>()
                                                     : "");
    }
    std::string operator()(const ScalingDecided& c) const {
      return fmt::format("scaling {} -> {}", c.from, c.to);
    }
    static std::string_view name_of(JobStatus s) { return polysome::name(s); }
  };
  return std::visit(Writer{task}, command);
}

// A core with its clock, the commands of its last step and all its started tasks.
class TestCore {
 public:
  explicit TestCore(Config config = {}, std::uint64_t seed = 1) : core(config, seed) {}

  const std::vector<Command>& step(const Event& event) {
    last = core.step(event, now);
    for (const auto& c : last) {
      if (const auto* s = std::get_if<StartTask>(&c)) started.push_back(*s);
      if (const auto* e = std::get_if<JobEnded>(&c)) ended.push_back(*e);
    }
    for (const auto& broken : core.broken_invariants()) ADD_FAILURE() << broken;
    return last;
  }
  template <class T>
  std::vector<T> of() const {
    std::vector<T> out;
    for (const auto& c : last)
      if (const auto* t = std::get_if<T>(&c)) out.push_back(*t);
    return out;
  }

  // A running cluster.
  void start_cluster(int workers = 1, int threads = 1, std::uint64_t memory = 2'000'000'000) {
    step(ClusterStarted{{workers, threads, memory}});
    for (const auto& w : of<StartWorker>()) ready.push_back(w.worker);
    for (const auto& w : ready) step(WorkerReady{w, static_cast<int>(w.n) + 100});
  }
  JobSubmitted job(char letter, Priority priority = Priority::kNormal) {
    JobSubmitted s;
    s.id = job_named(letter);
    s.priority = priority;
    s.user = "ada";
    s.sequence = ++sequence;
    return s;
  }
  // The newest attempt of a task: "plan" 0.
  AttemptId attempt(char letter, const std::string& stage, std::uint32_t index = 0) const {
    for (auto it = started.rbegin(); it != started.rend(); ++it)
      if (it->task.job == job_named(letter) && it->stage_name == stage && it->task.index == index)
        return it->attempt;
    ADD_FAILURE() << "no attempt of " << letter << "/" << stage << "/" << index;
    return {};
  }
  const std::vector<Command>& finish(AttemptId attempt, double wall_seconds = 1,
                                     Json payload = {}) {
    TaskFinished f;
    f.result.attempt = attempt;
    f.result.wall_seconds = wall_seconds;
    f.result.payload = std::move(payload);
    return step(f);
  }
  const std::vector<Command>& plan(char letter, std::vector<Stage> stages) {
    TaskFinished f;
    f.result.attempt = attempt(letter, "plan");
    f.result.wall_seconds = 1;
    f.fragment = Fragment{std::move(stages), Json::array()};
    return step(f);
  }
  const std::vector<Command>& fail(AttemptId attempt, Code code, std::uint64_t needed = 0) {
    TaskFailure f;
    f.attempt = attempt;
    f.error = Error(code, "it went wrong");
    f.needed_memory = needed;
    return step(TaskFailed{f});
  }
  // To the next deadline.
  const std::vector<Command>& tick() {
    const auto due = core.next_deadline();
    EXPECT_TRUE(due.has_value());
    now = std::max(now, due.value_or(now));
    return step(Tick{});
  }
  JobView view(char letter) const { return core.job(job_named(letter), now).value(); }

  Core core;
  MonoTime now = 1000;
  std::vector<Command> last;
  std::vector<StartTask> started;
  std::vector<JobEnded> ended;
  std::vector<WorkerId> ready;
  std::uint64_t sequence = 0;
};

}  // namespace polysome::core::story
