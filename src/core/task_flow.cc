#include "core/task_flow.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/gang.h"
#include "core/job_flow.h"
#include "core/stage_flow.h"
#include "core/worker_health.h"

namespace polysome::core {
namespace {

constexpr std::size_t kFailuresKept = 50;

// What a job held before a change of its slots, so that its user's account follows.
struct Held {
  std::size_t slots;
  std::uint64_t memory;
  explicit Held(const JobRun& job) : slots(job.slots.size()), memory(job.memory_held) {}
  void note_change(Machine& m, JobRun& job) const {
    m.queue.hold(job, static_cast<int>(job.slots.size()) - static_cast<int>(slots),
                 static_cast<std::int64_t>(job.memory_held - memory));
  }
};

// The bytes that a task counts while it runs are those of the attempt in the stage's `active`.
void count_bytes(JobRun& job, StageRun& stage, std::uint64_t before, std::uint64_t now) {
  if (before == now) return;
  stage.progress.bytes_running = stage.progress.bytes_running - before + now;
  job.progress.stage_changed(stage.progress);
}

// Takes an attempt out of its task: the task is nowhere then, unless its twin goes on.
void leave_task(Machine& m, const Attempt& a) {
  if (a.superseded) return;
  StageRun& stage = a.job->stages[a.stage];
  const auto active = stage.active.find(a.index);
  Attempt* twin = a.twin != 0 ? &m.attempts.at(a.twin) : nullptr;
  if (twin != nullptr) twin->twin = 0;
  if (active->second != a.n) return;
  count_bytes(*a.job, stage, a.bytes, twin != nullptr ? twin->bytes : 0);
  if (twin != nullptr)
    active->second = twin->n;
  else
    stage.active.erase(active);
}

// Takes an attempt from its slot and from the books.
Attempt release(Machine& m, std::uint64_t n) {
  const auto it = m.attempts.find(n);
  Attempt a = it->second;
  m.attempts.erase(it);
  JobRun& job = *a.job;
  a.held_since = a.worker->slots[static_cast<std::size_t>(a.slot)].front_since;
  leave_task(m, a);
  const Held before(job);
  m.resources.take(*a.worker, a.slot, n, m.now);
  before.note_change(m, job);
  m.resize = m.resize || a.worker->state == WorkerState::kDraining;
  if (--job.active == 0) attempts_ended(m, job);
  job.parked = false;
  m.touch(job);
  place_in_queue(m, job);
  return a;
}

// What an attempt has used is its job's, whatever becomes of it.
void note_use(Attempt& a, std::uint64_t memory, double cpu_seconds) {
  a.job->peak_memory = std::max(a.job->peak_memory, memory);
  auto& stage_peak = a.job->stages[a.stage].peak_memory;
  stage_peak = std::max(stage_peak, memory);
  if (cpu_seconds <= a.cpu_seconds) return;
  a.job->cpu_seconds += cpu_seconds - a.cpu_seconds;
  a.cpu_seconds = cpu_seconds;
}

// An attempt that was released told nothing: its task is to be tried again, if no other attempt of
// it runs or has finished it.
void make_ready(Machine& m, const Attempt& a) {
  note_no_answer(a);
  if (a.superseded || a.twin != 0) return;
  StageRun& stage = a.job->stages[a.stage];
  make_ready(m, *a.job, stage, a.index);
  disband_gang(m, *a.job, stage);
}

// A finished task's other attempt, if it has one, is of no use any more; nobody is charged.
void supersede_twin(Machine& m, const Attempt& a) {
  if (a.twin == 0) return;
  Attempt& twin = m.attempts.at(a.twin);
  if (twin.n < a.n) ++m.faults.stragglers_won;
  leave_task(m, twin);
  twin.superseded = true;
  if (!twin.taken_back && !a.job->ending)
    m.out.push_back(CancelTask{twin.worker->id, twin.slot, m.attempt_id(twin.n)});
  twin.taken_back = true;
}

void note_failure(Machine& m, const Attempt& a, const Fault& fault) {
  JobRun& job = *a.job;
  AttemptRecord record;
  record.task = job.task_name(a.stage, a.index);
  record.attempt = a.number;
  record.worker = a.worker->id.text();
  record.fault_class = name(fault.fault_class);
  record.message = fault.error.message;
  job.failures.emplace_back(std::move(record), m.now);
  if (job.failures.size() > kFailuresKept) job.failures.pop_front();
  ++a.worker->failures;
  job.last_failure = fault.error.code;
  ++job.faults;
  note_fault(m, a, fault);
  const auto it = std::ranges::find(m.faults.by_class, fault.fault_class,
                                    &std::pair<FaultClass, std::uint64_t>::first);
  if (it == m.faults.by_class.end())
    m.faults.by_class.emplace_back(fault.fault_class, 1);
  else
    ++it->second;
}

// One of a task's two attempts went wrong; the other goes on. Nothing is charged, unless no attempt
// could do better.
void charge_one_of_two(Machine& m, const Attempt& a, const Fault& fault) {
  if (fault.fault_class == FaultClass::kUser)
    fail_job(m, *a.job, fault.error, fault.fault_class, a.job->task_name(a.stage, a.index));
}

// What two tasks of a stage had to find out, its others need not: they start with as much.
void learn(StageRun& stage, const TaskTrouble& trouble) {
  if (trouble.out_of_memory == 1) ++stage.short_of_memory;
  if (stage.short_of_memory < 2) return;
  stage.grant = std::max(stage.grant, trouble.grant);
  stage.split = std::max(stage.split, trouble.split);
}

// An attempt that was released went wrong: its task is tried again, or its job fails.
void charge(Machine& m, const Attempt& a, const Fault& fault) {
  JobRun& job = *a.job;
  if (job.ending || a.superseded) return make_ready(m, a);
  StageRun& stage = job.stages[a.stage];
  note_failure(m, a, fault);
  if (a.twin != 0) return charge_one_of_two(m, a, fault);
  FaultLimits limits;
  limits.max_attempts = job.spec.limits.max_attempts;
  limits.retry_delay_ms = m.config.retry_delay_ms;
  limits.grant = a.grant;
  limits.most_grant = most_grant_of(m, job, stage);
  limits.can_split = stage.can_split;
  TaskTrouble& trouble = stage.trouble[a.index];
  const std::string task = job.task_name(a.stage, a.index);
  Decision decision = charge(trouble, fault, limits, task, m.chance());
  if (fault.fault_class == FaultClass::kOutOfMemory && !fault.ended_by_system)
    learn(stage, trouble);
  ++(decision.verdict == Verdict::kGiveUp ? m.faults.gave_up : m.faults.retries);
  switch (decision.verdict) {
    case Verdict::kRetryNow: make_ready(m, a); return;
    case Verdict::kRetryLater:
      trouble.backing_off = true;
      trouble.due = m.now + decision.delay_ms;
      trouble.avoid = a.worker->id.n;
      trouble.avoid_until = trouble.due + kAvoidMs;
      ++stage.backing_off;
      ++job.backing_off;
      m.timers.arm(trouble.due, TimerKind::kBackoff, {job.id(), a.stage, a.index});
      disband_gang(m, job, stage);
      return;
    case Verdict::kGiveUp:
      make_ready(m, a);
      fail_job(m, job, std::move(decision.error), fault.fault_class, task);
      return;
  }
}

void lose(Machine& m, const Attempt& a, const std::string& why) {
  Fault fault;
  fault.fault_class = FaultClass::kWorkerLost;
  fault.lost = true;
  fault.error = Error(Code::kWorkerLost, why);
  charge(m, a, fault);
}

void fail_plan(Machine& m, const Attempt& a, Error error) {
  make_ready(m, a);
  fail_job(m, *a.job, std::move(error), FaultClass::kInternal, a.job->task_name(a.stage, a.index));
}

// A planner's fragment joins the plan. False: the job fails.
bool take_fragment(Machine& m, const Attempt& a, const std::optional<Fragment>& fragment) {
  if (!fragment) {
    fail_plan(m, a, Error(Code::kInternal, "the planner published no plan"));
    return false;
  }
  if (auto possible = check_gangs(m, *a.job, fragment->stages); !possible) {
    make_ready(m, a);
    fail_job(m, *a.job, std::move(possible).error(), FaultClass::kUser,
             a.job->task_name(a.stage, a.index));
    return false;
  }
  if (auto added = append_stages(m, *a.job, fragment->stages); !added) {
    fail_plan(m, a, std::move(added).error());
    return false;
  }
  for (const auto& warning : fragment->warnings) a.job->warnings.push_back(warning);
  return true;
}

// Wrong starts are forgotten and run again; a dispute under the right start is the user's error.
void judge_borders(Machine& m, JobRun& job, std::uint32_t stage) {
  auto verdict = job.stages[stage].borders->compose();
  for (const auto index : verdict.wrong) {
    forget_task(m, job, stage, index);
    m.out.push_back(ForgetTask{{job.id(), stage, index}});
  }
  if (!verdict.error) return;
  auto& [index, error] = *verdict.error;
  const std::string task = job.task_name(stage, index);
  forget_task(m, job, stage, index);
  const FaultClass fault_class = fault_class_of(error.code);
  fail_job(m, job, std::move(error), fault_class, task);
}

void accept(Machine& m, const Attempt& a, const TaskResult& result) {
  JobRun& job = *a.job;
  StageRun& stage = job.stages[a.stage];
  const auto ran = static_cast<double>(m.now - a.since);
  const double told = result.wall_seconds > 0 ? result.wall_seconds * 1000 : ran;
  const double held = std::max(told, static_cast<double>(m.now - a.held_since));
  stage.duration.add(told, held);
  m.typical.add(stage.name, held);
  job.held_ms += held;
  if (stage.kind == StageKind::kPlanner) m.planning.add(told, held);
  if (!result.disputed) {
    const std::uint64_t bytes = result.bytes_in > 0 ? result.bytes_in : stage.progress.share();
    m.out.push_back(RecordTask{
        {job.id(), a.stage, a.index}, m.attempt_id(a.n), bytes, stage.kind == StageKind::kPlanner});
  }
  finish_task(m, job, a.stage, a.index, result.bytes_in);
  if (stage.borders) {
    stage.borders->note(a.index, a.start_inside,
                        {result.ends_inside_if_outside, result.ends_inside_if_inside},
                        result.disputed);
    judge_borders(m, job, a.stage);
  }
}

// Gives an attempt its number, puts it into its slot and tells the slot.
std::uint64_t launch(Machine& m, Attempt a) {
  JobRun& job = *a.job;
  const StageRun& stage = job.stages[a.stage];
  a.n = ++m.last_attempt;
  a.since = m.now;
  a.moved = m.now;
  if (a.worker->aside == Aside::kProbed) a.worker->health.probe = a.n;
  const Held before(job);
  m.resources.put(*a.worker, a.slot, a.n, job, stage.number, a.grant, m.now);
  before.note_change(m, job);
  if (const int cores = static_cast<int>(job.slots.size());
      stage.ready() > 0 || cores > job.usual_cores)
    job.usual_cores = cores;
  if (job.active++ == 0) attempts_began(m, job);
  m.touch(job);
  m.attempts.emplace(a.n, a);
  const auto trouble = stage.trouble.find(a.index);
  const std::uint32_t split =
      trouble == stage.trouble.end() ? stage.split : std::max(stage.split, trouble->second.split);
  m.out.push_back(StartTask{a.worker->id,
                            a.slot,
                            {job.id(), a.stage, a.index},
                            m.attempt_id(a.n),
                            a.number,
                            a.grant,
                            a.start_inside,
                            split,
                            stage.name,
                            stage.fragment_file,
                            stage.place});
  return a.n;
}

}  // namespace

void start_attempt(Machine& m, Worker& worker, int slot, JobRun& job, StageRun& stage, bool again,
                   std::uint64_t grant) {
  Attempt a;
  a.job = &job;
  a.stage = stage.number;
  a.index = take_ready(m, job, stage, again);
  a.worker = &worker;
  a.slot = slot;
  a.grant = grant;
  a.start_inside = stage.borders && stage.borders->start_of(a.index);
  if (const auto it = stage.trouble.find(a.index); it != stage.trouble.end())
    a.number = 1 + it->second.counted + it->second.out_of_memory;
  const std::uint64_t n = launch(m, a);
  stage.active.emplace(a.index, n);
}

void start_twin(Machine& m, Attempt& first, Worker& worker, int slot) {
  Attempt a;
  a.job = first.job;
  a.stage = first.stage;
  a.index = first.index;
  a.worker = &worker;
  a.slot = slot;
  a.grant = first.grant;
  a.number = first.number;
  a.start_inside = first.start_inside;
  a.twin = first.n;
  first.twin = launch(m, a);
  ++m.faults.stragglers_doubled;
}

void take_back(Machine& m, Attempt& attempt) {
  if (attempt.taken_back || attempt.job->ending) return;
  attempt.taken_back = true;
  m.out.push_back(CancelTask{attempt.worker->id, attempt.slot, m.attempt_id(attempt.n)});
}

void task_started(Machine& m, const TaskStarted& event) {
  Attempt* a = m.heard(event.attempt);
  if (a == nullptr || a->running) return;
  a->running = true;
  a->since = m.now;
  a->moved = m.now;
}

void task_progressed(Machine& m, const TaskProgressed& event) {
  Attempt* a = m.heard(event.attempt);
  if (a == nullptr) return;
  JobRun& job = *a->job;
  note_use(*a, event.memory, event.cpu_seconds);
  StageProgress& progress = job.stages[a->stage].progress;
  const std::uint64_t bytes = std::max(a->bytes, std::min(event.bytes, progress.bytes));
  if (bytes == a->bytes) return;
  const std::uint64_t before = std::exchange(a->bytes, bytes);
  a->moved = m.now;
  a->told_stalled = false;
  StageRun& stage = job.stages[a->stage];
  if (const auto active = stage.active.find(a->index);
      active != stage.active.end() && active->second == a->n)
    count_bytes(job, stage, before, bytes);
  job.progressed = true;
  m.touch(job);
}

void task_finished(Machine& m, const TaskFinished& event) {
  const TaskResult& result = event.result;
  if (m.heard(result.attempt) == nullptr) return;
  Attempt a = release(m, result.attempt.n);
  JobRun& job = *a.job;
  ++a.worker->completed;
  note_use(a, result.peak_memory, result.cpu_seconds);
  note_success(m, a);
  job.bytes_read += result.bytes_in;
  if (a.superseded) return;
  supersede_twin(m, a);
  StageRun& stage = job.stages[a.stage];
  const bool planner = stage.kind == StageKind::kPlanner;
  // On its way to an end, a job still keeps what is finished, but its plan no longer grows.
  if (job.ending && (planner || stage.final)) return make_ready(m, a);
  // The others of its gang were taken back meanwhile: it is done again with them.
  if (stage.disbanding) {
    m.out.push_back(ForgetTask{{job.id(), a.stage, a.index}});
    return make_ready(m, a);
  }
  if (planner && !take_fragment(m, a, event.fragment)) return;
  accept(m, a, result);
  if (job.ending) return;
  if (job.stages[a.stage].final) {
    Ending ending;
    ending.result = result.payload;
    begin_ending(m, job, std::move(ending));
  } else if (job.incomplete == 0) {
    fail_job(m, job, Error(Code::kInternal, "the plan came to its end without a final stage"),
             FaultClass::kInternal, job.task_name(a.stage, a.index));
  }
}

void task_failed(Machine& m, const TaskFailed& event) {
  const TaskFailure& failure = event.failure;
  if (m.heard(failure.attempt) == nullptr) return;
  Attempt a = release(m, failure.attempt.n);
  JobRun& job = *a.job;
  note_use(a, failure.peak_memory, failure.cpu_seconds);
  if (failure.error.code == Code::kCancelled) {
    if (a.taken_back || job.ending) return make_ready(m, a);
    return lose(m, a, "the slot cancelled it unasked: " + failure.error.message);
  }
  Fault fault;
  fault.fault_class = fault_class_of(failure.error.code);
  fault.lost = fault.fault_class == FaultClass::kWorkerLost;
  fault.error = failure.error;
  fault.needed_memory = failure.needed_memory;
  fault.peak_memory = failure.peak_memory;
  charge(m, a, fault);
}

void output_lost(Machine& m, const OutputLost& event) {
  if (m.heard(event.reader) == nullptr) return;
  const Attempt a = release(m, event.reader.n);
  JobRun& job = *a.job;
  const TaskRef& ref = event.task;
  const bool known = ref.job == job.id() && ref.stage < job.stages.size() &&
                     job.stages[ref.stage].is_finished(ref.index);
  Fault fault;
  fault.fault_class = FaultClass::kIo;
  fault.error = Error(Code::kIo, event.message);
  // A plan can't be made a second time under the tasks that follow it: that counts as a failure to
  // read.
  fault.lost = !known || job.stages[ref.stage].kind != StageKind::kPlanner;
  if (known && fault.lost && !job.ending) {
    forget_task(m, job, ref.stage, ref.index);
    m.out.push_back(ForgetTask{ref});
    disband_gang(m, job, job.stages[ref.stage]);
  }
  charge(m, a, fault);
}

void slot_lost(Machine& m, const SlotLost& event) {
  Worker* worker = m.resources.find(event.worker);
  if (worker == nullptr || event.slot < 0 ||
      static_cast<std::size_t>(event.slot) >= worker->slots.size())
    return;
  worker->heard = m.now;
  const std::vector<std::uint64_t> queue =
      worker->slots[static_cast<std::size_t>(event.slot)].queue;
  const Attempt* front = queue.empty() ? nullptr : &m.attempts.at(queue.front());
  if (front == nullptr || (!front->taken_back && !front->job->ending)) ++m.faults.slots_lost;
  for (std::size_t i = 0; i < queue.size(); ++i) {
    Attempt a = release(m, queue[i]);
    if (i == 0) note_use(a, event.peak_memory, event.cpu_seconds);
    if (i > 0 || a.taken_back || a.job->ending) {
      make_ready(m, a);  // only the front ran; the executor may have killed it because we asked
      continue;
    }
    Fault fault;
    fault.lost = event.by_kill && !event.out_of_memory;
    fault.fault_class = event.out_of_memory ? FaultClass::kOutOfMemory : FaultClass::kWorkerLost;
    fault.peak_memory = event.peak_memory;
    fault.ended_by_system = event.out_of_memory && event.by_kill;
    fault.error = Error(
        event.out_of_memory ? Code::kOutOfMemory : Code::kWorkerLost,
        fmt::format("slot {} of {} ended: {}", event.slot, event.worker.text(), event.message));
    charge(m, a, fault);
  }
}

void give_up_attempts(Machine& m, Worker& worker, bool blame_loss, const std::string& why) {
  for (auto& slot : worker.slots) {
    const std::vector<std::uint64_t> queue = slot.queue;
    for (std::size_t i = 0; i < queue.size(); ++i) {
      const Attempt a = release(m, queue[i]);
      if (i == 0 && blame_loss && !a.taken_back)
        lose(m, a, why);
      else
        make_ready(m, a);
    }
  }
}

void backoff_over(Machine& m, const Timer& timer) {
  JobRun* job = m.job(timer.task.job);
  if (job == nullptr || timer.task.stage >= job->stages.size()) return;
  StageRun& stage = job->stages[timer.task.stage];
  const auto it = stage.trouble.find(timer.task.index);
  if (it == stage.trouble.end() || !it->second.backing_off || it->second.due != timer.due) return;
  it->second.backing_off = false;
  m.timers.arm(it->second.avoid_until, TimerKind::kAvoided);
  --stage.backing_off;
  --job->backing_off;
  m.touch(*job);
  make_ready(m, *job, stage, timer.task.index);
}

}  // namespace polysome::core
