// The worker program of the tests: the real supervisor and slot with tasks made for the test. What
// a task does is named by its stage. Started without a worker's flags, it runs the tests.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

#include "data/manifest.h"
#include "worker/slot.h"
#include "worker/supervisor.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;
using std::chrono::milliseconds;

Result<TaskOutput> write_output(const TaskSpec& spec) {
  TaskOutput output;
  const auto path = output_path(spec, "part.csv");
  fs::create_directories(path.parent_path());
  std::ofstream(path) << "a\n" << spec.attempt.n << "\n";
  output.files.push_back({path.filename().string(), "part.csv", 0, 1, ""});
  output.result.rows = spec.attempt.n;
  return output;
}

Result<TaskOutput> allocate_beyond(std::uint64_t bytes) {
  std::vector<std::unique_ptr<char[]>> blocks;
  for (std::uint64_t got = 0; got < bytes; got += 10'000'000) {
    blocks.push_back(std::make_unique_for_overwrite<char[]>(10'000'000));
    std::memset(blocks.back().get(), 1, 10'000'000);
  }
  TaskOutput output;
  output.result.payload = {{"blocks", blocks.size()}};
  return output;
}

// Uses a core for so long, in two threads one after the other.
void burn(milliseconds each) {
  const auto half = [each] {
    timespec t{};
    const auto spent = [&t] {
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
      return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
    };
    const auto end = spent() + each;
    while (spent() < end) {
    }
  };
  half();
  std::thread(half).join();
}

Result<TaskOutput> wait_for_interrupt(TaskContext& context) {
  std::atomic<bool> interrupted = false;
  context.set_interrupt([&] { interrupted = true; });
  while (!interrupted) std::this_thread::sleep_for(milliseconds(1));
  context.set_interrupt({});
  return fail(Code::kInternal, "interrupted");
}

Result<TaskOutput> make_progress(TaskContext& context) {
  for (std::uint64_t bytes = 1; !*context.cancelled; ++bytes) {
    context.progress(bytes);
    std::this_thread::sleep_for(milliseconds(1));
  }
  return fail(Code::kInternal, "stopped");
}

Result<TaskOutput> open_what_is_forbidden(const TaskSpec& spec, const TaskContext& context) {
  const auto opens = [](const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  };
  TaskOutput output;
  output.result.payload = {{"read_data", opens(spec.job_folder + "/data/x", O_RDONLY)},
                           {"write_data", opens(spec.job_folder + "/data/x", O_WRONLY)},
                           {"write_work", opens(spec.job_folder + "/work/x", O_WRONLY | O_CREAT)},
                           {"write_scratch", opens(context.scratch + "/x", O_WRONLY | O_CREAT)},
                           {"read_state", opens(spec.job_folder + "/state/x", O_RDONLY)},
                           {"read_usr", opens("/usr/bin/env", O_RDONLY)}};
  return output;
}

Result<TaskOutput> run_test_task(const TaskSpec& spec, TaskContext& context) {
  const std::string& what = spec.stage_name;
  TaskOutput output;
  if (what == "write") return write_output(spec);
  if (what == "allocate") return allocate_beyond(300'000'000);
  if (what == "interrupt") return wait_for_interrupt(context);
  if (what == "progress") return make_progress(context);
  if (what == "forbidden") return open_what_is_forbidden(spec, context);
  if (what == "throw") throw std::runtime_error("thrown by the task");
  if (what == "throw_int") throw 7;
  if (what == "user_data") return fail(Code::kUserData, "line 3 is wrong", "look at it");
  if (what == "huge") output.result.payload = std::string(2'000'000, 'x');
  if (what == "burn") burn(milliseconds(200));
  if (what == "burn_and_fail") {
    burn(milliseconds(200));
    return fail(Code::kIo, "after all that work");
  }
  if (what == "allocate_and_crash") {
    (void)allocate_beyond(200'000'000);
    burn(milliseconds(200));
    std::raise(SIGSEGV);
  }
  if (what == "needs") {
    context.needed_memory = 123'456;
    return fail(Code::kOutOfMemory, "no room");
  }
  if (what == "crash") std::raise(SIGSEGV);
  if (what == "exit") ::_exit(9);
  if (what == "memory_in_thread") std::thread([] { throw std::bad_alloc(); }).join();
  if (what == "stuck")
    for (;;) ::pause();
  if (what == "partial") {
    fs::create_directories(stage_folder(spec));
    std::ofstream(output_path(spec, "part.csv")) << "half";
    return fail(Code::kIo, "the disk went");
  }
  return output;
}

Result<Json> answer_test_request(const Json& request, TaskContext&) {
  if (request.value("kind", "") == "stuck") {
    std::ofstream(request.value("sign", "")) << "running";
    for (;;) ::pause();
  }
  if (request.value("kind", "") == "refused") return fail(Code::kNotFound, "no such thing");
  return Json{{"echo", request}};
}

}  // namespace

int run_as_worker(const WorkerOptions& options) {
  const auto slot = [](const WorkerOptions& own) {
    SlotWork work;
    work.run = run_test_task;
    work.answer = answer_test_request;
    return run_slot(own, std::move(work));
  };
  return options.mode == WorkerMode::kSupervisor ? run_supervisor(options, slot) : slot(options);
}

}  // namespace polysome

int main(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (first == "--supervisor" || first == "--slot") {
    const auto options = polysome::parse_worker_options({argv + 1, argv + argc});
    return options ? polysome::run_as_worker(*options) : 2;
  }
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
