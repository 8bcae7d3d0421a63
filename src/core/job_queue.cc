#include "core/job_queue.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <tuple>

namespace polysome::core {
namespace {

// Ranks of users that hold something and levels of first jobs change with time alone; so long may
// they be behind it.
constexpr MonoTime kRefileMs = 1000;
// A user that left nothing behind is forgotten when its usage is below this many share x ms.
constexpr double kForgottenUsage = 1;

}  // namespace

bool JobQueue::LaneOrder::operator()(const Lane* a, const Lane* b) const {
  if (a->level != b->level) return a->level > b->level;
  if (a->rank != b->rank) return a->rank < b->rank;
  return BySubmission{}(a->head, b->head);
}

// ---- users ----

User& JobQueue::user(const std::string& name) {
  const auto [it, added] = users_.try_emplace(name);
  User& user = it->second;
  if (!added) return user;
  user.account.user = name;
  user.account.settled = fair_.now();
  user.account.weight = limits_.weight_of(name);
  user.account.limits = limits_.of(name);
  for (std::size_t i = 0; i < user.lanes.size(); ++i) {
    user.lanes[i].user = &user;
    user.lanes[i].priority = static_cast<int>(i) + kLowestLevel;
  }
  return user;
}

Lane& JobQueue::lane_of(const JobRun& job) const {
  return job.owner
      ->lanes[static_cast<std::size_t>(static_cast<int>(job.spec.priority) - kLowestLevel)];
}

void JobQueue::set_limits(const QueueLimits& limits) {
  limits_ = limits;
  for (auto& [name, user] : users_) {
    user.account.weight = limits.weight_of(name);
    user.account.limits = limits.of(name);
    user.account.excused_cores = user.account.cores;
    user.account.excused_memory = user.account.memory;
  }
  file_all();
}

void JobQueue::set_capacity(int cores, std::uint64_t memory) {
  if (cores == fair_.cores() && memory == fair_.memory()) return;
  for (auto& [name, user] : users_) fair_.settle(user.account);
  fair_.set_capacity(cores, memory);
  file_all();
}

void JobQueue::set_paused(bool paused) {
  if (paused == paused_) return;
  paused_ = paused;
  file_all();
}

void JobQueue::set_usage(const std::string& name, double share_ms) {
  User& u = user(name);
  fair_.settle(u.account);
  fair_.set_usage(u.account, share_ms);
  file(u);
}

bool JobQueue::set_time(MonoTime awake, MonoTime served) {
  served_ = served;
  double rescale = 1;
  if (fair_.set_time(awake, &rescale)) {
    std::erase_if(users_, [&](auto& entry) {
      const Account& a = entry.second.account;
      return a.pending_jobs + a.running_jobs == 0 && fair_.usage(a) < kForgottenUsage;
    });
    for (auto& [name, user] : users_) user.account.used *= rescale;
  } else if (awake - filed_at_ < kRefileMs) {
    return false;
  }
  file_all();
  return true;
}

// ---- jobs ----

void JobQueue::adopt(JobRun& job) {
  job.owner = &user(job.spec.user);
  job.aged_ms = std::max<MonoTime>(job.spec.waited_ms, 0);
}

void JobQueue::set_pending(JobRun& job, bool pending) {
  Lane& lane = lane_of(job);
  if (pending)
    lane.pending.insert(&job);
  else
    lane.pending.erase(&job);
  pending_ += pending ? 1 : -1;
  job.owner->account.pending_jobs += pending ? 1 : -1;
}

void JobQueue::set_runnable(JobRun& job, bool runnable) {
  if (job.in_runnable == runnable) return;
  job.in_runnable = runnable;
  runnable_ += runnable ? 1 : -1;
  note_waiting(job);
  Lane& lane = lane_of(job);
  Lane::Jobs& jobs = job.status == JobStatus::kPending ? lane.waiting : lane.started;
  // Out of the order while its head may become invalid.
  if (lane.head == &job) order_.erase(&lane), lane.head = nullptr;
  if (runnable)
    jobs.insert(&job);
  else
    jobs.erase(&job);
  file(lane);
}

void JobQueue::set_running(JobRun& job, bool running) {
  Account& account = job.owner->account;
  const bool could = may_start_more(account);
  account.running_jobs += running ? 1 : -1;
  if (could != may_start_more(account)) file(*job.owner);
}

void JobQueue::hold(JobRun& job, int cores, std::int64_t memory) {
  if (cores == 0) return;
  Account& account = job.owner->account;
  fair_.settle(account);
  account.cores += cores;
  account.memory += static_cast<std::uint64_t>(memory);
  note_waiting(job);
  file(*job.owner);
}

int JobQueue::level(const JobRun& job) const {
  const MonoTime steps = age(job) / kAgeingStepMs;
  return static_cast<int>(std::min<MonoTime>(base_level(job) + steps, kHighestLevel));
}

int JobQueue::base_level(const JobRun& job) const {
  const int asked = static_cast<int>(job.spec.priority);
  return std::min(asked, job.owner->account.limits.max_priority.value_or(asked));
}

bool JobQueue::may_go(const JobRun& job) const {
  return job.status != JobStatus::kPending || (!paused_ && may_start_more(job.owner->account));
}

bool JobQueue::outranks(const JobRun& job, const JobRun& other) const {
  const int own = level(job), its = level(other);
  return own > its || (own == its && job.owner == other.owner && BySubmission{}(&job, &other));
}

JobQueue::Before JobQueue::before(const JobRun& job) const {
  Before before;
  const Account& own = job.owner->account;
  const int at = level(job);
  const double rank = fair_.rank(own);
  const User* last = nullptr;
  for (const Lane* lane : order_) {
    if (lane->level > at) {
      before.higher_jobs += lane->waiting.size() + lane->started.size();
    } else if (lane->level == at && lane->rank < rank && lane->user != job.owner) {
      if (lane->user != last) ++before.users;
      last = lane->user;
    }
  }
  return before;
}

MonoTime JobQueue::age(const JobRun& job) const {
  return job.aged_ms + (job.waiting_from ? served_ - *job.waiting_from : 0);
}

void JobQueue::note_waiting(JobRun& job) const {
  const bool waits = job.in_runnable && job.slots.empty();
  if (waits == job.waiting_from.has_value()) return;
  if (waits) {
    job.waiting_from = served_;
  } else {
    job.aged_ms += served_ - *job.waiting_from;
    job.waiting_from.reset();
  }
}

// ---- the order of lanes ----

bool JobQueue::may_start_more(const Account& account) {
  const auto& most = account.limits.max_running_jobs;
  return !most || account.running_jobs < static_cast<std::size_t>(*most);
}

JobRun* JobQueue::next_of(const Lane& lane) const {
  if (lane.aside) return nullptr;
  auto* after = const_cast<JobRun*>(lane.after);
  const auto first = [after](const Lane::Jobs& jobs) {
    const auto it = after == nullptr ? jobs.begin() : jobs.upper_bound(after);
    return it == jobs.end() ? nullptr : *it;
  };
  JobRun* started = first(lane.started);
  if (paused_ || !may_start_more(lane.user->account)) return started;
  JobRun* waiting = first(lane.waiting);
  if (started == nullptr || waiting == nullptr) return started == nullptr ? waiting : started;
  return BySubmission{}(started, waiting) ? started : waiting;
}

void JobQueue::file(Lane& lane) {
  JobRun* head = next_of(lane);
  const int at = head == nullptr ? 0 : level(*head);
  const double rank = fair_.rank(lane.user->account);
  if (head == lane.head && (head == nullptr || (at == lane.level && rank == lane.rank))) return;
  if (lane.head != nullptr) order_.erase(&lane);
  lane.head = head;
  lane.level = at;
  lane.rank = rank;
  if (head != nullptr) order_.insert(&lane);
}

void JobQueue::file(User& user) {
  fair_.settle(user.account);
  for (auto& lane : user.lanes)
    if (lane.head != nullptr || !lane.started.empty() || !lane.waiting.empty()) file(lane);
}

void JobQueue::file_all() {
  filed_at_ = fair_.now();
  for (auto& [name, user] : users_) file(user);
}

void JobQueue::skip_head(Lane& lane) {
  if (!lane.user->looked_at) looked_at_.push_back(lane.user);
  lane.user->looked_at = true;
  lane.after = lane.head;
  file(lane);
}

void JobQueue::skip_lane(Lane& lane) {
  if (!lane.user->looked_at) looked_at_.push_back(lane.user);
  lane.user->looked_at = true;
  lane.aside = true;
  file(lane);
}

void JobQueue::end_pass() {
  for (User* user : looked_at_) {
    user->looked_at = false;
    for (auto& lane : user->lanes) {
      if (lane.after == nullptr && !lane.aside) continue;
      lane.after = nullptr;
      lane.aside = false;
      file(lane);
    }
  }
  looked_at_.clear();
}

// ---- the queue as people see it ----

int JobQueue::level_of_lane(const Lane& lane) const {
  if (!lane.waiting.empty()) return level(**lane.waiting.begin());
  return std::min(lane.priority, lane.user->account.limits.max_priority.value_or(lane.priority));
}

namespace {

// Users of one level take turns: the n-th job of a user comes at n / weight.
struct Turn {
  int level = 0;
  double at = 0;
  double rank = 0;
  const Lane* lane = nullptr;
  std::size_t index = 0;  // in the lane
  const JobRun* job = nullptr;

