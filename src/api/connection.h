// One client's connection: reads requests one after the other (keep-alive, pipelining), bounds
// their size and time, carries answers back. Included by the listener's sources only (it needs
// Asio): connection.cc has life, input and time, connection_output.cc answers and output.
//
// Invariants: at most one request is being handled; at most one read and one write are under way;
// the registry (ConnectionHub) holds the connection until it is closed; after drop() nothing is
// called.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "api/http_message.h"
#include "api/request_parser.h"
#include "api/server.h"
#include "base/error.h"

namespace polysome::api {

class Connection;

// What connections share. Outlives the server when connections do.
struct ConnectionHub {
  ServerConfig config;
  RequestHandler* handler = nullptr;
  bool stopping = false;
  std::unordered_set<std::shared_ptr<Connection>> open;
  std::function<void()> when_room;  // a connection has left `open`, or could be closed for another
};

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<ConnectionHub> hub);

  void start();
  // Ends at once when idle or streaming, else after the answer under way.
  void finish_up();
  // Closes at once.
  void drop();
  // Between requests, nothing received.
  bool idle() const { return state_ == State::kHead && in_.empty(); }
  // May be closed for a new client: idle, and no newcomer that is about to send its first request.
  bool may_go() const;
  std::chrono::steady_clock::time_point idle_since() const { return idle_since_; }

 private:
  class Answer;  // the Exchange and EventStream of the request at hand
  enum class State { kHead, kBody, kHandling, kWriting, kStreaming, kLinger, kClosed };
  enum class Timer { kNone, kIdle, kHead, kBody, kWrite, kHeartbeat, kLinger };
  struct File {
    int fd = -1;
    std::uint64_t left = 0;
    ~File();
  };

  void read();
  void on_read(const boost::system::error_code& ec, std::size_t n);
  void advance();
  bool take_head();
  bool take_body();
  void dispatch();
  void refuse(HttpResponse response);
  void send(HttpResponse response);
  void send_file(const FileAnswer& answer);
  void start_stream(const StreamOptions& options);
  void write_stream(std::string_view text);
  void end_stream();
  void write(std::string bytes);
  void pump();
  void on_written(const boost::system::error_code& ec, std::size_t n);
  void flushed();
  void next_file_part();
  void answer_done();
  void linger();
  void arm(Timer what, Millis time);
  void disarm();
  void on_timer(Timer what);
  void fill_ends();

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<ConnectionHub> hub_;
  State state_ = State::kHead;
  Timer armed_ = Timer::kNone;
  std::uint64_t timer_round_ = 0;

  // input
  std::array<char, 8192> chunk_{};
  std::string in_;           // read, not yet used
  std::size_t scanned_ = 0;  // of in_, for the end of the head
  bool reading_ = false;
  bool at_end_ = false;  // the client sends no more
  bool served_ = false;  // has had an answer
  std::chrono::steady_clock::time_point idle_since_ = std::chrono::steady_clock::now();
  std::size_t discarded_ = 0;
  Endpoint peer_, local_;
  std::optional<uid_t> owner_;

  // the request at hand
  std::unique_ptr<RequestParser> parser_;
  HttpRequest request_;
  bool head_only_ = false;  // HEAD
  bool close_after_ = false;

  // output
  std::string out_;  // being written, from sent_
  std::size_t sent_ = 0;
  std::string pending_;
  bool writing_ = false;
  std::unique_ptr<File> file_;
  std::shared_ptr<Answer> stream_;  // while streaming
  StreamOptions stream_options_;
  bool stream_chunked_ = true;
  bool stream_ending_ = false;
  std::chrono::steady_clock::time_point last_progress_;
};

}  // namespace polysome::api
