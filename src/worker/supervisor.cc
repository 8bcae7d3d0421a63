#include "worker/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/control_groups.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scratch.h"
#include "model/json.h"
#include "worker/frame_key.h"
#include "worker/oom_watch.h"
#include "worker/sandbox.h"
#include "worker/slot.h"
#include "worker/slot_process.h"
#include "worker/worker_lock.h"

namespace polysome {
namespace {

constexpr MonoTime kHealthEveryMs = 1000;
constexpr MonoTime kObeyWithinMs = 500;
// A process that lived shorter than this died "at once"; the next waits, each time longer.
constexpr MonoTime kQuickDeathMs = 1000;
constexpr MonoTime kFirstBackoffMs = 100;
constexpr MonoTime kMostBackoffMs = 5000;
// A slot that never came up in so many tries never will.
constexpr int kMostFailedStarts = 6;
constexpr std::size_t kMostQueuedBytes = 8'000'000;
constexpr std::size_t kReadBytes = 1 << 18;
constexpr std::uint32_t kService = kNoSlot;
// What a slot's process takes besides its task's grant.
constexpr std::uint64_t kOfASlotItself = 96'000'000;

struct Slot {
  Slot(const WorkerOptions& options, int lock_fd, const SlotMain& main)
      : process(options, lock_fd, main) {}

  struct Cancel {
    std::string key;
    MonoTime deadline = 0;
  };

  SlotProcess process;
  std::string scratch;
  std::uint32_t interest = 0;  // epoll events asked for
  bool was_ready = false;
  bool gone = false;                        // ended in a shutdown
  std::string running;                      // key of the attempt it runs
  std::string started_as;                   // the frame that said so
  std::set<std::string, std::less<>> sent;  // keys of attempts it was given and has not answered
  std::vector<Cancel> cancels;
  std::string killed_for;  // why this supervisor killed it
  int unseen_losses = 0;   // kSlotLost sent and not yet answered by kSlotSeen
  int quick_deaths = 0;
  MonoTime started = 0;
  std::optional<MonoTime> restart_at;
  double cpu_seconds = 0;  // at the last health report
  std::optional<ControlGroup> group;
  std::uint64_t group_kills = 0;  // for memory, already told
};

class Supervisor {
 public:
  Supervisor(const WorkerOptions& options, UniqueFd lock, const SlotMain& slot_main);
  int run();

 private:
  Status make_groups();
  void tell(const std::string& message);
  bool killed_for_memory(Slot& slot);
  void start_slot(std::size_t index);
  void handle(const epoll_event& event);
  void read_service();
  void take_from_service(Frame&& frame);
  void to_slot(Frame&& frame);
  void shut_down(const Frame& frame);
  void take_from_slot(std::size_t index, Frame&& frame);
  void slot_ended(std::size_t index);
  std::string story(std::size_t index, const SlotProcess::End& end, bool out_of_memory) const;
  void tick();
  void report_health();
  int wait_ms() const;
  void flush();
  void watch(int fd, std::uint32_t id, std::uint32_t events, std::uint32_t* current);
  void stop(int status) {
    if (!exit_status_) exit_status_ = status;
  }
  int end();

