// What must be so whatever happens, judged from outside: by events, commands and what the core
// shows, never by its insides (core/invariants.h does that). Each check is a promise to people: an
// accepted job ends once, a result is used once, an end is final, ids have no gaps, nobody is
// started who has to wait, the higher priority goes first, a drained worker is idle, everybody who
// waits is told why.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store.h"

namespace polysome::simulation {

// How often what was met, so that a simulation that meets nothing fails too.
using Met = std::map<std::string, std::uint64_t>;

class Judge {
 public:
  Judge(Store& store, Met& met) : store_(store), met_(met) {}

  // A service begins: `epoch` is the first half of its attempts' ids.
  void service_began(std::uint32_t epoch);
  // One step: the event, all that the core answered, and the core after it. Keeps the store.
  void judge(const core::Event& event, const std::vector<core::Command>& commands,
             const core::Core& core, MonoTime now);
  // All that costs O(everything).
  void judge_everything(const core::Core& core, MonoTime now);
  // No job is left.
  void judge_end(const core::Core& core);

  std::vector<std::string> broken;

 private:
  void heard(const core::Event& event);
  void said(const core::StartWorker& c);
  void said(const core::StopWorker& c);
  void said(const core::StartTask& c);
  void said(const core::CancelTask& c);
  void said(const core::RecordTask& c);
  void said(const core::ForgetTask& c);
  void said(const core::JobEnded& c);
  void said(const core::Announce& c);
  void said(const core::ScalingDecided& c);
  void judge_job(JobId id, const core::Core& core, MonoTime now);
  // All attempts of a cancelled job are asked back, and what is queued on a drained worker.
  void judge_cancelled(JobId id);
  void judge_drained(WorkerId id);
  // Of a gang that begins in this step all tasks do.
  void judge_gangs(const std::vector<core::Command>& commands);
  template <class Which>
  void are_over(Which which) {
    for (auto& [id, started] : started_) started.over = started.over || which(started);
  }
  // Nobody of the same user who came before, or has a higher priority, was passed by.
  void judge_order(const core::Core& core, MonoTime now);
  void judge_queue(const core::Core& core, MonoTime now);
  void judge_cluster(const core::Core& core);
  template <class... Args>
  void expect(bool holds, fmt::format_string<Args...> what, Args&&... args) {
    if (!holds) broken.push_back(fmt::format(what, std::forward<Args>(args)...));
  }

  struct Started {
    TaskRef task;
    WorkerId worker;
    int slot = 0;
    bool inside = false;
    bool finished = false;   // its worker said so
    bool cancelled = false;  // the core asked for it back
    bool over = false;       // as far as the core can know
  };

  Store& store_;
  Met& met_;
  std::uint32_t epoch_ = 0;
  std::uint64_t last_attempt_ = 0;
  std::uint32_t last_worker_ = 0;
  std::map<AttemptId, Started> started_;                     // by the service that lives
  std::set<std::uint32_t> aside_;                            // workers that people set aside
  const core::WorkerExcludeRequested* excluding_ = nullptr;  // of the step
  std::vector<JobId> began_;  // of the step: pending jobs that run now
};

}  // namespace polysome::simulation
