// The order in which jobs get slots: by level, then by the fair share of their users, then by
// submission. A user has a lane for each priority; the order of lanes is kept by their first jobs,
// so picking the next one costs O(log users) however many jobs there are.
//
// A job ages while it has something to run and holds no slot, and the queue is being served: it
// stands a level higher for each kAgeingStepMs, up to that of CRITICAL. What it gained it keeps to
// its end. So kLongestAgeingMs after it could first run a job is at the top, where only fair shares
// and older jobs of its own user are before it.
//
// Owns users and what they hold and used (fair_share.h); knows jobs by pointer only. Part of the
// machine. Invariant: a lane is filed in `order_` with the values it was filed by; whoever changes
// one of them files it again.
#pragma once

#include <array>
#include <cstdint>
#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/fair_share.h"
#include "core/job_run.h"

namespace polysome::core {

inline constexpr MonoTime kAgeingStepMs = 30 * 60'000;
inline constexpr int kLowestLevel = 1, kHighestLevel = 4;  // the numbers of priorities
inline constexpr MonoTime kLongestAgeingMs = (kHighestLevel - kLowestLevel) * kAgeingStepMs;

struct BySubmission {
  bool operator()(const JobRun* a, const JobRun* b) const {
    if (a->spec.sequence != b->spec.sequence) return a->spec.sequence < b->spec.sequence;
    return a->spec.id < b->spec.id;
  }
};

struct Lane {
  using Jobs = std::set<JobRun*, BySubmission>;
  using Ranked =
      __gnu_pbds::tree<JobRun*, __gnu_pbds::null_type, BySubmission, __gnu_pbds::rb_tree_tag,
                       __gnu_pbds::tree_order_statistics_node_update>;

  User* user = nullptr;
  int priority = 0;
  Ranked pending;  // all pending jobs, as people see the queue
  Jobs waiting;    // those of them that could start
  Jobs started;    // running jobs with ready tasks

  JobRun* head = nullptr;  // as filed: the job to look at next
  int level = 0;
  double rank = 0;
  const JobRun* after = nullptr;  // in this pass: jobs up to this one can't be placed
  bool aside = false;             // in this pass: nor can the rest
};

struct User {
  Account account;
  std::array<Lane, 4> lanes;  // by priority, LOW first
  bool looked_at = false;     // by the present pass
};

class JobQueue {
 public:
  // `awake` runs except while the service was paused; `served` only while jobs could be placed.
  // True: time alone may have changed the order.
  bool set_time(MonoTime awake, MonoTime served);
  void set_limits(const QueueLimits& limits);
  void set_capacity(int cores, std::uint64_t memory);
  void set_paused(bool paused);
  void set_usage(const std::string& user, double share_ms);

  // The first thing to do with a job.
  void adopt(JobRun& job);
  void set_pending(JobRun& job, bool pending);
  void set_runnable(JobRun& job, bool runnable);
  void set_running(JobRun& job, bool running);  // its status, for the counts of its user
  // The job took or gave back a slot (-1, 0, 1) with its memory.
  void hold(JobRun& job, int cores, std::int64_t memory);

  // Where a job stands now: its priority, cut by its user's max_priority, raised by its age.
  int level(const JobRun& job) const;
  int base_level(const JobRun& job) const;  // without its age
  MonoTime age(const JobRun& job) const;

  // A running job may go on; a pending one may start unless the queue is paused or its user runs as
  // many as allowed.
  bool may_go(const JobRun& job) const;
  // Goes before the other whatever the shares are: it stands higher, or is an earlier job of the
  // same user that stands no lower.
  bool outranks(const JobRun& job, const JobRun& other) const;
  // What is before a job: jobs with something to run that stand higher, and users of its level
  // whose turn is first. O(users).
  struct Before {
    std::size_t higher_jobs = 0, users = 0;
  };
  Before before(const JobRun& job) const;

  // The lane whose head goes next; nullptr when there is none. A pass of placement sets heads or
  // whole lanes aside that can't be placed, and ends by forgetting that.
  Lane* first() const { return order_.empty() ? nullptr : *order_.begin(); }
  void skip_head(Lane& lane);
  void skip_lane(Lane& lane);
  void end_pass();
  bool has_runnable() const { return !order_.empty(); }
  std::size_t runnable() const { return runnable_; }

  std::size_t pending() const { return pending_; }
  // 1-based, in the order of each_pending; 0 when the job is not pending. O(users).
  int position(const JobRun& job) const;
  // Pending jobs that stand higher.
  std::size_t pending_above(const JobRun& job) const;
  // Calls `visit` for pending jobs in about the order they would start, until it answers false:
  // by level, then users in turn, as often as they have weight.
  void each_pending(const std::function<bool(JobRun&)>& visit) const;

  const std::map<std::string, User>& users() const { return users_; }
  const FairShare& fair() const { return fair_; }
  MonoTime served() const { return served_; }
  std::vector<const Lane*> order() const { return {order_.begin(), order_.end()}; }

 private:
  struct LaneOrder {
    bool operator()(const Lane* a, const Lane* b) const;
  };
  User& user(const std::string& name);
  Lane& lane_of(const JobRun& job) const;
  void file(Lane& lane);
  void file(User& user);
  void file_all();
  void note_waiting(JobRun& job) const;
  JobRun* next_of(const Lane& lane) const;
  static bool may_start_more(const Account& account);
  int level_of_lane(const Lane& lane) const;

  std::map<std::string, User> users_;
  std::set<Lane*, LaneOrder> order_;
  std::vector<User*> looked_at_;
  FairShare fair_;
  QueueLimits limits_;
  MonoTime served_ = 0;
  MonoTime filed_at_ = 0;  // all lanes, last
  std::size_t pending_ = 0, runnable_ = 0;
  bool paused_ = false;
};

}  // namespace polysome::core
