// The listener: accepts connections on the API's port and the dashboard's (same routes) and hands
// their requests to the handler. Owned by the daemon; lives on the loop thread of the io_context it
// is given, never blocks. Decides nothing about requests but their form and size.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/http_message.h"
#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace polysome::api {

struct ServerConfig {
  std::string host = "localhost";  // 127.0.0.1 and, where there is one, ::1
  std::uint16_t port = 8001;       // 0: any free one
  int dashboard_port = 0;          // 0: off
  bool has_tokens = false;         // then addresses that are not loopback may be bound
  std::size_t max_body = 1'000'000;
  std::size_t max_head = 8192;
  std::size_t max_stream_buffer = 1'000'000;  // of one event stream
  std::size_t max_connections = 1000;  // beyond it idle ones are closed, else new clients wait
  Millis head_timeout{10'000};         // from a request's first byte to its blank line
  Millis body_timeout{30'000};         // from there to its last byte
  Millis idle_timeout{
      60'000};               // between requests; also for a client that takes nothing of an answer
  Millis stop_grace{2'000};  // what stop() gives requests under way
};

class Server {
 public:
  // `handler` and what it calls outlive the server: open streams are told of its end.
  Server(boost::asio::io_context& loop, ServerConfig config, RequestHandler& handler);
  // Cuts what is still open.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Errors: kInvalid for a host that may not be bound, kConflict for a port in use (by whom, what
  // to do), kIo. A dashboard port in use is a logged warning: the API has all its routes.
  [[nodiscard]] Status start();
  std::uint16_t port() const;            // bound; 0 before start
  std::uint16_t dashboard_port() const;  // bound; 0: off
  std::size_t connections() const;
  // Accepts no more, ends idle connections and streams, lets requests under way be answered, within
  // stop_grace. `done` is called when the last connection is closed. Once.
  void stop(std::function<void()> done = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace polysome::api
