// Answers that need the data but are no jobs: result pages, downloads, dataset schemas, partition
// lists. They run in a supervisor of their own with two slots (a worker named "reader"), started at
// the first request, so a hostile file kills a slot, not the service, and a stopped cluster still
// answers. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/json.h"

namespace boost::asio {
class io_context;
}

namespace polysome {

struct DataServiceConfig {
  std::string worker_program;  // path of polysome-worker
  int slots = 2;
  std::uint64_t memory_limit = 1'000'000'000;
  std::vector<std::string> arguments;  // --read DIR … --write DIR … (sandbox), as for workers
  Millis patience{60'000};             // for one request, its time in the queue included
};

class DataService {
 public:
  using Reply = std::function<void(Result<Json>)>;
  DataService(boost::asio::io_context& loop, DataServiceConfig config);
  ~DataService();
  // Sends {"kind": kind, ...body} to a free slot; requests queue (at most 1000, then kUnavailable).
  // A slot that dies is answered kInternal or kOutOfMemory; no answer in time: kTimeout, and the
  // slot is interrupted or killed. `reply` is called once, never from within request(), and not
  // after the service's destruction.
  void request(const std::string& kind, Json body, Reply reply);
  int pid() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace polysome
