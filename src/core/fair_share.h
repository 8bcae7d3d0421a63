// What users hold of the cluster and have used of it: the one number by which they are ordered
// within a level. A user's share is the larger of its parts of cores and of memory (dominant
// resource fairness, Ghodsi et al. 2011); usage is the share integrated over time and decayed by
// half in kUsageHalfLifeMs. The rank is (mean of recent usage + what is held now) / weight; the
// lowest goes first.
//
// Usage is kept multiplied by 2^(time / half-life): all decay alike, so the order of users that
// hold nothing never changes by waiting, and nothing has to be touched. Time is given from outside
// and stands still while the service itself was paused: nobody is charged for a pause. Part of the
// queue.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "model/resources.h"

namespace polysome::core {

inline constexpr double kUsageHalfLifeMs = 3'600'000;

struct Account {
  std::string user;
  double weight = 1;
  UserLimits limits;
  std::size_t pending_jobs = 0, running_jobs = 0;
  int cores = 0;  // slots and their grants, held now
  std::uint64_t memory = 0;

  double used = 0;  // mean share of recent time, x 2^(time / half-life), up to `settled`
  MonoTime settled = 0;
  // What it had when its limits were last changed: a limit takes nothing away.
  int excused_cores = 0;
  std::uint64_t excused_memory = 0;
};

class FairShare {
 public:
  // True: `used` of all accounts must be rescaled by the factor (once in a few hundred hours).
  bool set_time(MonoTime now, double* rescale);
  MonoTime now() const { return now_; }

  int cores() const { return cores_; }
  std::uint64_t memory() const { return memory_; }
  // What a share is a part of. Accounts that hold something must be settled before.
  void set_capacity(int cores, std::uint64_t memory) { cores_ = cores, memory_ = memory; }

  double share(const Account& account) const;  // 0 to 1
  // Brings usage up to now; before each change of what is held.
  void settle(Account& account) const;
  // Of a settled account. The scale is that of `used`: good for comparing at one time only.
  double rank(const Account& account) const;
  // Recent usage in share x milliseconds, decayed to now, and its inverse.
  double usage(const Account& account) const;
  void set_usage(Account& account, double share_ms) const;

 private:
  double scale(MonoTime at) const;

  MonoTime now_ = 0;
  MonoTime origin_ = 0;
  double scale_now_ = 1;
  int cores_ = 0;
  std::uint64_t memory_ = 0;
};

}  // namespace polysome::core
