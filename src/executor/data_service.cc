#include "executor/data_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <optional>

#include "base/bytes.h"
#include "base/log.h"
#include "executor/worker_process.h"
#include "model/frames.h"
#include "model/job.h"
#include "model/plan.h"

namespace polysome {
namespace asio = boost::asio;
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostQueued = 256;
constexpr std::chrono::milliseconds kStartAgainAfter{500};
// A process that ends so often without coming up will not; the requests hear of it.
constexpr int kMostFailedStarts = 3;
constexpr std::chrono::seconds kEndWithin{2};

struct Request {
  std::uint64_t id = 0;
  std::string payload;
  DataService::Reply reply;
  Clock::time_point deadline;
};

struct Answer {
  DataService::Reply to;
  Result<Json> what;
};

struct ReaderSlot {
  bool up = false;
  bool busy = false;
  Request request;  // when busy; its reply is empty once it was answered for lateness
};

}  // namespace

struct DataService::State : std::enable_shared_from_this<State> {
  State(asio::io_context& l, DataServiceConfig c)
      : loop(l), config(std::move(c)), lateness(l), start_again(l) {}

  asio::io_context& loop;
  DataServiceConfig config;
  std::shared_ptr<WorkerProcess> process;
  std::vector<ReaderSlot> slots;
  std::deque<Request> queue;
  std::uint64_t last_id = 0;
  int failed_starts = 0;
  bool waiting_to_start = false;
  asio::steady_timer lateness;
  asio::steady_timer start_again;

  void add(Request request);
  void start();
  void dispatch();
  void take(const Frame& frame);
  // What a frame answers, if anything; throws on payloads that are not what they should be.
  std::optional<Answer> read(const Frame& frame, const Json& payload);
  std::optional<Answer> reply(ReaderSlot& slot, const Json& payload);
  std::optional<Answer> slot_lost(ReaderSlot& slot, std::uint16_t index, const Json& payload);
  void ended(const WorkerProcess::End& end);
  void fail_queued(const Error& error);
  void watch_lateness();
  void answer_late();
  void post_answer(Reply reply, Error error);
};

void DataService::State::post_answer(Reply reply, Error error) {
  asio::post(loop, [weak = weak_from_this(), reply = std::move(reply), error = std::move(error)] {
    if (const auto self = weak.lock(); self && reply) reply(fail(error));
  });
}

void DataService::State::add(Request request) {
  if (queue.size() >= kMostQueued)
    return post_answer(std::move(request.reply),
                       Error(Code::kUnavailable,
                             fmt::format("{} requests for data are waiting already", kMostQueued),
                             "try again in a moment"));
  if (request.payload.size() > kMaxFrameBytes)
    return post_answer(std::move(request.reply),
                       Error(Code::kTooLarge, fmt::format("the request has {}, more than {}",
                                                          format_bytes(request.payload.size()),
                                                          format_bytes(kMaxFrameBytes))));
  queue.push_back(std::move(request));
  if (!process && !waiting_to_start) start();
  dispatch();
  watch_lateness();
}

void DataService::State::start() {
  slots.clear();
  slots.resize(static_cast<std::size_t>(config.slots));
  std::vector<std::string> arguments = {"--slots",  std::to_string(config.slots),
                                        "--memory", std::to_string(config.memory_limit),
                                        "--worker", "reader"};
  arguments.insert(arguments.end(), config.arguments.begin(), config.arguments.end());
  const std::weak_ptr<State> weak = weak_from_this();
  WorkerProcess::Handler handler;
  handler.frame = [weak](const Frame& frame) {
    if (const auto self = weak.lock()) self->take(frame);
  };
  handler.ended = [weak](const WorkerProcess::End& end) {
    if (const auto self = weak.lock()) self->ended(end);
  };
  auto started =
      WorkerProcess::start(loop, config.worker_program, arguments, "the data service", handler);
  if (started) {
    process = std::move(*started);
    return;
  }
  failed_starts = kMostFailedStarts;  // the program itself is missing: no use in trying again
  asio::post(loop, [weak, message = started.error().message] {
    if (const auto self = weak.lock()) self->ended({false, message});
  });
}

void DataService::State::dispatch() {
  for (std::size_t i = 0; i < slots.size() && !queue.empty() && process; ++i) {
    ReaderSlot& slot = slots[i];
    if (!slot.up || slot.busy) continue;
    slot.busy = true;
    slot.request = std::move(queue.front());
    queue.pop_front();
    process->send(FrameKind::kRequest, static_cast<std::uint16_t>(i), slot.request.payload);
    slot.request.payload.clear();
  }
}

void DataService::State::take(const Frame& frame) {
  std::string wrong;
  std::optional<Answer> answer;
  if (const auto payload = parse_trusted_json(frame.payload)) {
    try {
      answer = read(frame, *payload);
    } catch (const Json::exception& e) {
      wrong = e.what();
    }
  } else {
    wrong = payload.error().message;
  }
  if (!wrong.empty())
    process->give_up(fmt::format("the data service sent an unreadable frame of kind {}: {}",
                                 static_cast<int>(frame.kind), wrong));
  dispatch();
  watch_lateness();
  if (answer && answer->to) answer->to(std::move(answer->what));
}

