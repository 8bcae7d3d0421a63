// The one thread that writes the store: takes what is queued, commits it in one transaction
// (fsync), and posts the `done` callbacks to the loop in order. Between commits, when idle, it
// checkpoints the log (PASSIVE) and trims what is over the retention limits.
//
// Invariants: writes are applied in the order they were queued; `done` with success only after the
// commit; a transaction's work stays near 10 ms; when the disk refuses, the transaction is rolled
// back, refusable writes are answered with the error, and all others are kept and tried again until
// they are in (so event ids have no gap). A write that is wrong by itself is left out alone.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "store/inbox.h"
#include "store/retention.h"

namespace polysome {

class Writer {
 public:
  // `jobs`: rows in processing_jobs now.
  Writer(Database db, std::shared_ptr<Inbox> inbox, RetentionLimits limits, std::int64_t jobs);
  // Commits what is queued, then ends the thread; gives up after a few tries when the disk refuses.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Committed jobs. Any thread.
  std::int64_t jobs() const { return jobs_.load(std::memory_order_acquire); }

 private:
  using Answers = std::vector<std::pair<Store::Done, Status>>;

  void run();
  // False: the disk is in trouble; the same is to be tried again later.
  bool commit_some();
  // How many writes from the front the open transaction applied; an error with the place of the
  // write that failed in *at (the backlog's size: the transaction as a whole).
  Result<std::size_t> apply_some(WriteContext& context, std::size_t* at);
  bool recover(const Error& error, std::size_t at);
  void refuse_all(const Error& error);
  void give_up();
  void answer(Write& write, const Status& status);
  void post_answers();
  // True when there is more to do at once.
  bool keep_house();
  bool trim_step();
  void checkpoint();
  static int note_log_size(void* self, sqlite3* db, const char* name, int frames);

  Database db_;
  const std::shared_ptr<Inbox> inbox_;
  const RetentionLimits limits_;
  std::atomic<std::int64_t> jobs_;

  // The thread's own.
  std::deque<Write> backlog_;
  TaskLedger tasks_;
  Answers answers_;
  int log_frames_ = 0;
  std::chrono::steady_clock::time_point kept_house_{};
  bool in_trouble_ = false;
  bool trim_failed_ = false;

  std::thread thread_;  // last: starts when all else is there
};

}  // namespace polysome
