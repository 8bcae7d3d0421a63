// Test support: worker processes in virtual time. Takes the core's commands (carry_out), runs
// attempts for as long as the world says (World: one Outcome an attempt, asked when it begins), and
// reports events. Checks what the core must never do (`broken`): two tasks running in a slot, more
// memory than there is, work for a worker that is not ready.
//
// With chaos (set_chaos, on by default) messages come late, twice and in another order, progress
// and heartbeats get lost, workers die at their start, hang for a while (their messages come all
// together when they wake) or for ever. What ends an attempt is lost only together with all that
// follows it, as on any stream: the worker is mute from there on. All chance is drawn from the
// random numbers given, so a seed is the whole run. Without chaos nothing is random but delays.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/core.h"

namespace polysome::core {

// Events in the order of their time.
class VirtualTime {
 public:
  void at(MonoTime when, std::function<void()> action) {
    queue_.emplace(std::max(when, now_), std::move(action));
  }
  void after(MonoTime delay, std::function<void()> action) { at(now_ + delay, std::move(action)); }
  std::optional<MonoTime> next() const {
    return queue_.empty() ? std::nullopt : std::optional(queue_.begin()->first);
  }
  void run_next() {
    const auto it = queue_.begin();
    now_ = std::max(now_, it->first);
    const auto action = std::move(it->second);
    queue_.erase(it);
    action();
  }
  void pass_to(MonoTime when) { now_ = std::max(now_, when); }
  MonoTime now() const { return now_; }

 private:
  std::multimap<MonoTime, std::function<void()>> queue_;
  MonoTime now_ = 1000;
};

// How an attempt goes, decided by the world when it begins.
struct Outcome {
  MonoTime duration_ms = 1;
  enum class Kind : std::uint8_t {
    kFinish,
    kFail,
    kSlotCrash,
    kSlotKilled,
    kSlotOutOfMemory,
    kWorkerKilled,
    kWorkerCrash,
    kWorkerHang,
    kWorkerMute,
    kOutputLost
  } kind = Kind::kFinish;
  TaskFinished finished;
  TaskFailed failed;
  OutputLost lost;
};

class SimulatedCluster {
 public:
  using Report = std::function<void(const Event&)>;
  using World = std::function<Outcome(const StartTask&)>;

  SimulatedCluster(VirtualTime& time, std::mt19937_64& random, Report report, World world)
      : time_(time), random_(random), report_(std::move(report)), world_(std::move(world)) {}

  void carry_out(const Command& command) {
    if (const auto* start = std::get_if<StartWorker>(&command)) start_worker(*start);
    if (const auto* stop = std::get_if<StopWorker>(&command)) stop_worker(*stop);
    if (const auto* task = std::get_if<StartTask>(&command)) start_task(*task);
    if (const auto* cancel = std::get_if<CancelTask>(&command)) cancel_task(*cancel);
  }
  // The service is gone: so are all its workers, and nothing of them is heard again.
  void end_all() {
    workers_.clear();
    ++services_;
  }
  void set_chaos(bool chaos) { chaos_ = chaos; }
  // The worker does nothing and says nothing for so long; then it catches up.
  void hang(WorkerId id, MonoTime ms) {
    const auto it = workers_.find(id);
    if (it != workers_.end()) it->second.hangs_until = time_.now() + ms;
  }
  std::vector<std::string>& broken() { return broken_; }

 private:
  struct Worker {
    WorkerId id;
    std::uint64_t memory = 0;
    bool ready = false, stopping = false, mute = false;
    MonoTime hangs_until = 0;
    std::uint64_t life = 0;  // tells late events of an earlier worker of that id
    std::vector<std::deque<StartTask>> slots;
    // From the loss of a slot until the core has heard of it: what it sends there is dropped.
    std::vector<bool> lost;
  };

