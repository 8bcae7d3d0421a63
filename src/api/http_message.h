// What handlers see of HTTP: plain requests, answers and streams, without a socket or a parser. The
// connection (connection.h) fills and carries them. Loop thread only.
//
// An Exchange is one request's way back: exactly one of send, send_file and open_stream is used,
// once, now or later. Dropping it unused answers 500, so no client waits for ever on a defect.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace polysome::api {

struct Header {
  std::string name;
  std::string value;
};

struct Endpoint {
  std::string address;  // as text, without brackets
  std::uint16_t port = 0;
  bool loopback = false;
};

// Who calls: told by the token, else by the owner of the socket (access.h).
struct Caller {
  std::string user;  // "anonymous" where nobody can tell
  bool admin = false;
  bool submit_for = false;  // may name another user in a body

  bool may_touch(std::string_view owner) const { return admin || user == owner; }
};

// Takes a body as it comes, in place of HttpRequest::body. What it holds is given up with it,
// unless the handler keeps it.
class BodySink {
 public:
  virtual ~BodySink() = default;
  // An error refuses the request.
  virtual Status take(std::string_view bytes) = 0;
};

struct HttpRequest {
  std::string method;
  std::string target;                 // as sent
  std::vector<std::string> segments;  // of the path, percent-decoded; "/" has none
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  std::vector<Header> headers;                             // values trimmed
  std::uint64_t content_length = 0;                        // as announced; 0 when chunked or absent
  std::string body;
  std::shared_ptr<BodySink> sink;  // has the body of routes that take it as it comes
  Endpoint peer, local;
  // Who owns the peer's end of the connection, asked once; nullopt when it can't be told.
  std::function<std::optional<uid_t>()> peer_uid;
  Caller caller;  // filled in by the router

  // The first header of that name (any case).
  std::optional<std::string_view> header(std::string_view name) const;
  // HEAD is answered as GET without the body.
  bool safe() const { return method == "GET" || method == "HEAD"; }
};

struct HttpResponse {
  int status = 200;
  std::vector<Header> headers;
  std::string body;
  bool close = false;  // end the connection after it
};

struct FileAnswer {
  std::string path;
  bool remove = false;  // the file is ours: gone after the answer
  std::string content_type;
  std::string file_name;  // offered to the client
  std::vector<Header> headers = {};
};

struct StreamOptions {
  std::string content_type;
  std::string heartbeat;  // written every so often, so that both sides notice a dead connection
  Millis every{15'000};
  std::vector<Header> headers = {};
};

// An answer without a known end. A client that does not take what is written (over the server's
// limit of buffered bytes) is cut off.
class EventStream {
 public:
  virtual ~EventStream() = default;
  virtual void write(std::string_view text) = 0;  // nothing happens once it is over
  virtual void close() = 0;                       // after what was written
  virtual std::size_t buffered() const = 0;
  // `gone`: the client left or was cut off, at most once and never after close(). `drained`: all
  // that was written has been taken. Both are dropped when the stream is over.
  virtual void watch(std::function<void()> gone, std::function<void()> drained) = 0;
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void send(HttpResponse response) = 0;
  virtual void send_file(FileAnswer file) = 0;
  virtual std::shared_ptr<EventStream> open_stream(StreamOptions options) = 0;
};
using Responder = std::shared_ptr<Exchange>;

// Who answers requests (the router).
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  // Looks at the head before the body is read; an answer refuses the request.
  virtual std::optional<HttpResponse> refuse(const HttpRequest& head) = 0;
  // The most bytes the body may have, when that is not the server's own limit.
  virtual std::optional<std::size_t> body_limit(const HttpRequest& head) const {
    (void)head;
    return std::nullopt;
  }
  // Where the body of this request goes as it comes; null: it is collected. An error refuses it.
  virtual Result<std::shared_ptr<BodySink>> open_sink(const HttpRequest& head) {
    (void)head;
    return std::shared_ptr<BodySink>();
  }
  virtual void handle(HttpRequest request, Responder responder) = 0;
};

bool same_name(std::string_view a, std::string_view b);  // ASCII, any case

}  // namespace polysome::api
