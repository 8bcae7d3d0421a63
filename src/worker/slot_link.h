// A slot's end of the socket to its supervisor: a control thread reads frames, queues work, obeys
// cancels and sends progress; the slot's main thread takes work and sends what came of it. The link
// is the hand-over between the two and holds the slot's only locks.
//
// Frames of short tasks are gathered and written together: a sent frame stays in the outbox while
// the control thread, which writes what is left there, wakes within a millisecond or two; the main
// thread writes before it waits for work. When the supervisor's end closes, the process ends at
// once (_exit).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "model/frames.h"
#include "model/task.h"

namespace polysome {

struct SlotWorkItem {
  FrameKind kind{};  // kStart or kRequest
  std::string key;   // of the attempt or request
  std::string payload;
};

class SlotLink {
 public:
  // `measure` adds memory and CPU to a progress report, on the control thread. On the main thread,
  // `idle` is called once, when the first work does not come at once, and `rest` when none has come
  // for a while.
  SlotLink(int fd, std::uint16_t index, std::function<void(TaskProgress*)> measure,
           std::function<void()> idle, std::function<void()> rest);

  // Starts the control thread, which lives as long as the process.
  void start();

  // ---- main thread ----
  // The next piece of work, when there is one; nullopt: shut down.
  std::optional<SlotWorkItem> next();
  // The work given by next() is over; cancels for it no longer reach it.
  void finished();
  void send(FrameKind kind, std::string_view payload);
  void flush();
  std::atomic<bool>& cancelled() { return cancelled_; }
  void set_interrupt(std::function<void()> interrupt);
  void note_progress(std::uint64_t bytes) { bytes_.store(bytes, std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  void control_loop();
  void read_frames();
  void take(Frame& frame);
  void queue_work(Frame& frame);
  void cancel(std::string_view key);
  void tick();
  void interrupt_if_cancelled();
  // How long the control thread may sleep, told to the senders in wakes_at_.
  Clock::duration sleep_time();
  Clock::duration wanted_sleep();
  void flush_locked();

  const int fd_;
  const std::uint16_t index_;
  const std::function<void(TaskProgress*)> measure_;
  std::function<void()> idle_;  // until it was called, or work came
  const std::function<void()> rest_;

  // Control thread only.
  std::string received_;     // read, not yet fed: kept when memory is short
  std::optional<Frame> at_;  // taken out of the reader, not yet handled
  FrameReader reader_;
  std::uint64_t bytes_told_ = 0;
  std::string key_told_;
  Clock::time_point next_progress_{}, next_measure_{};

  std::mutex work_;
  std::condition_variable has_work_;
  // Guarded by work_.
  std::deque<SlotWorkItem> queue_;
  std::string running_;
  Clock::time_point running_since_{};
  bool shutting_down_ = false;

  std::mutex out_;
  // Guarded by out_.
  std::string outbox_;
  Clock::time_point oldest_{};  // of the frames in the outbox

  std::mutex interrupting_;
  std::function<void()> interrupt_;  // guarded by interrupting_

  std::atomic<bool> cancelled_ = false;
  std::atomic<std::uint64_t> bytes_ = 0;
  // When the control thread looks at the outbox again, in steady-clock ticks.
  std::atomic<Clock::rep> wakes_at_ = 0;
};

}  // namespace polysome
