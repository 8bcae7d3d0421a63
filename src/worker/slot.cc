#include "worker/slot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <new>

#include "base/bytes.h"
#include "base/files.h"
#include "base/log.h"
#include "data/manifest.h"
#include "model/connections.h"
#include "model/job.h"
#include "model/plan.h"
#include "worker/sandbox.h"
#include "worker/slot_link.h"
#include "worker/task_meter.h"

namespace polysome {
namespace {

constexpr int kExitNotSetUp = 78;

// Calls f; what it throws becomes an error. Libraries throw, and no task may take the slot with it.
template <class F>
auto guarded(F f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return fail(Code::kOutOfMemory, "an allocation failed");
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("an unexpected exception: ") + e.what(),
                "this is a defect of Polysome; please report it with the job's parameters");
  } catch (...) {
    return fail(Code::kInternal, "an unexpected exception of an unknown type",
                "this is a defect of Polysome; please report it with the job's parameters");
  }
}

std::uint64_t bytes_of(const TaskSpec& spec, const std::vector<OutputFile>& files) {
  std::uint64_t bytes = 0;
  for (const auto& f : files) {
    std::error_code ec;
    const auto size = std::filesystem::file_size(stage_folder(spec) / f.name, ec);
    if (!ec) bytes += size;
  }
  return bytes;
}

class Slot {
 public:
  Slot(const WorkerOptions& options, SlotWork work)
      : options_(options),
        work_(std::move(work)),
        link_(
            options.fd, static_cast<std::uint16_t>(options.index),
            [this](TaskProgress* progress) {
              progress->memory = meter_.resident();
              progress->cpu_seconds = meter_.cpu_seconds();
            },
            [this] { work_.idle(); },
            [this] {
              work_.rest();
              ::malloc_trim(0);
            }) {
    if (options.connections.empty()) return;
    auto known = Connections::read(options.connections);
    if (known)
      connections_ = std::move(*known);
    else
      log::error("databases cannot be named: {}", known.error().message);
  }

  // Until the supervisor shuts the slot down.
  void run() {
    link_.start();
    link_.send(FrameKind::kReady, fmt::format("{{\"pid\":{}}}", ::getpid()));
    while (auto item = link_.next()) {
      use_ = {};
      needed_ = 0;
      if (item->kind == FrameKind::kStart)
        run_task(*item);
      else
        answer_request(*item);
      link_.finished();
    }
    link_.flush();
  }

 private:
  void run_task(const SlotWorkItem& item) {
    // The supervisor, should this process die, takes what it had used before from what it used.
    link_.send(FrameKind::kStarted, fmt::format("{{\"attempt\":\"{}\",\"cpu_seconds\":{:.6f}}}",
                                                item.key, TaskMeter::process_cpu_seconds()));
    Result<std::string> report = guarded([&]() -> Result<std::string> {
      POLYSOME_ASSIGN(const Json json, parse_trusted_json(item.payload));
      POLYSOME_ASSIGN(const TaskSpec spec, TaskSpec::from_json(json));
      POLYSOME_ASSIGN(const TaskResult result, attempt(spec));
      std::string text = dump(result.to_json());
      if (text.size() > kMaxFrameBytes)
        return fail(Code::kInternal,
                    fmt::format("the task's result has {} bytes; at most {} can be sent",
                                text.size(), kMaxFrameBytes));
      return text;
    });
    if (report) return link_.send(FrameKind::kFinished, *report);
    send_failure(item.key, std::move(report).error());
  }

  Result<TaskResult> attempt(const TaskSpec& spec) {
    const std::uint64_t grant = spec.grant > 0 ? spec.grant : options_.memory;
    TaskContext context = make_context(grant);
    const bool new_job = work_.prepare(spec);
    meter_.begin(grant, new_job);
    auto output = guarded([&] { return work_.run(spec, context); });
    link_.set_interrupt({});
    use_ = meter_.end();
    needed_ = context.needed_memory;
    if (link_.cancelled()) {
      discard_outputs(spec);
      return fail(Code::kCancelled, "cancelled while it ran");
    }
    if (!output) {
      discard_outputs(spec);
      Error& error = output.error();
      if (error.code == Code::kInternal &&
          error.message.find("std::bad_alloc") != std::string::npos)
        error.code = Code::kOutOfMemory;  // a failed allocation that came as another's error
      if (error.code == Code::kOutOfMemory) explain_memory(&error, grant);
      return fail(std::move(output).error());
    }
    TaskResult& result = output->result;
    result.attempt = spec.attempt;
    result.peak_memory = use_.peak_memory;
    result.cpu_seconds = use_.cpu_seconds;
    result.wall_seconds = use_.wall_seconds;
    if (output->files.empty()) return std::move(result);
    return publish_output(spec, std::move(*output));
  }

