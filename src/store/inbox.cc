#include "store/inbox.h"

#include <iterator>
#include <utility>

namespace polysome {

void Inbox::put(Write write) {
  turn_.push_back(std::move(write));
  if (turn_open_) return;
  turn_open_ = true;
  post_([self = shared_from_this()] { self->end_turn(); });
}

void Inbox::end_turn() {
  turn_open_ = false;
  if (turn_.empty()) return;
  turn_.back().last_of_turn = true;
  {
    const std::lock_guard lock(mutex_);
    waiting_ += turn_.size();
    handed_over_.insert(handed_over_.end(), std::make_move_iterator(turn_.begin()),
                        std::make_move_iterator(turn_.end()));
  }
  turn_.clear();
  arrived_.notify_one();
}

void Inbox::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  arrived_.notify_one();
}

std::size_t Inbox::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

std::optional<Error> Inbox::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

bool Inbox::collect(std::deque<Write>* backlog, std::chrono::milliseconds wait) {
  std::vector<Write> got;
  bool stopped = false;
  {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, wait, [this] { return stopped_ || !handed_over_.empty(); });
    got.swap(handed_over_);
    stopped = stopped_;
  }
  backlog->insert(backlog->end(), std::make_move_iterator(got.begin()),
                  std::make_move_iterator(got.end()));
  return stopped;
}

void Inbox::committed(std::size_t writes) {
  const std::lock_guard lock(mutex_);
  waiting_ -= writes;
}

void Inbox::set_trouble(std::optional<Error> trouble) {
  const std::lock_guard lock(mutex_);
  trouble_ = std::move(trouble);
}

}  // namespace polysome