  bool one_in(int n) { return chaos_ && random_() % static_cast<std::uint64_t>(n) == 0; }
  MonoTime between(MonoTime least, MonoTime most) {
    return least + static_cast<MonoTime>(random_() % static_cast<std::uint64_t>(most - least + 1));
  }
  Worker* find(WorkerId id, std::uint64_t life) {
    const auto it = workers_.find(id);
    return it == workers_.end() || it->second.life != life ? nullptr : &it->second;
  }
  void say(const Worker& worker, const Event& event) {
    if (worker.mute) return;
    const bool can_get_lost = std::holds_alternative<TaskStarted>(event) ||
                              std::holds_alternative<TaskProgressed>(event) ||
                              std::holds_alternative<WorkerHeard>(event);
    if (can_get_lost && one_in(20)) return;
    // What was said before its end may be heard after it, but not by the next service.
    if (time_.now() < worker.hangs_until) return say_later(worker.hangs_until, event);
    if (one_in(20)) say_later(time_.now() + between(0, one_in(4) ? 5000 : 50), event);
    report_(event);
  }
  void say_later(MonoTime when, const Event& event) {
    const auto service = services_;
    time_.at(when, [=, this] {
      if (service == services_) report_(event);
    });
  }

  void start_worker(const StartWorker& command) {
    Worker& worker = workers_[command.worker];
    worker.id = command.worker;
    worker.memory = command.memory_limit;
    worker.life = ++lives_;
    worker.slots.resize(static_cast<std::size_t>(command.slots));
    worker.lost.resize(worker.slots.size());
    const auto life = worker.life;
    if (one_in(15))
      return time_.after(between(1, 50), [=, this] { die(command.worker, life, true); });
    if (one_in(60)) worker.mute = true;  // hangs at its start
    time_.after(between(5, 200), [=, this] {
      Worker* w = find(command.worker, life);
      if (w == nullptr) return;
      w->ready = true;
      say(*w, WorkerReady{w->id, 4000 + static_cast<int>(w->id.n)});
      beat(command.worker, life);
    });
  }

  void beat(WorkerId id, std::uint64_t life) {
    Worker* worker = find(id, life);
    if (worker == nullptr) return;
    say(*worker, WorkerHeard{id, 1, 1});
    time_.after(5000, [=, this] { beat(id, life); });
  }

  void die(WorkerId id, std::uint64_t life, bool by_kill) {
    Worker* worker = find(id, life);
    if (worker == nullptr) return;
    const bool mute = worker->mute;
    workers_.erase(id);
    if (!mute) report_(WorkerLost{id, by_kill, "simulated"});
  }

  void stop_worker(const StopWorker& command) {
    const auto it = workers_.find(command.worker);
    if (it == workers_.end()) return;
    Worker& worker = it->second;
    worker.stopping = true;
    const auto life = worker.life;
    const auto id = command.worker;
    if (command.force) {
      for (auto& slot : worker.slots) slot.clear();
      worker.mute = false;  // the kernel tells of its end, whatever it was like
      time_.after(between(1, 20), [=, this] { die(id, life, true); });
      return;
    }
    for (const auto& slot : worker.slots)
      if (!slot.empty()) broken_.push_back(id.text() + " was stopped with tasks");
    if (!worker.mute) time_.after(between(1, 20), [=, this] { die(id, life, false); });
  }

  void start_task(const StartTask& command) {
    const auto it = workers_.find(command.worker);
    if (it == workers_.end()) return;  // died meanwhile; the core does not know yet
    Worker& worker = it->second;
    if (!worker.ready || worker.stopping)
      broken_.push_back("a task for " + worker.id.text() + ", which is not ready");
    auto& slot = worker.slots.at(static_cast<std::size_t>(command.slot));
    if (worker.lost[static_cast<std::size_t>(command.slot)]) return;
    slot.push_back(command);
    std::uint64_t granted = 0;
    for (const auto& s : worker.slots)
      if (!s.empty()) granted += s.front().grant;
    if (granted > worker.memory) broken_.push_back(worker.id.text() + " is given too much memory");
    if (slot.size() > 5) broken_.push_back(worker.id.text() + " has more than five in a slot");
    if (slot.size() == 1) begin(worker, command.slot);
  }

  void begin(Worker& worker, int number) {
    const StartTask task = worker.slots[static_cast<std::size_t>(number)].front();
    const auto id = worker.id;
    const auto life = worker.life;
    time_.after(1, [=, this] {
      if (Worker* w = running(id, life, number, task.attempt)) say(*w, TaskStarted{task.attempt});
    });
    const Outcome outcome = world_(task);
    time_.after(1 + outcome.duration_ms / 2, [=, this] {
      if (Worker* w = running(id, life, number, task.attempt))
        say(*w, TaskProgressed{task.attempt, 50 + random_() % 50, 1000});
    });
    time_.after(1 + outcome.duration_ms, [=, this] { conclude(id, life, number, task, outcome); });
  }

