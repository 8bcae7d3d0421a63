// Everything one process needs to run jobs: loop, store, executor, data service and engine, made in
// the right order and ended in the reverse one. Used by `serve` and by `run`. Main thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "daemon/engine.h"
#include "daemon/service.h"

namespace polysome {

class Host {
 public:
  struct Options {
    ServeConfig config;                  // folders made absolute
    std::vector<std::string> data_dirs;  // absolute, links resolved
    bool any_path = false;               // polysome run: reads whatever its caller may read
    std::vector<std::string> writable;   // beside work, scratch and outputs
    bool workers_answer = false;         // EngineConfig
    bool keep_tables = true;             // EngineConfig
  };
  // Makes the folders, takes the state folder's lock, opens the store, fences workers of an earlier
  // service. Nothing runs yet.
  static Result<std::unique_ptr<Host>> open(Options options, std::string_view operations_json);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  boost::asio::io_context& loop() { return loop_; }
  Engine& engine() { return *engine_; }
  DataService& data() { return *data_; }
  Store& store() { return *store_; }

 private:
  Host() = default;

  boost::asio::io_context loop_{1};
  std::unique_ptr<Store> store_;
  std::unique_ptr<DataService> data_;
  std::unique_ptr<Engine> engine_;
};

// Absolute path with links resolved where it exists.
std::string absolute_path(const std::string& path);

}  // namespace polysome
