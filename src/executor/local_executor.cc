#include "executor/local_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <stdexcept>
#include <vector>

#include "executor/worker_process.h"
#include "model/frames.h"
#include "model/job.h"
#include "model/plan.h"

namespace polysome {
namespace asio = boost::asio;
namespace {

// Processes start in a fraction of a second; a machine under load gets much more.
constexpr std::chrono::seconds kComeUpWithin{60};
constexpr std::chrono::seconds kForcedEndWithin{1};
constexpr std::chrono::seconds kEndWithin{2};  // when the executor itself goes

AttemptId attempt_of(const Json& payload) {
  const auto attempt = AttemptId::parse(payload.at("attempt").get<std::string>());
  if (!attempt) throw std::invalid_argument("an attempt that is no id");
  return *attempt;
}

template <class T>
T read_or_throw(const Json& payload) {
  auto value = T::from_json(payload);
  if (!value) throw std::invalid_argument(value.error().message);
  return std::move(*value);
}

struct Worker {
  explicit Worker(asio::io_context& loop) : come_up(loop) {}

  WorkerId id;
  std::shared_ptr<WorkerProcess> process;
  std::vector<bool> slot_up;
  bool told_ready = false;
  asio::steady_timer come_up;
};

struct Question {
  WorkerId worker;
  std::uint16_t slot = 0;
  Executor::Reply reply;
};

}  // namespace

struct LocalExecutor::State : std::enable_shared_from_this<State> {
  State(asio::io_context& l, LocalExecutorConfig c, Sink s)
      : loop(l), config(std::move(c)), sink(std::move(s)) {}

  asio::io_context& loop;
  LocalExecutorConfig config;
  Sink sink;
  std::map<WorkerId, Worker> workers;
  std::map<std::uint64_t, Question> questions;
  std::uint64_t last_question = 0;
  std::optional<std::pair<WorkerId, std::uint16_t>> finished_last;