  Result<TaskResult> publish_output(const TaskSpec& spec, TaskOutput output) {
    TaskResult result = std::move(output.result);
    result.manifest = true;
    if (result.bytes_out == 0) result.bytes_out = bytes_of(spec, output.files);
    Manifest manifest{spec.attempt, std::move(output.files), result};
    POLYSOME_ASSIGN(const bool won, publish(spec, std::move(manifest), output.durable));
    // With what publishing took.
    use_.cpu_seconds = meter_.cpu_seconds();
    result.cpu_seconds = use_.cpu_seconds;
    if (won) return result;
    // Another attempt of this task was first: what it published is this task's output.
    POLYSOME_ASSIGN(
        Manifest winner,
        read_manifest_at(
            manifest_path(stage_folder(spec), spec.task.index, spec.start_inside_quotes), false));
    winner.result.attempt = spec.attempt;
    winner.result.peak_memory = result.peak_memory;
    winner.result.cpu_seconds = result.cpu_seconds;
    winner.result.wall_seconds = result.wall_seconds;
    return std::move(winner.result);
  }

  void answer_request(const SlotWorkItem& item) {
    Result<std::string> answer = guarded([&]() -> Result<std::string> {
      POLYSOME_ASSIGN(const Json request, parse_trusted_json(item.payload));
      TaskContext context = make_context(options_.memory);
      meter_.begin(options_.memory, true);
      auto reply = guarded([&] { return work_.answer(request, context); });
      use_ = meter_.end();
      if (!reply && reply.error().code == Code::kOutOfMemory)
        explain_memory(&reply.error(), options_.memory);
      POLYSOME_ASSIGN(const Json ok, std::move(reply));
      std::string text = "{\"id\":" + item.key + ",\"ok\":" + dump(ok) + "}";
      if (text.size() > kMaxFrameBytes)
        return fail(Code::kTooLarge,
                    fmt::format("the answer has {}, more than the {} that fit in one",
                                format_bytes(text.size()), format_bytes(kMaxFrameBytes)),
                    "ask for fewer rows or columns");
      return text;
    });
    link_.send(FrameKind::kReply, answer ? *answer
                                         : "{\"id\":" + item.key + ",\"error\":" +
                                               dump(problem_json(answer.error())) + "}");
  }

  TaskContext make_context(std::uint64_t grant) {
    TaskContext context;
    context.cancelled = &link_.cancelled();
    context.progress = [this](std::uint64_t bytes) { link_.note_progress(bytes); };
    context.set_interrupt = [this](std::function<void()> f) { link_.set_interrupt(std::move(f)); };
    context.scratch = options_.scratch;
    context.read_roots = options_.read;
    context.connections = &connections_;
    context.memory = grant;
    return context;
  }

  void send_failure(const std::string& key, Error error) {
    TaskFailure failure;
    failure.attempt = AttemptId::parse(key).value_or(AttemptId{});
    failure.error = std::move(error);
    failure.peak_memory = use_.peak_memory;
    failure.cpu_seconds = use_.cpu_seconds;
    failure.needed_memory = needed_;
    std::string text = dump(failure.to_json());
    if (text.size() > kMaxFrameBytes) {
      failure.error.errors.clear();
      failure.error.hint.clear();
      failure.error.message.resize(kMaxInlineResultBytes);
      text = dump(failure.to_json());
    }
    link_.send(FrameKind::kFailed, text);
  }

  void explain_memory(Error* error, std::uint64_t grant) const {
    error->message =
        fmt::format("the memory granted ({}) was not enough (peak of the process {}): {}",
                    format_bytes(grant), format_bytes(use_.peak_memory), error->message);
    if (error->hint.empty())
      error->hint = "give its workers more memory, or make its partitions smaller";
  }

  const WorkerOptions& options_;
  SlotWork work_;
  Connections connections_;
  TaskMeter meter_;
  TaskUse use_;               // of the last attempt
  std::uint64_t needed_ = 0;  // what it said to need
  SlotLink link_;
};

// A failed allocation in a thread of a library ends here instead of in a task's failure.
[[noreturn]] void end_of_exceptions() {
  if (const auto thrown = std::current_exception()) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::bad_alloc&) {
      ::_exit(kExitOutOfMemory);
    } catch (const std::exception& e) {
      log::error("the slot ends: uncaught exception: {}", e.what());
    } catch (...) {
      log::error("the slot ends: uncaught exception of an unknown type");
    }
  }
  std::abort();
}

// When the machine runs out of memory, the kernel should end a slot, not the service.
void prefer_as_victim() {
  const UniqueFd fd(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (fd) (void)!::write(fd.get(), "500", 3);
}

}  // namespace

int run_slot(const WorkerOptions& options, SlotWork work) {
  std::set_terminate(end_of_exceptions);
  ::fcntl(options.fd, F_SETFD, FD_CLOEXEC);
  prefer_as_victim();
  if (!options.scratch.empty())
    if (const auto made = make_folders(options.scratch); !made) {
      log::error("{}", made.error().message);
      return kExitNotSetUp;
    }
  Slot slot(options, std::move(work));  // opens files that the sandbox forbids
  if (!options.read.empty() || !options.write.empty()) {
    auto write = options.write;
    if (!options.scratch.empty()) write.push_back(options.scratch);
    if (const auto caged = restrict_to_folders(options.read, write); !caged) {
      log::error("{}", caged.error().message);
      return kExitNotSetUp;
    }
  }
  slot.run();
  if (!options.scratch.empty()) (void)polysome::remove_all(options.scratch);
  // Libraries' threads may still run: nothing is taken down in order.
  ::_exit(0);
}

}  // namespace polysome