  const WorkerOptions& options_;
  UniqueFd lock_;
  UniqueFd epoll_;
  std::string scratch_;
  std::optional<ControlGroup> group_;  // of the worker; outlives those of its slots
  std::deque<Slot> slots_;
  FrameReader reader_;
  std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kReadBytes);
  std::string out_;  // to the service
  std::uint32_t service_interest_ = 0;
  OomWatch oom_watch_;
  MonoTime next_health_ = 0;
  MonoTime last_health_ = mono_now();
  bool draining_ = false;
  std::optional<int> exit_status_;
};

// Folders of supervisors that were killed: nobody else knows that they are dead before the service
// starts anew. Their slots went with them.
void sweep_after_the_dead(const WorkerOptions& options) {
  std::error_code ec;
  for (std::filesystem::directory_iterator it(options.scratch, ec), end; !ec && it != end;
       it.increment(ec)) {
    const std::string name = it->path().filename().string();
    const auto dot = name.rfind('.');
    int pid = 0;
    if (dot == std::string::npos ||
        std::from_chars(name.data() + dot + 1, name.data() + name.size(), pid).ec != std::errc() ||
        pid <= 1 || ::kill(pid, 0) == 0 || errno != ESRCH)
      continue;
    (void)remove_scratch(it->path(), options.write);
  }
}

Supervisor::Supervisor(const WorkerOptions& options, UniqueFd lock, const SlotMain& slot_main)
    : options_(options), lock_(std::move(lock)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  ::fcntl(options.fd, F_SETFD, FD_CLOEXEC);
  if (!options.scratch.empty()) {
    sweep_after_the_dead(options);
    scratch_ = fmt::format("{}/{}.{}", options.scratch, options.worker, ::getpid());
  }
  for (int i = 0; i < options.slots; ++i) {
    WorkerOptions slot = options;
    slot.index = i;
    slot.memory = options.memory / static_cast<std::uint64_t>(options.slots);
    if (!scratch_.empty()) slot.scratch = fmt::format("{}/s{}", scratch_, i);
    slots_.emplace_back(slot, lock_.get(), slot_main).scratch = slot.scratch;
  }
}

int Supervisor::run() {
  append_frame(
      &out_, FrameKind::kHello, kNoSlot,
      dump(Json{{"pid", ::getpid()}, {"version", POLYSOME_VERSION}, {"slots", options_.slots}}));
  if ((!options_.read.empty() || !options_.write.empty()) && !sandbox_available())
    tell("this kernel has no Landlock: slots of " + options_.worker +
         " run without a sandbox of their own");
  if (const auto made = make_groups(); !made)
    tell("slots of " + options_.worker + " have no control groups: " + made.error().message);
  for (std::size_t i = 0; i < slots_.size(); ++i) start_slot(i);
  flush();
  while (!exit_status_) {
    epoll_event events[16];
    const int n = ::epoll_wait(epoll_.get(), events, 16, wait_ms());
    for (int i = 0; i < n; ++i) handle(events[i]);
    tick();
    flush();
  }
  return end();
}

void Supervisor::tell(const std::string& message) {
  append_frame(&out_, FrameKind::kLog, kNoSlot,
               dump(Json{{"level", "info"}, {"message", message}, {"attempt", ""}}));
}

// The kernel's own limit on all slots together, above what their grants let them take; and for each
// slot a count of what it was ended for.
Status Supervisor::make_groups() {
  if (options_.control_group.empty() || options_.memory == 0) return {};
  const std::string folder =
      fmt::format("{}/{}.{}", options_.control_group, options_.worker, ::getpid());
  POLYSOME_ASSIGN(auto group, ControlGroup::make(folder));
  group_.emplace(std::move(group));
  POLYSOME_TRY(group_->limit_memory(options_.memory + slots_.size() * kOfASlotItself));
  POLYSOME_TRY(group_->divide());
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    POLYSOME_ASSIGN(auto own, ControlGroup::make(fmt::format("{}/s{}", folder, i)));
    slots_[i].group.emplace(std::move(own));
  }
  return {};
}

bool Supervisor::killed_for_memory(Slot& slot) {
  if (!slot.group) return oom_watch_.killed();
  const std::uint64_t kills = slot.group->oom_kills();
  return kills > std::exchange(slot.group_kills, kills);
}

void Supervisor::start_slot(std::size_t index) {
  Slot& slot = slots_[index];
  slot.restart_at.reset();
  slot.started = mono_now();
  slot.interest = 0;
  slot.cpu_seconds = 0;
  const auto started = slot.process.start();
  if (started && slot.group)
    if (const auto added = slot.group->add(slot.process.pid()); !added) {
      log::warning("{}: {}", options_.worker, added.error().message);
      slot.group.reset();  // what ends it is then told by the machine's count
    }
  if (started) return;
  log::warning("{}: {}", options_.worker, started.error().message);
  ++slot.quick_deaths;
  slot.restart_at = slot.started + kMostBackoffMs;
}

