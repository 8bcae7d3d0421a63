// Worker processes on this machine: one supervisor per worker, reached by one socketpair; the
// service's end of socket ends them. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "executor/executor.h"

namespace boost::asio {
class io_context;
}

namespace polysome {

struct LocalExecutorConfig {
  std::string worker_program;  // path of polysome-worker
  std::vector<std::string>
      arguments;            // --read DIR … --write DIR … --scratch DIR (sandbox), passed on
  std::string lock_folder;  // STATE/workers: each supervisor holds a flock'ed file here
};

class LocalExecutor final : public Executor {
 public:
  LocalExecutor(boost::asio::io_context& loop, LocalExecutorConfig config, Sink sink);
  ~LocalExecutor() override;

  void start_worker(WorkerId worker, int slots, std::uint64_t memory_limit) override;
  void stop_worker(WorkerId worker, bool force) override;
  void start_task(WorkerId worker, int slot, const TaskSpec& spec) override;
  void cancel_task(WorkerId worker, int slot, AttemptId attempt) override;
  bool ask(const std::string& kind, Json body, Reply reply) override;

  // Before a new service starts workers: waits until supervisors of an earlier one have let go of
  // their locks (they end by themselves when their socket closes), at most 3 s, then kills them by
  // pid and start time. Blocking; called once at start.
  static Status fence(const std::string& lock_folder);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace polysome
