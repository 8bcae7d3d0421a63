#include "worker/slot_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <thread>
#include <utility>

#include "model/job.h"
#include "model/task.h"
#include "worker/frame_key.h"

namespace polysome {
namespace {

using std::chrono::milliseconds;

// How long a frame may wait for others to share its write.
constexpr milliseconds kFlushWithin{1};
// A task that has run this long is no short one: the control thread may sleep.
constexpr milliseconds kShortTask{10};
constexpr milliseconds kProgressEvery{250};
// A task that reads nothing still tells what it uses.
constexpr milliseconds kMeasureEvery{1000};
constexpr milliseconds kIdleAfter{5};
constexpr milliseconds kRestAfter{1000};
// A query that starts just after it was interrupted is interrupted again.
constexpr milliseconds kInterruptAgain{20};
constexpr milliseconds kShortOfMemory{5};
constexpr std::size_t kReadBytes = 1 << 18;
constexpr std::size_t kOutboxBytes = 1 << 16;
// The core queues at most four behind a running one; this bounds a faulty sender.
constexpr std::size_t kMaxQueued = 64;

int poll_timeout(std::chrono::steady_clock::duration d) {
  if (d == std::chrono::steady_clock::duration::max()) return -1;
  return static_cast<int>(std::chrono::ceil<milliseconds>(d).count());
}

// What to answer for work that is not going to run.
std::pair<FrameKind, std::string> refusal(const SlotWorkItem& item, Error error) {
  if (item.kind == FrameKind::kRequest)
    return {FrameKind::kReply,
            "{\"id\":" + item.key + ",\"error\":" + dump(problem_json(error)) + "}"};
  TaskFailure failure;
  failure.attempt = AttemptId::parse(item.key).value_or(AttemptId{});
  failure.error = std::move(error);
  return {FrameKind::kFailed, dump(failure.to_json())};
}

}  // namespace

SlotLink::SlotLink(int fd, std::uint16_t index, std::function<void(TaskProgress*)> measure,
                   std::function<void()> idle, std::function<void()> rest)
    : fd_(fd),
      index_(index),
      measure_(std::move(measure)),
      idle_(std::move(idle)),
      rest_(std::move(rest)) {}

void SlotLink::start() {
  std::thread([this] { control_loop(); }).detach();
}

// ---- main thread ----

std::optional<SlotWorkItem> SlotLink::next() {
  std::unique_lock lock(work_);
  if (queue_.empty() && !shutting_down_) {
    lock.unlock();
    flush();
    lock.lock();
    const auto wanted = [this] { return !queue_.empty() || shutting_down_; };
    if (const auto idle = std::exchange(idle_, {});
        idle && !has_work_.wait_for(lock, kIdleAfter, wanted)) {
      lock.unlock();
      idle();
      lock.lock();
    }
    if (!has_work_.wait_for(lock, kRestAfter, wanted)) {
      lock.unlock();
      rest_();
      lock.lock();
      has_work_.wait(lock, wanted);
    }
  }
  if (queue_.empty() || shutting_down_) return std::nullopt;
  idle_ = {};
  SlotWorkItem item = std::move(queue_.front());
  queue_.pop_front();
  running_ = item.key;
  running_since_ = Clock::now();
  cancelled_ = false;
  bytes_ = 0;
  return item;
}

void SlotLink::finished() {
  set_interrupt({});
  const std::lock_guard lock(work_);
  running_.clear();
}

void SlotLink::send(FrameKind kind, std::string_view payload) {
  const std::lock_guard lock(out_);
  const auto now = Clock::now();
  if (outbox_.empty()) oldest_ = now;
  append_frame(&outbox_, kind, index_, payload);
  const Clock::time_point wake{Clock::duration(wakes_at_.load())};
  if (outbox_.size() >= kOutboxBytes || wake - now > 2 * kFlushWithin) flush_locked();
}

void SlotLink::flush() {
  const std::lock_guard lock(out_);
  flush_locked();
}

void SlotLink::flush_locked() {
  std::string_view rest = outbox_;
  while (!rest.empty()) {
    const ssize_t n = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) ::_exit(0);  // the supervisor is gone
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  outbox_.clear();
}

void SlotLink::set_interrupt(std::function<void()> interrupt) {
  const std::lock_guard lock(interrupting_);
  interrupt_ = std::move(interrupt);
}

// ---- control thread ----

void SlotLink::control_loop() {
  for (;;) {
    try {
      const auto wait = sleep_time();
      pollfd p{fd_, POLLIN, 0};
      ::poll(&p, 1, poll_timeout(wait));
      wakes_at_ = Clock::now().time_since_epoch().count();
      if (p.revents != 0 || at_ || !received_.empty()) read_frames();
      tick();
    } catch (const std::exception&) {
      // Short of memory: the running task is at its limit and fails soon; frames and cancels wait.
      std::this_thread::sleep_for(kShortOfMemory);
    }
  }
}

SlotLink::Clock::duration SlotLink::sleep_time() {
  const auto wait = wanted_sleep();
  const bool for_good = wait == Clock::duration::max();
  wakes_at_ = for_good ? wait.count() : (Clock::now().time_since_epoch() + wait).count();
  // Told first, looked second: a frame sent in between is seen by one of the two threads.
  const std::lock_guard lock(out_);
  return outbox_.empty() ? wait : std::min<Clock::duration>(wait, kFlushWithin);
}

SlotLink::Clock::duration SlotLink::wanted_sleep() {
  if (at_ || !received_.empty()) return Clock::duration::zero();
  const std::lock_guard lock(work_);
  if (running_.empty()) return queue_.empty() ? Clock::duration::max() : kFlushWithin;
  if (Clock::now() - running_since_ < kShortTask) return kFlushWithin;
  return cancelled_ ? kInterruptAgain : kProgressEvery;
}

void SlotLink::read_frames() {
  // Each step leaves what it could not do for the next call, should memory run out in it.
  if (received_.empty()) {
    received_.resize_and_overwrite(kReadBytes, [this](char* data, std::size_t size) {
      ssize_t n = 0;
      do n = ::recv(fd_, data, size, MSG_DONTWAIT);
      while (n < 0 && errno == EINTR);
      if (n == 0 || (n < 0 && errno != EAGAIN)) ::_exit(0);  // the supervisor is gone
      return n < 0 ? 0 : static_cast<std::size_t>(n);
    });
  }
  reader_.feed(received_);
  received_.clear();
  for (;;) {
    if (!at_) {
      auto frame = reader_.next();
      if (!frame) ::_exit(1);
      at_ = std::move(*frame);
    }
    if (!at_) return;
    take(*at_);
    at_.reset();
  }
}

void SlotLink::take(Frame& frame) {
  switch (frame.kind) {
    case FrameKind::kStart:
    case FrameKind::kRequest: return queue_work(frame);
    case FrameKind::kCancel: return cancel(frame_key(frame.payload));
    case FrameKind::kShutdown: {
      const std::lock_guard lock(work_);
      shutting_down_ = true;
      queue_.clear();
      has_work_.notify_one();
      return;
    }
    default: return;  // of a newer supervisor
  }
}

void SlotLink::queue_work(Frame& frame) {
  SlotWorkItem item{frame.kind, std::string(frame_key(frame.payload)), {}};
  {
    const std::lock_guard lock(work_);
    if (shutting_down_) return;
    if (queue_.size() < kMaxQueued) {
      queue_.push_back(std::move(item));
      queue_.back().payload = std::move(frame.payload);
      if (running_.empty()) has_work_.notify_one();
      return;
    }
  }
  const auto [kind, payload] = refusal(
      item,
      Error(Code::kUnavailable, "the slot has " + std::to_string(kMaxQueued) + " tasks queued"));
  send(kind, payload);
}

void SlotLink::cancel(std::string_view key) {
  if (key.empty()) return;
  std::optional<SlotWorkItem> dropped;
  {
    const std::lock_guard lock(work_);
    if (running_ == key) {
      cancelled_ = true;
    } else {
      const auto it = std::find_if(queue_.begin(), queue_.end(),
                                   [&](const SlotWorkItem& item) { return item.key == key; });
      if (it == queue_.end()) return;  // it has ended; its answer is on the way
      dropped = std::move(*it);
      queue_.erase(it);
    }
  }
  if (!dropped) return interrupt_if_cancelled();
  const auto [kind, payload] =
      refusal(*dropped, Error(Code::kCancelled, "cancelled before it started"));
  send(kind, payload);
  flush();
}

void SlotLink::interrupt_if_cancelled() {
  const std::lock_guard lock(interrupting_);
  if (cancelled_ && interrupt_) interrupt_();
}

void SlotLink::tick() {
  interrupt_if_cancelled();
  const auto now = Clock::now();
  std::string key;
  Clock::time_point since;
  {
    const std::lock_guard lock(work_);
    key = running_;
    since = running_since_;
  }
  if (!key.empty() && now - since >= kProgressEvery && now >= next_progress_) {
    if (key != key_told_) bytes_told_ = 0;
    const auto bytes = bytes_.load(std::memory_order_relaxed);
    const auto attempt = AttemptId::parse(key);
    if (attempt && (bytes != bytes_told_ || now >= next_measure_)) {
      TaskProgress progress{*attempt, bytes};
      measure_(&progress);
      send(FrameKind::kProgress, dump(progress.to_json()));
      bytes_told_ = bytes;
      next_progress_ = now + kProgressEvery;
      next_measure_ = now + kMeasureEvery;
    }
    key_told_ = std::move(key);
  }
  const std::lock_guard lock(out_);
  if (!outbox_.empty() && now - oldest_ >= kFlushWithin) flush_locked();
}

}  // namespace polysome