void Supervisor::handle(const epoll_event& event) {
  if (event.data.u32 == kService) {
    if (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_service();
    return;
  }
  const std::size_t index = event.data.u32;
  Slot& slot = slots_[index];
  if (!slot.process.alive() || (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  if (!slot.process.receive([&](Frame&& frame) { take_from_slot(index, std::move(frame)); }))
    slot_ended(index);
}

void Supervisor::read_service() {
  const ssize_t n = ::recv(options_.fd, buffer_.get(), kReadBytes, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return stop(0);
  reader_.feed({buffer_.get(), static_cast<std::size_t>(n)});
  while (!exit_status_) {
    auto frame = reader_.next();
    if (!frame) {
      log::error("{}: {} from the service", options_.worker, frame.error().message);
      return stop(kExitBadFrames);
    }
    if (!*frame) return;
    take_from_service(std::move(**frame));
  }
}

void Supervisor::take_from_service(Frame&& frame) {
  switch (frame.kind) {
    case FrameKind::kShutdown: return shut_down(frame);
    case FrameKind::kStart:
    case FrameKind::kRequest:
    case FrameKind::kCancel:
    case FrameKind::kSlotSeen:
      if (frame.slot < slots_.size()) return to_slot(std::move(frame));
      [[fallthrough]];
    default:
      log::error("{}: a frame of kind {} for slot {} from the service", options_.worker,
                 static_cast<int>(frame.kind), frame.slot);
      return stop(kExitBadFrames);
  }
}

void Supervisor::to_slot(Frame&& frame) {
  Slot& slot = slots_[frame.slot];
  if (frame.kind == FrameKind::kSlotSeen) {
    slot.unseen_losses = std::max(0, slot.unseen_losses - 1);
    return;
  }
  // Meant for a process that has died; the service has been told and gives the work out again.
  if (slot.unseen_losses > 0 || slot.gone) return;
  if (frame.kind == FrameKind::kStart) slot.sent.emplace(frame_key(frame.payload));
  if (frame.kind == FrameKind::kCancel)
    slot.cancels.push_back({std::string(frame_key(frame.payload)), mono_now() + kObeyWithinMs});
  slot.process.queue(frame.kind, frame.payload);
  if (slot.process.queued_bytes() <= kMostQueuedBytes) return;
  if (!slot.process.alive()) return stop(kExitBadFrames);
  slot.killed_for = "it did not take what was sent to it";
  slot.process.kill();
}

void Supervisor::shut_down(const Frame& frame) {
  const auto json = parse_trusted_json(frame.payload);
  const bool force = json && json->is_object() && json->value("force", false);
  if (force) return stop(0);
  draining_ = true;
  for (Slot& slot : slots_) {
    if (slot.process.alive())
      slot.process.queue(FrameKind::kShutdown, frame.payload);
    else
      slot.gone = true;
    slot.restart_at.reset();
  }
}

void Supervisor::take_from_slot(std::size_t index, Frame&& frame) {
  Slot& slot = slots_[index];
  switch (frame.kind) {
    case FrameKind::kReady: slot.was_ready = true; break;
    case FrameKind::kStarted:
      slot.running = frame_key(frame.payload);
      slot.started_as = frame.payload;
      break;
    case FrameKind::kFinished:
    case FrameKind::kFailed:
    case FrameKind::kReply: {
      const auto key = frame_key(frame.payload);
      if (slot.running == key) slot.running.clear();
      if (const auto sent = slot.sent.find(key); sent != slot.sent.end()) slot.sent.erase(sent);
      std::erase_if(slot.cancels, [&](const Slot::Cancel& c) { return c.key == key; });
      break;
    }
    case FrameKind::kProgress:
    case FrameKind::kLog: break;
    default: slot.killed_for = "it sent a frame that no slot sends"; return slot.process.kill();
  }
  // A slot speaks for itself only, whatever its header says.
  append_frame(&out_, frame.kind, static_cast<std::uint16_t>(index), frame.payload);
}

void Supervisor::slot_ended(std::size_t index) {
  Slot& slot = slots_[index];
  const SlotProcess::End end = slot.process.reap();
  const bool out_of_memory =
      end.status == kExitOutOfMemory ||
      (end.signal == SIGKILL && slot.killed_for.empty() && killed_for_memory(slot));
  if (!slot.scratch.empty()) (void)remove_scratch(slot.scratch, options_.write);

  const bool orderly = draining_ && end.signal == 0 && end.status == 0;
  if (!orderly) {
    // What the attempt it ran, if any, had used.
    std::uint64_t peak_memory = 0;
    double cpu_seconds = 0;
    if (!slot.running.empty()) {
      const auto started = parse_trusted_json(slot.started_as);
      const double before = started ? started->value("cpu_seconds", end.cpu_seconds) : 0;
      peak_memory = end.peak_memory;
      cpu_seconds = std::max(0.0, end.cpu_seconds - before);
    }
    append_frame(&out_, FrameKind::kSlotLost, static_cast<std::uint16_t>(index),
                 dump(Json{{"pid", end.pid},
                           {"signal", end.signal},
                           {"status", end.status},
                           {"out_of_memory", out_of_memory},
                           {"peak_memory", peak_memory},
                           {"cpu_seconds", cpu_seconds},
                           {"message", story(index, end, out_of_memory)}}));
    ++slot.unseen_losses;
  }
  slot.process.drop_queued();
  slot.running.clear();
  slot.sent.clear();
  slot.cancels.clear();
  slot.gone = draining_;
  const bool killed_by_us = !slot.killed_for.empty();
  slot.killed_for.clear();
  if (draining_) return;

  const MonoTime now = mono_now();
  const bool quick = now - slot.started < kQuickDeathMs && !killed_by_us;
  slot.quick_deaths = quick ? slot.quick_deaths + 1 : 0;
  if (!slot.was_ready && slot.quick_deaths >= kMostFailedStarts) {
    log::error("{}: slot {} did not come up in {} tries", options_.worker, index,
               kMostFailedStarts);
    return stop(kExitSlotsDoNotStart);
  }
  const int doublings = std::min(slot.quick_deaths - 1, 8);
  slot.restart_at =
      now + (slot.quick_deaths == 0 ? 0 : std::min(kMostBackoffMs, kFirstBackoffMs << doublings));
}

std::string Supervisor::story(std::size_t index, const SlotProcess::End& end,
                              bool out_of_memory) const {
  const std::string who = fmt::format("slot {} of {} (pid {})", index, options_.worker, end.pid);
  const std::string& reason = slots_[index].killed_for;
  if (!reason.empty()) return who + " was killed: " + reason;
  if (out_of_memory)
    return who + (end.signal == 0 ? " ran out of memory"
                                  : " was killed by the system, which ran out of memory");
  if (end.signal == 0) return fmt::format("{} exited with status {}", who, end.status);
  return fmt::format("{} was ended by signal {} ({})", who, end.signal, ::strsignal(end.signal));
}

void Supervisor::tick() {
  const MonoTime now = mono_now();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.restart_at && *slot.restart_at <= now) start_slot(i);
    for (const auto& cancel : slot.cancels) {
      // Requests are not announced when they start; at most one is in a slot.
      const bool request = cancel.key.find('-') == std::string::npos;
      // One that it was given and neither starts nor gives back, with nothing running: it is deaf.
      const bool deaf = slot.running.empty() && slot.sent.contains(cancel.key);
      if (cancel.deadline > now || (cancel.key != slot.running && !request && !deaf)) continue;
      slot.killed_for = fmt::format("{} {} did not end within {} ms of its cancel",
                                    request ? "request" : "attempt", cancel.key, kObeyWithinMs);
      slot.process.kill();
    }
    std::erase_if(slot.cancels, [&](const Slot::Cancel& c) { return c.deadline <= now; });
  }
  if (now >= next_health_) report_health();
  if (draining_ && std::all_of(slots_.begin(), slots_.end(), [](const Slot& s) { return s.gone; }))
    stop(0);
}

void Supervisor::report_health() {
  const MonoTime now = mono_now();
  const double elapsed = std::max(1e-3, static_cast<double>(now - last_health_) / 1000.0);
  last_health_ = now;
  next_health_ = now + kHealthEveryMs;
  oom_watch_.tick();
  Json list = Json::array();
  const auto own = process_memory(::getpid()).value_or(ProcessMemory{});
  std::uint64_t memory = own.resident - std::min(own.resident, own.shared);
  double cpu_percent = 0;
  for (Slot& slot : slots_) {
    if (!slot.process.alive()) continue;
    const auto use = process_memory(slot.process.pid()).value_or(ProcessMemory{});
    const auto times = process_times(slot.process.pid()).value_or(ProcessTimes{});
    const double percent = std::max(0.0, times.cpu_seconds - slot.cpu_seconds) / elapsed * 100;
    slot.cpu_seconds = times.cpu_seconds;
    // Pages of the program and its libraries are shared and count for nobody.
    memory += use.resident - std::min(use.resident, use.shared);
    cpu_percent += percent;
    list.push_back({{"pid", slot.process.pid()}, {"rss", use.resident}, {"cpu_percent", percent}});
  }
  append_frame(
      &out_, FrameKind::kHealth, kNoSlot,
      dump(Json{{"slots", std::move(list)}, {"memory", memory}, {"cpu_percent", cpu_percent}}));
}

int Supervisor::wait_ms() const {
  MonoTime next = next_health_;
  for (const Slot& slot : slots_) {
    if (slot.restart_at) next = std::min(next, *slot.restart_at);
    for (const auto& cancel : slot.cancels) next = std::min(next, cancel.deadline);
  }
  return static_cast<int>(std::clamp<MonoTime>(next - mono_now(), 0, kHealthEveryMs));
}

void Supervisor::flush() {
  std::string_view rest = out_;
  while (!rest.empty()) {
    const ssize_t n = ::send(options_.fd, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) stop(0);  // the service is gone
    if (n < 0) break;
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  out_.erase(0, out_.size() - rest.size());
  watch(options_.fd, kService, EPOLLIN | (out_.empty() ? 0U : EPOLLOUT), &service_interest_);
  // When the service does not read, slots wait: nothing is gathered here without end.
  const std::uint32_t listen = out_.size() < kMostQueuedBytes ? EPOLLIN : 0U;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.process.alive()) continue;
    slot.process.flush();
    const std::uint32_t write = slot.process.queued_bytes() > 0 ? EPOLLOUT : 0U;
    watch(slot.process.fd(), static_cast<std::uint32_t>(i), listen | write, &slot.interest);
  }
}

void Supervisor::watch(int fd, std::uint32_t id, std::uint32_t events, std::uint32_t* current) {
  // EPOLLRDHUP marks a descriptor as registered, also when it is not listened to.
  events |= EPOLLRDHUP;
  if (*current == events) return;
  epoll_event event{};
  event.events = events;
  event.data.u32 = id;
  ::epoll_ctl(epoll_.get(), *current == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  *current = events;
}

int Supervisor::end() {
  for (Slot& slot : slots_) slot.process.kill();
  for (Slot& slot : slots_)
    if (slot.process.alive()) (void)slot.process.reap();
  // The last words, should anybody still listen.
  for (std::string_view rest = out_; !rest.empty();) {
    pollfd p{options_.fd, POLLOUT, 0};
    if (::poll(&p, 1, static_cast<int>(kObeyWithinMs)) <= 0) break;
    const ssize_t n = ::send(options_.fd, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0) break;
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  if (!scratch_.empty()) (void)remove_scratch(scratch_, options_.write);
  if (!options_.lock_file.empty()) ::unlink(options_.lock_file.c_str());
  return *exit_status_;
}

}  // namespace

int run_supervisor(const WorkerOptions& options, const SlotMain& slot) {
  UniqueFd lock;
  if (!options.lock_file.empty()) {
    auto taken = take_worker_lock(options.lock_file);
    if (!taken) {
      log::error("{} cannot start: {}", options.worker, taken.error().message);
      return kExitLocked;
    }
    lock = std::move(*taken);
  }
  return Supervisor(options, std::move(lock), slot).run();
}

}  // namespace polysome