  // The worker, if this attempt is still the one its slot runs.
  Worker* running(WorkerId id, std::uint64_t life, int slot, AttemptId attempt) {
    Worker* worker = find(id, life);
    if (worker == nullptr) return nullptr;
    const auto& queue = worker->slots[static_cast<std::size_t>(slot)];
    return !queue.empty() && queue.front().attempt == attempt ? worker : nullptr;
  }

  void conclude(WorkerId id, std::uint64_t life, int number, const StartTask& task,
                const Outcome& outcome) {
    Worker* worker = running(id, life, number, task.attempt);
    if (worker == nullptr) return;
    using Kind = Outcome::Kind;
    switch (outcome.kind) {
      case Kind::kWorkerKilled: return die(id, life, true);
      case Kind::kWorkerCrash: return die(id, life, false);
      case Kind::kWorkerHang:
        worker->hangs_until = time_.now() + between(1000, 60'000);
        return over(id, life, number, task.attempt, outcome.finished);
      case Kind::kWorkerMute: worker->mute = true; return;
      case Kind::kSlotCrash: return lose_slot(*worker, number, false, false);
      case Kind::kSlotKilled: return lose_slot(*worker, number, true, false);
      case Kind::kSlotOutOfMemory: return lose_slot(*worker, number, true, true);
      case Kind::kFinish: return over(id, life, number, task.attempt, outcome.finished);
      case Kind::kFail: return over(id, life, number, task.attempt, outcome.failed);
      case Kind::kOutputLost: return over(id, life, number, task.attempt, outcome.lost);
    }
  }

  void lose_slot(Worker& worker, int number, bool by_kill, bool out_of_memory) {
    const auto n = static_cast<std::size_t>(number);
    const auto id = worker.id;
    const auto life = worker.life;
    worker.slots[n].clear();
    if (worker.mute) return;
    worker.lost[n] = true;
    const auto tell = [=, this] {
      Worker* w = find(id, life);
      if (w == nullptr) return;
      w->lost[n] = false;
      report_(SlotLost{id, number, by_kill, out_of_memory, "simulated"});
    };
    if (time_.now() < worker.hangs_until)
      time_.at(worker.hangs_until, tell);
    else
      tell();
  }

  void over(WorkerId id, std::uint64_t life, int number, AttemptId attempt, const Event& report) {
    Worker* worker = find(id, life);
    auto& slot = worker->slots[static_cast<std::size_t>(number)];
    const bool front = slot.front().attempt == attempt;
    std::erase_if(slot, [&](const StartTask& t) { return t.attempt == attempt; });
    if (front && !slot.empty()) begin(*worker, number);
    say(*worker, report);
  }

  void cancel_task(const CancelTask& command) {
    const auto it = workers_.find(command.worker);
    if (it == workers_.end()) return;
    const auto id = command.worker;
    const auto life = it->second.life;
    const bool deaf = one_in(10);  // an interrupt that is not obeyed ends in a kill
    time_.after(deaf ? 500 : between(1, 5), [=, this] {
      Worker* worker = find(id, life);
      if (worker == nullptr) return;
      const auto& slot = worker->slots[static_cast<std::size_t>(command.slot)];
      const bool here = std::ranges::any_of(
          slot, [&](const StartTask& t) { return t.attempt == command.attempt; });
      if (!here) return;
      if (deaf && slot.front().attempt == command.attempt)
        return lose_slot(*worker, command.slot, true, false);
      TaskFailed failed;
      failed.failure.attempt = command.attempt;
      failed.failure.error = Error(Code::kCancelled, "cancelled");
      over(id, life, command.slot, command.attempt, failed);
    });
  }

  VirtualTime& time_;
  std::mt19937_64& random_;
  Report report_;
  World world_;
  std::map<WorkerId, Worker> workers_;
  std::uint64_t lives_ = 0;
  std::uint64_t services_ = 0;
  bool chaos_ = true;
  std::vector<std::string> broken_;
};

}  // namespace polysome::core