  bool before(const Turn& o) const {
    if (level != o.level) return level > o.level;
    if (at != o.at) return at < o.at;
    if (rank != o.rank) return rank < o.rank;
    return BySubmission{}(job, o.job);
  }
};

}  // namespace

int JobQueue::position(const JobRun& job) const {
  const Lane& own = lane_of(job);
  auto* key = const_cast<JobRun*>(&job);
  if (own.pending.find(key) == own.pending.end()) return 0;
  const auto turn_of = [&](const Lane& lane, std::size_t index) {
    const Account& account = lane.user->account;
    return Turn{level_of_lane(lane),
                static_cast<double>(index + 1) / account.weight,
                fair_.rank(account),
                &lane,
                index,
                *lane.pending.find_by_order(index)};
  };
  const Turn mine = turn_of(own, own.pending.order_of_key(key));
  std::size_t before = mine.index;
  for (const auto& [name, user] : users_) {
    for (const auto& lane : user.lanes) {
      if (&lane == &own || lane.pending.empty()) continue;
      const Turn first = turn_of(lane, 0);
      if (first.level != mine.level) {
        if (first.level > mine.level) before += lane.pending.size();
        continue;
      }
      // All whose turn is before mine; the one at the same time is decided by rank.
      auto n =
          static_cast<std::size_t>(std::max(0.0, std::ceil(mine.at * user.account.weight) - 1));
      n = std::min(n, lane.pending.size());
      if (n < lane.pending.size() && turn_of(lane, n).before(mine)) ++n;
      before += n;
    }
  }
  return static_cast<int>(before) + 1;
}

std::size_t JobQueue::pending_above(const JobRun& job) const {
  const int mine = level_of_lane(lane_of(job));
  std::size_t above = 0;
  for (const auto& [name, user] : users_)
    for (const auto& lane : user.lanes)
      if (!lane.pending.empty() && level_of_lane(lane) > mine) above += lane.pending.size();
  return above;
}

void JobQueue::each_pending(const std::function<bool(JobRun&)>& visit) const {
  using Next = std::pair<Turn, Lane::Ranked::const_iterator>;
  const auto later = [](const Next& a, const Next& b) { return b.first.before(a.first); };
  std::priority_queue<Next, std::vector<Next>, decltype(later)> next(later);
  for (const auto& [name, user] : users_)
    for (const auto& lane : user.lanes)
      if (!lane.pending.empty())
        next.emplace(Turn{level_of_lane(lane), 1 / user.account.weight, fair_.rank(user.account),
                          &lane, 0, *lane.pending.begin()},
                     lane.pending.begin());
  while (!next.empty()) {
    auto [turn, it] = next.top();
    next.pop();
    if (!visit(**it)) return;
    if (++it == turn.lane->pending.end()) continue;
    ++turn.index;
    turn.job = *it;
    turn.at = static_cast<double>(turn.index + 1) / turn.lane->user->account.weight;
    next.emplace(turn, it);
  }
}

}  // namespace polysome::core