  Worker* find(WorkerId id) {
    const auto it = workers.find(id);
    return it == workers.end() ? nullptr : &it->second;
  }
  void start(WorkerId id, int slots, std::uint64_t memory_limit);
  void take(WorkerId id, const Frame& frame);
  // What a frame reports, if anything; throws on payloads that are not what they should be.
  std::optional<Report> read(Worker& worker, const Frame& frame, const Json& payload);
  std::optional<Report> slot_ready(Worker& worker, std::uint16_t slot);
  Report slot_lost(Worker& worker, std::uint16_t slot, const Json& payload);
  void ended(WorkerId id, const WorkerProcess::End& end);
  bool ask(const std::string& kind, Json body, Executor::Reply reply);
  void answer(const Json& payload);
  // Of a slot that is gone, or of all of a worker's.
  void fail_questions(WorkerId worker, std::optional<std::uint16_t> slot, const Error& error);
};

void LocalExecutor::State::start(WorkerId id, int slots, std::uint64_t memory_limit) {
  Worker& worker = workers.try_emplace(id, loop).first->second;
  worker.id = id;
  worker.slot_up.assign(static_cast<std::size_t>(slots), false);
  std::vector<std::string> arguments = {"--slots",  std::to_string(slots),
                                        "--memory", std::to_string(memory_limit),
                                        "--worker", id.text(),
                                        "--lock",   config.lock_folder + "/" + id.text() + ".lock"};
  arguments.insert(arguments.end(), config.arguments.begin(), config.arguments.end());
  const std::weak_ptr<State> weak = weak_from_this();
  WorkerProcess::Handler handler;
  handler.frame = [weak, id](const Frame& frame) {
    if (const auto self = weak.lock()) self->take(id, frame);
  };
  handler.ended = [weak, id](const WorkerProcess::End& end) {
    if (const auto self = weak.lock()) self->ended(id, end);
  };
  auto process = WorkerProcess::start(loop, config.worker_program, arguments, id.text(), handler);
  if (!process) {
    // Told later: the caller is in the middle of its own decisions.
    asio::post(loop, [weak, id, message = process.error().message] {
      if (const auto self = weak.lock()) self->ended(id, {false, message});
    });
    return;
  }
  worker.process = std::move(*process);
  worker.come_up.expires_after(kComeUpWithin);
  worker.come_up.async_wait([process = worker.process, id](boost::system::error_code ec) {
    if (!ec)
      process->give_up(
          fmt::format("{} did not come up within {} s", id.text(), kComeUpWithin.count()));
  });
}

void LocalExecutor::State::take(WorkerId id, const Frame& frame) {
  Worker* worker = find(id);
  if (worker == nullptr || !worker->process) return;
  std::string wrong;
  if (const auto payload = parse_trusted_json(frame.payload)) {
    std::optional<Report> report;
    try {
      report = read(*worker, frame, *payload);
    } catch (const Json::exception& e) {
      wrong = e.what();
    } catch (const std::invalid_argument& e) {
      wrong = e.what();
    }
    // Outside: what the sink throws is not the worker's fault.
    if (report) sink(std::move(*report));
  } else {
    wrong = payload.error().message;
  }
  if (!wrong.empty())
    worker->process->give_up(fmt::format("{} sent an unreadable frame of kind {}: {}", id.text(),
                                         static_cast<int>(frame.kind), wrong));
}

std::optional<Report> LocalExecutor::State::read(Worker& worker, const Frame& frame,
                                                 const Json& payload) {
  switch (frame.kind) {
    case FrameKind::kHello:
      if (const auto version = payload.at("version").get<std::string>();
          version != POLYSOME_VERSION)
        worker.process->give_up(fmt::format("{} has version {}, this service {}: install both anew",
                                            config.worker_program, version, POLYSOME_VERSION));
      return std::nullopt;
    case FrameKind::kReady: return slot_ready(worker, frame.slot);
    case FrameKind::kSlotLost: return slot_lost(worker, frame.slot, payload);
    case FrameKind::kStarted: return report::TaskStarted{worker.id, attempt_of(payload)};
    case FrameKind::kProgress:
      return report::TaskProgressed{worker.id, read_or_throw<TaskProgress>(payload)};
    case FrameKind::kFinished:
      finished_last = {worker.id, frame.slot};
      return report::TaskFinished{worker.id, read_or_throw<TaskResult>(payload)};
    case FrameKind::kFailed:
      return report::TaskFailed{worker.id, read_or_throw<TaskFailure>(payload)};
    case FrameKind::kLog:
      return report::TaskLogged{worker.id, payload.value("level", "info"),
                                payload.value("message", ""), payload.value("attempt", "")};
    case FrameKind::kHealth:
      return report::WorkerHeard{worker.id, payload.at("memory").get<std::uint64_t>(),
                                 payload.at("cpu_percent").get<double>()};
    case FrameKind::kReply: answer(payload); return std::nullopt;
    default: throw std::invalid_argument("a worker that runs tasks does not send these");
  }
}

std::optional<Report> LocalExecutor::State::slot_ready(Worker& worker, std::uint16_t slot) {
  if (slot >= worker.slot_up.size()) throw std::invalid_argument("a slot that it does not have");
  worker.slot_up[slot] = true;
  const auto& up = worker.slot_up;
  if (worker.told_ready || std::find(up.begin(), up.end(), false) != up.end()) return std::nullopt;
  worker.told_ready = true;
  worker.come_up.cancel();
  return report::WorkerReady{worker.id, worker.process->pid()};
}

Report LocalExecutor::State::slot_lost(Worker& worker, std::uint16_t slot, const Json& payload) {
  if (slot >= worker.slot_up.size()) throw std::invalid_argument("a slot that it does not have");
  // Before it is reported: whatever the sink sends to this slot is for the new process.
  worker.process->send(FrameKind::kSlotSeen, slot, "{}");
  const int signal = payload.at("signal").get<int>();
  const bool out_of_memory = payload.at("out_of_memory").get<bool>();
  const bool by_kill = signal == SIGKILL || signal == SIGTERM;
  fail_questions(worker.id, slot,
                 Error(out_of_memory ? Code::kOutOfMemory : Code::kInternal,
                       "the data could not be read: " + payload.at("message").get<std::string>(),
                       out_of_memory ? "give its workers more memory" : ""));
  return report::SlotLost{worker.id,
                          slot,
                          by_kill,
                          out_of_memory,
                          payload.at("message").get<std::string>(),
                          payload.value("peak_memory", std::uint64_t{0}),
                          payload.value("cpu_seconds", 0.0)};
}

void LocalExecutor::State::ended(WorkerId id, const WorkerProcess::End& end) {
  if (workers.erase(id) == 0) return;
  fail_questions(id, std::nullopt,
                 Error(Code::kInternal, "the data could not be read: " + end.message));
  sink(report::WorkerLost{id, end.by_kill, end.message});
}

bool LocalExecutor::State::ask(const std::string& kind, Json body, Executor::Reply reply) {
  if (!finished_last) return false;
  const auto [id, slot] = *finished_last;
  Worker* worker = find(id);
  if (worker == nullptr || !worker->process) return false;
  const std::uint64_t number = ++last_question;
  // The number comes first: the worker finds it there without reading the rest.
  Json message = {{"id", number}, {"kind", kind}};
  for (auto& [key, value] : body.items()) message[key] = std::move(value);
  const std::string payload = dump(message);
  if (payload.size() > kMaxFrameBytes) return false;
  questions.emplace(number, Question{id, slot, std::move(reply)});
  worker->process->send(FrameKind::kRequest, slot, payload);
  return true;
}

void LocalExecutor::State::answer(const Json& payload) {
  const auto it = questions.find(payload.at("id").get<std::uint64_t>());
  if (it == questions.end()) return;
  const auto error = payload.find("error");
  auto what = error != payload.end() ? Result<Json>(fail(error_from_problem(*error)))
                                     : Result<Json>(payload.at("ok"));
  const auto reply = std::move(it->second.reply);
  questions.erase(it);
  // Not from here: what it throws is not the worker's fault.
  asio::post(loop, [reply, what = std::move(what)] { reply(what); });
}

void LocalExecutor::State::fail_questions(WorkerId worker, std::optional<std::uint16_t> slot,
                                          const Error& error) {
  if (finished_last && finished_last->first == worker && (!slot || finished_last->second == *slot))
    finished_last.reset();
  for (auto it = questions.begin(); it != questions.end();) {
    const Question& q = it->second;
    if (q.worker != worker || (slot && q.slot != *slot)) {
      ++it;
      continue;
    }
    asio::post(loop, [reply = q.reply, error] { reply(fail(error)); });
    it = questions.erase(it);
  }
}

LocalExecutor::LocalExecutor(asio::io_context& loop, LocalExecutorConfig config, Sink sink)
    : state_(std::make_shared<State>(loop, std::move(config), std::move(sink))) {}

LocalExecutor::~LocalExecutor() {
  // All are told before one is waited for.
  std::vector<std::shared_ptr<WorkerProcess>> processes;
  for (auto& [id, worker] : state_->workers)
    if (worker.process) processes.push_back(worker.process);
  state_->workers.clear();
  for (const auto& process : processes) process->close();
  const auto deadline = std::chrono::steady_clock::now() + kEndWithin;
  for (const auto& process : processes) process->wait_until(deadline);
}

void LocalExecutor::start_worker(WorkerId worker, int slots, std::uint64_t memory_limit) {
  state_->start(worker, slots, memory_limit);
}

void LocalExecutor::stop_worker(WorkerId id, bool force) {
  Worker* worker = state_->find(id);
  if (worker == nullptr || !worker->process) return;
  worker->process->send(FrameKind::kShutdown, kNoSlot, dump(Json{{"force", force}}));
  if (force) worker->process->expect_end(kForcedEndWithin);
}

void LocalExecutor::start_task(WorkerId id, int slot, const TaskSpec& spec) {
  Worker* worker = state_->find(id);
  if (worker == nullptr || !worker->process) return;  // its WorkerLost is on the way
  const std::string payload = dump(spec.to_json());
  if (payload.size() <= kMaxFrameBytes)
    return worker->process->send(FrameKind::kStart, static_cast<std::uint16_t>(slot), payload);
  asio::post(state_->loop, [weak = std::weak_ptr<State>(state_), id, attempt = spec.attempt] {
    const auto self = weak.lock();
    if (!self || self->find(id) == nullptr) return;
    TaskFailure failure;
    failure.attempt = attempt;
    failure.error = Error(Code::kInternal, "the task's description is too large to send");
    self->sink(report::TaskFailed{id, failure});
  });
}

void LocalExecutor::cancel_task(WorkerId id, int slot, AttemptId attempt) {
  Worker* worker = state_->find(id);
  if (worker == nullptr || !worker->process) return;
  worker->process->send(FrameKind::kCancel, static_cast<std::uint16_t>(slot),
                        dump(Json{{"attempt", attempt.text()}}));
}

bool LocalExecutor::ask(const std::string& kind, Json body, Reply reply) {
  return state_->ask(kind, std::move(body), std::move(reply));
}

}  // namespace polysome
