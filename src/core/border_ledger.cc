#include "core/border_ledger.h"

namespace polysome::core {

void BorderLedger::note(std::uint32_t index, bool started_inside, BorderEnds ends,
                        std::optional<Error> disputed) {
  std::uint8_t& task = tasks_[index];
  if ((task & kEndsKnown) == 0) {
    task |= kEndsKnown;
    if (ends.inside_if_outside) task |= kIfOutside;
    if (ends.inside_if_inside) task |= kIfInside;
  }
  task = static_cast<std::uint8_t>(started_inside ? task | kStartedInside : task & ~kStartedInside);
  task |= kFinished;
  if (disputed) disputes_.insert_or_assign(index, *std::move(disputed));
  if (index < known_) unjudged_.push_back(index);
}

void BorderLedger::forget(std::uint32_t index) {
  std::uint8_t& task = tasks_[index];
  if ((task & kRight) != 0) --right_;
  task = static_cast<std::uint8_t>(task & ~(kFinished | kRight));
  disputes_.erase(index);
}

void BorderLedger::judge(std::uint32_t index, Verdict* verdict) {
  std::uint8_t& task = tasks_[index];
  if ((task & kFinished) == 0 || (task & kRight) != 0) return;
  if (((task & kStartedInside) != 0) == ((task & kTrueInside) != 0)) {
    task |= kRight;
    ++right_;
    const auto dispute = disputes_.find(index);
    if (dispute == disputes_.end()) return;
    if (!verdict->error || index < verdict->error->first) verdict->error = *dispute;
    return;
  }
  task = static_cast<std::uint8_t>(task & ~kFinished);
  disputes_.erase(index);
  verdict->wrong.push_back(index);
}

BorderLedger::Verdict BorderLedger::compose() {
  Verdict verdict;
  for (const auto index : unjudged_) judge(index, &verdict);
  unjudged_.clear();
  while (known_ < tasks_.size() && (tasks_[known_] & kEndsKnown) != 0) {
    std::uint8_t& task = tasks_[known_];
    if (inside_) task |= kTrueInside;
    judge(known_, &verdict);
    inside_ = (task & (inside_ ? kIfInside : kIfOutside)) != 0;
    ++known_;
  }
  return verdict;
}

bool BorderLedger::start_of(std::uint32_t index) const {
  if (index == known_) return inside_;
  return index < known_ && (tasks_[index] & kTrueInside) != 0;
}

}  // namespace polysome::core