std::optional<Answer> DataService::State::read(const Frame& frame, const Json& payload) {
  if (frame.kind == FrameKind::kHello) {
    const auto version = payload.at("version").get<std::string>();
    if (version != POLYSOME_VERSION)
      process->give_up(fmt::format("{} has version {}, this service {}: install both anew",
                                   config.worker_program, version, POLYSOME_VERSION));
    return std::nullopt;
  }
  if (frame.slot >= slots.size()) return std::nullopt;  // health and logs of the supervisor
  ReaderSlot& slot = slots[frame.slot];
  if (frame.kind == FrameKind::kReply) return reply(slot, payload);
  if (frame.kind == FrameKind::kSlotLost) return slot_lost(slot, frame.slot, payload);
  if (frame.kind == FrameKind::kReady) {
    slot.up = true;
    failed_starts = 0;
  }
  return std::nullopt;
}

std::optional<Answer> DataService::State::reply(ReaderSlot& slot, const Json& payload) {
  if (!slot.busy || payload.at("id").get<std::uint64_t>() != slot.request.id) return std::nullopt;
  const auto error = payload.find("error");
  auto what = error != payload.end() ? Result<Json>(fail(error_from_problem(*error)))
                                     : Result<Json>(payload.at("ok"));
  slot.busy = false;
  return Answer{std::exchange(slot.request.reply, {}), std::move(what)};
}

std::optional<Answer> DataService::State::slot_lost(ReaderSlot& slot, std::uint16_t index,
                                                    const Json& payload) {
  process->send(FrameKind::kSlotSeen, index, "{}");
  slot.up = false;
  if (!slot.busy) return std::nullopt;
  const bool memory = payload.at("out_of_memory").get<bool>();
  Error error(memory ? Code::kOutOfMemory : Code::kInternal,
              "the data could not be read: " + payload.at("message").get<std::string>(),
              memory ? "ask for fewer rows or columns"
                     : "the file may be damaged; if others read it, please report this");
  slot.busy = false;
  return Answer{std::exchange(slot.request.reply, {}), fail(std::move(error))};
}

void DataService::State::ended(const WorkerProcess::End& end) {
  process.reset();
  log::warning("{}", end.message);
  std::vector<Reply> lost;
  for (ReaderSlot& slot : slots)
    if (slot.busy && slot.request.reply) lost.push_back(std::move(slot.request.reply));
  slots.clear();
  if (++failed_starts > kMostFailedStarts) {
    failed_starts = 0;
    fail_queued(Error(Code::kUnavailable, "data cannot be read now: " + end.message,
                      "try again; the service's log says more"));
  }
  for (const Reply& to : lost)
    to(fail(Code::kInternal, "the data could not be read: " + end.message, "try again"));
  if (queue.empty() || process || waiting_to_start) return;
  waiting_to_start = true;
  start_again.expires_after(kStartAgainAfter);
  start_again.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    const auto self = weak.lock();
    if (ec || !self) return;
    self->waiting_to_start = false;
    if (!self->process) self->start();
  });
}

void DataService::State::fail_queued(const Error& error) {
  for (Request& request : std::exchange(queue, {})) request.reply(fail(error));
}

void DataService::State::watch_lateness() {
  std::optional<Clock::time_point> next;
  if (!queue.empty()) next = queue.front().deadline;
  for (const ReaderSlot& slot : slots)
    if (slot.busy && slot.request.reply)
      next = next ? std::min(*next, slot.request.deadline) : slot.request.deadline;
  if (!next) {
    lateness.cancel();
    return;
  }
  lateness.expires_at(*next);
  lateness.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    if (const auto self = weak.lock(); self && !ec) self->answer_late();
  });
}

void DataService::State::answer_late() {
  const auto now = Clock::now();
  std::vector<Reply> late;
  for (; !queue.empty() && queue.front().deadline <= now; queue.pop_front())
    late.push_back(std::move(queue.front().reply));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    ReaderSlot& slot = slots[i];
    if (!slot.busy || !slot.request.reply || slot.request.deadline > now) continue;
    // The slot stays busy until it answers the cancel or is killed for not doing so.
    late.push_back(std::exchange(slot.request.reply, {}));
    process->send(FrameKind::kCancel, static_cast<std::uint16_t>(i),
                  "{\"id\":" + std::to_string(slot.request.id) + "}");
  }
  watch_lateness();
  for (const Reply& to : late)
    to(fail(Code::kTimeout,
            fmt::format("reading the data took longer than {} s",
                        std::chrono::duration<double>(config.patience).count()),
            "ask for less, or submit a job for it"));
}

DataService::DataService(asio::io_context& loop, DataServiceConfig config)
    : state_(std::make_shared<State>(loop, std::move(config))) {}

DataService::~DataService() {
  if (!state_->process) return;
  const auto process = std::move(state_->process);
  process->close();
  process->wait_until(Clock::now() + kEndWithin);
}

void DataService::request(const std::string& kind, Json body, Reply reply) {
  Request request;
  request.id = ++state_->last_id;
  // The id comes first: the worker finds it there without reading the rest.
  Json message = {{"id", request.id}, {"kind", kind}};
  if (body.is_object())
    for (auto& [key, value] : body.items()) message[key] = std::move(value);
  message["id"] = request.id;
  request.payload = dump(message);
  request.reply = std::move(reply);
  request.deadline = Clock::now() + state_->config.patience;
  state_->add(std::move(request));
}

int DataService::pid() const { return state_->process ? state_->process->pid() : 0; }

}  // namespace polysome
