// What people do to a service, at any moment.
#include <array>

#include "core/core_story.h"
#include "life.h"
#include "world.h"

namespace polysome::simulation {
namespace {

constexpr std::array kUsers{"ada", "bob", "cyd"};

}  // namespace

JobLimits Life::some_limits(bool gang) {
  JobLimits limits;
  if (pick(10) == 0) limits.timeout_ms = 3'000;
  if (gang) return limits;  // a ceiling below a gang would keep it from ever starting
  if (pick(4) == 0) limits.max_cores = 1 + static_cast<int>(pick(3));
  if (pick(6) == 0) limits.max_memory = 1'000'000'000 + pick(2'000'000'000);
  if (pick(6) == 0) limits.n_workers = 1;
  if (pick(8) == 0) limits.memory_per_worker = 1'500'000'000;
  return limits;
}

void Life::submit(std::uint32_t n) {
  core::JobSubmitted job;
  job.id = core::story::job_id(n);
  job.priority = static_cast<Priority>(1 + pick(4));
  job.user = kUsers[pick(kUsers.size())];
  job.sequence = n;
  job.held = one_in(10);
  if (n > 1 && pick(4) == 0)
    job.depends_on.push_back(core::story::job_id(1 + static_cast<std::uint32_t>(pick(n - 1))));
  const Shape shape = shape_of(random_(), 1 + static_cast<std::uint32_t>(pick(12)));
  job.limits = some_limits(has_gang(shape));
  Kept& kept = store_.add(job, shape, time_.now());
  kept.poisoned = pick(8) == 0;
  step(job);
}

// A job array: many alike at one moment.
void Life::submit_batch() {
  const auto priority = static_cast<Priority>(1 + pick(4));
  const char* user = kUsers[pick(kUsers.size())];
  for (auto left = 2 + pick(8); left > 0; --left) {
    core::JobSubmitted job;
    job.id = core::story::job_id(++submitted_);
    job.priority = priority;
    job.user = user;
    job.sequence = submitted_;
    store_.add(job, shape_of(5, 1), time_.now());
    step(job);
  }
}

void Life::start() {
  step(core::ClusterStarted{
      {1 + static_cast<int>(pick(4)), 1 + static_cast<int>(pick(3)), 2'000'000'000}});
}

void Life::change_limits() {
  QueueLimits limits;
  if (pick(3) == 0) limits.per_user.max_running_jobs = 1 + static_cast<int>(pick(3));
  if (pick(3) == 0) limits.per_user.max_cores = 1 + static_cast<int>(pick(4));
  if (pick(4) == 0) limits.per_user.max_memory = 2'000'000'000 + pick(4'000'000'000);
  for (const char* user : kUsers)
    if (pick(2) == 0) limits.users[user].weight = static_cast<double>(1 + pick(4));
  step(core::LimitsChanged{limits});
}

void Life::interfere() {
  if (!chaos_) return;
  switch (const auto choice = pick(20)) {
    case 0: return step(core::ClusterScaled{1 + static_cast<int>(pick(6))});
    case 1:
    case 2:
      step(core::ClusterStopped{pick(2) == 0});
      return time_.after(static_cast<MonoTime>(pick(3000)), [this] { start(); });
    case 3: note("the machine sleeps"); return time_.pass_to(time_.now() + 100'000);
    case 4:
    case 5: restart_due_ = true; return;
    case 6:
      step(core::QueuePaused{"simulated"});
      return time_.after(static_cast<MonoTime>(pick(5000)), [this] { step(core::QueueResumed{}); });
    case 7: return change_limits();
    case 8: {
      AutoscalePolicy policy;
      policy.enabled = pick(3) > 0;
      policy.min_workers = 1 + static_cast<int>(pick(2));
      policy.max_workers = policy.min_workers + static_cast<int>(pick(5));
      return step(core::AutoscaleChanged{policy});
    }
    case 9:
    case 10: return submit_batch();
    case 11:
    case 12:
    case 13:
    case 14: return interfere_with_worker(choice);
    default: return interfere_with_job(choice);
  }
}

void Life::interfere_with_worker(std::uint64_t choice) {
  const auto workers = core_.cluster().workers;
  // One that there is not, now and then.
  const WorkerId id = workers.empty() || pick(10) == 0
                          ? WorkerId{1 + static_cast<std::uint32_t>(pick(20))}
                          : workers[pick(workers.size())].id;
  switch (choice) {
    case 11: step(core::WorkerDrainRequested{id, "simulated"}); break;
    case 12:
      return step(
          core::WorkerExcludeRequested{id, "simulated", static_cast<std::int64_t>(pick(3) * 3000)});
    case 13: return cluster_.hang(id, 500 + static_cast<MonoTime>(pick(60'000)));
    default: return step(core::WorkerReadmitRequested{id});
  }
  if (pick(2) == 0)
    time_.after(static_cast<MonoTime>(pick(5000)),
                [this, id] { step(core::WorkerReadmitRequested{id}); });
}

void Life::interfere_with_job(std::uint64_t choice) {
  if (store_.jobs.empty()) return;
  auto it = store_.jobs.begin();
  std::advance(it, static_cast<long>(pick(store_.jobs.size())));
  const JobId id = it->first;
  switch (choice) {
    case 15: return step(core::CancelRequested{id, "simulated"});
    case 16: return step(core::JobPatched{id, std::nullopt, true});
    case 17: return step(core::JobPatched{id, std::nullopt, false});
    case 18: return step(it->second.spec);  // the same once more: known, so nothing happens
    default: return step(core::JobPatched{id, static_cast<Priority>(1 + pick(4)), std::nullopt});
  }
}

}  // namespace polysome::simulation
