#include "core/fair_share.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace polysome::core {
namespace {

// Half-lives after which the scale starts again at 1, far from the limits of a double.
constexpr double kMostHalfLives = 256;

}  // namespace

double FairShare::scale(MonoTime at) const {
  return std::exp2(static_cast<double>(at - origin_) / kUsageHalfLifeMs);
}

bool FairShare::set_time(MonoTime now, double* rescale) {
  if (now == now_) return false;
  now_ = now;
  scale_now_ = scale(now);
  if (scale_now_ < std::exp2(kMostHalfLives)) return false;
  *rescale = 1 / scale_now_;
  origin_ = now;
  scale_now_ = 1;
  return true;
}

double FairShare::share(const Account& account) const {
  const double cores =
      cores_ > 0 ? static_cast<double>(account.cores) / static_cast<double>(cores_) : 0;
  const double memory =
      memory_ > 0 ? static_cast<double>(account.memory) / static_cast<double>(memory_) : 0;
  return std::min(1.0, std::max(cores, memory));
}

// u' = -u ln2/half-life + share, solved exactly; with the scale the decay falls out.
void FairShare::settle(Account& account) const {
  if (account.settled == now_) return;
  if (account.cores > 0)
    account.used += share(account) * std::max(0.0, scale_now_ - scale(account.settled));
  account.settled = now_;
}

double FairShare::rank(const Account& account) const {
  return (account.used + share(account) * scale_now_) / account.weight;
}

double FairShare::usage(const Account& account) const {
  double used = account.used;
  if (account.cores > 0)
    used += share(account) * std::max(0.0, scale_now_ - scale(account.settled));
  return used / scale_now_ * kUsageHalfLifeMs / std::numbers::ln2;
}

void FairShare::set_usage(Account& account, double share_ms) const {
  account.used = std::max(0.0, share_ms) * std::numbers::ln2 / kUsageHalfLifeMs * scale_now_;
  account.settled = now_;
}

}  // namespace polysome::core
