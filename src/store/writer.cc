#include "store/writer.h"

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"

namespace polysome {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// A transaction ends at the first end of a turn after kSoft, anywhere but before events after
// kHard, anywhere after kLongest.
constexpr auto kSoft = milliseconds(4);
constexpr auto kHard = milliseconds(7);
constexpr auto kLongest = milliseconds(10);
constexpr std::size_t kMostRangeRows = 2000;

constexpr auto kFirstRetryDelay = milliseconds(5);
constexpr auto kLongestRetryDelay = milliseconds(250);
constexpr int kTriesAtEnd = 6;
constexpr auto kIdle = milliseconds(100);
// A writer that is never idle keeps house this often.
constexpr auto kBusyHousekeeping = std::chrono::seconds(1);
constexpr auto kNothingToDo = std::chrono::minutes(1);
// Frames of 4 kB in the log: with so many even a busy writer stops to checkpoint.
constexpr int kMostLogFrames = 4096;

}  // namespace

Writer::Writer(Database db, std::shared_ptr<Inbox> inbox, RetentionLimits limits, std::int64_t jobs)
    : db_(std::move(db)), inbox_(std::move(inbox)), limits_(limits), jobs_(jobs) {
  sqlite3_wal_hook(db_.handle(), &Writer::note_log_size, this);
  thread_ = std::thread([this] { run(); });
}

Writer::~Writer() {
  inbox_->stop();
  thread_.join();
}

int Writer::note_log_size(void* self, sqlite3*, const char*, int frames) {
  static_cast<Writer*>(self)->log_frames_ = frames;
  return SQLITE_OK;
}

void Writer::run() {
  int tries_at_end = 0;
  milliseconds wait = kIdle;
  milliseconds retry_delay = kFirstRetryDelay;
  for (;;) {
    const bool stopped = inbox_->collect(&backlog_, backlog_.empty() ? wait : milliseconds(0));
    if (backlog_.empty()) {
      if (stopped) break;
      wait = keep_house() ? milliseconds(0) : milliseconds(kNothingToDo);
      continue;
    }
    wait = kIdle;
    if (commit_some()) {
      retry_delay = kFirstRetryDelay;
      continue;
    }
    if (stopped && ++tries_at_end == kTriesAtEnd) {
      give_up();
      break;
    }
    std::this_thread::sleep_for(retry_delay);
    retry_delay = std::min(2 * retry_delay, milliseconds(kLongestRetryDelay));
  }
  checkpoint();
}

bool Writer::commit_some() {
  WriteContext context{db_, tasks_};
  std::size_t at = backlog_.size();
  const auto applied = apply_some(context, &at);
  if (!applied) return recover(applied.error(), at);
  jobs_.fetch_add(context.jobs_added, std::memory_order_release);
  for (std::size_t i = 0; i < *applied; ++i) {
    Write& write = backlog_.front();
    answer(write, write.left_out ? Status(fail(*write.left_out)) : Status());
    backlog_.pop_front();
  }
  if (in_trouble_) {
    in_trouble_ = false;
    inbox_->set_trouble(std::nullopt);
    log::info("the store {} is written again", db_.file().string());
  }
  inbox_->committed(*applied);
  post_answers();
  if (log_frames_ >= kMostLogFrames) checkpoint();
  const bool much = far_over_limits(db_, limits_, jobs()).value_or(false);
  if (much || Clock::now() - kept_house_ >= kBusyHousekeeping) trim_step();
  return true;
}

Result<std::size_t> Writer::apply_some(WriteContext& context, std::size_t* at) {
  POLYSOME_TRY(db_.run("BEGIN IMMEDIATE"));
  const auto start = Clock::now();
  std::size_t n = 0;
  for (;;) {
    Write& write = backlog_[n];
    auto done = write.left_out ? Status() : write.apply(context);
    if (!done) {
      *at = n;
      return std::unexpected(std::move(done).error());
    }
    if (++n == backlog_.size()) break;
    const auto spent = Clock::now() - start;
    const bool many_rows = tasks_.changed_rows() >= kMostRangeRows;
    if (write.last_of_turn && (spent >= kSoft || many_rows)) break;
    if (!backlog_[n].events && (spent >= kHard || many_rows)) break;
    if (spent >= kLongest) break;
  }
  POLYSOME_TRY(tasks_.write(db_));
  POLYSOME_TRY(db_.run("COMMIT"));
  return n;
}

bool Writer::recover(const Error& error, std::size_t at) {
  db_.roll_back();
  tasks_.rolled_back();
  const bool own_fault = error.code != Code::kDiskFull && error.code != Code::kIo;
  if (own_fault && at < backlog_.size()) {
    if (!backlog_[at].refusable) log::error("a write was left out: {}", error.message);
    backlog_[at].left_out = error;
    return true;
  }
  if (!in_trouble_) {
    in_trouble_ = true;
    log::error("cannot write: {}; trying again until it works", error.message);
  }
  inbox_->set_trouble(error);
  refuse_all(error);
  return false;
}

void Writer::refuse_all(const Error& error) {
  std::deque<Write> kept;
  for (auto& write : backlog_) {
    if (write.refusable) {
      if (write.last_of_turn && !kept.empty()) kept.back().last_of_turn = true;
      answer(write, fail(error));
    } else {
      kept.push_back(std::move(write));
    }
  }
  inbox_->committed(backlog_.size() - kept.size());
  backlog_ = std::move(kept);
  post_answers();
}

void Writer::give_up() {
  log::error("{} writes could not be stored before the end of the service", backlog_.size());
  const Error error(Code::kIo, "the service ended before the store could be written");
  for (auto& write : backlog_) answer(write, fail(error));
  inbox_->committed(backlog_.size());
  backlog_.clear();
  post_answers();
}

void Writer::answer(Write& write, const Status& status) {
  if (!write.done) return;
  if (write.done_at_once)
    write.done(status);
  else
    answers_.emplace_back(std::move(write.done), status);
}

void Writer::post_answers() {
  if (answers_.empty()) return;
  inbox_->post()([answers = std::exchange(answers_, {})] {
    for (const auto& [done, status] : answers) done(status);
  });
}

bool Writer::keep_house() {
  if (log_frames_ > 0) checkpoint();
  return trim_step();
}

bool Writer::trim_step() {
  kept_house_ = Clock::now();
  const auto trimmed = trim(db_, limits_, jobs(), wall_now());
  if (!trimmed) {
    if (!std::exchange(trim_failed_, true))
      log::warning("old records could not be removed: {}", trimmed.error().message);
    return false;
  }
  trim_failed_ = false;
  jobs_.fetch_sub(trimmed->jobs, std::memory_order_release);
  return trimmed->more;
}

void Writer::checkpoint() {
  // What a reader or a full disk holds up is done by the next one.
  sqlite3_wal_checkpoint_v2(db_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  log_frames_ = 0;
}

}  // namespace polysome
