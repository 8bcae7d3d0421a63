// The hand-over between the loop and the writer: writes of one turn of the loop go over together,
// so that a job and the events that tell of it are in one commit, and a busy loop takes the lock
// once a turn. Shared by the store, the writer and the posted end of a turn, which may outlive the
// store.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "store/store.h"
#include "store/writes.h"

namespace polysome {

struct Write {
  Apply apply;
  Store::Done done;
  bool refusable = false;  // answered with the error when the disk refuses; others are kept
  bool events = false;     // goes with what stands before it
  bool last_of_turn = false;
  std::optional<Error> left_out = {};  // wrong by itself: skipped, answered with this in its turn
  bool done_at_once = false;           // `done` runs on the writer's thread: somebody waits for it
};

class Inbox : public std::enable_shared_from_this<Inbox> {
 public:
  using Post = std::function<void(std::function<void()>)>;
  explicit Inbox(Post post_to_loop) : post_(std::move(post_to_loop)) {}

  // ---- loop ----
  void put(Write write);
  void end_turn();
  void stop();                  // after the last end_turn: the writer finishes what it has and ends
  std::size_t waiting() const;  // writes handed over and not committed yet
  std::optional<Error> trouble() const;

  // ---- writer ----
  // Moves what was handed over to the end of `backlog`; waits for it at most `wait`. True: stopped.
  bool collect(std::deque<Write>* backlog, std::chrono::milliseconds wait);
  void committed(std::size_t writes);
  void set_trouble(std::optional<Error> trouble);
  const Post& post() const { return post_; }

 private:
  const Post post_;
  // Loop only.
  std::vector<Write> turn_;
  bool turn_open_ = false;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::condition_variable arrived_;
  std::vector<Write> handed_over_;
  std::size_t waiting_ = 0;
  bool stopped_ = false;
  std::optional<Error> trouble_;
};

}  // namespace polysome
