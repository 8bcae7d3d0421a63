// For tests: the way back of one request without a connection. Notes what was answered; a stream's
// client takes what is written at once, or only when told to.
#pragma once

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "api/http_message.h"

namespace polysome::api {

class FakeExchange : public Exchange,
                     public EventStream,
                     public std::enable_shared_from_this<FakeExchange> {
 public:
  void send(HttpResponse response) override { sent = std::move(response); }
  void send_file(FileAnswer answer) override { file = std::move(answer); }
  std::shared_ptr<EventStream> open_stream(StreamOptions o) override {
    options = std::move(o);
    open = true;
    return shared_from_this();
  }
  void write(std::string_view text) override {
    if (!open) return;
    written += text;
    if (slow) waiting += text.size();
  }
  void close() override {
    open = false;
    closed = true;
    forget();
  }
  std::size_t buffered() const override { return waiting; }
  void watch(std::function<void()> gone, std::function<void()> drained) override {
    gone_ = std::move(gone);
    drained_ = std::move(drained);
  }

  // The client takes all that is waiting for it.
  void take_all() {
    waiting = 0;
    if (const auto drained = drained_) drained();
  }
  void leave() {
    open = false;
    const auto gone = gone_;
    forget();
    if (gone) gone();
  }

  std::optional<HttpResponse> sent;
  std::optional<FileAnswer> file;
  StreamOptions options;
  std::string written;
  bool open = false, closed = false;
  bool slow = false;
  std::size_t waiting = 0;

 private:
  void forget() {
    gone_ = nullptr;
    drained_ = nullptr;
  }

  std::function<void()> gone_, drained_;
};

// A request as a program on this machine sends it.
inline HttpRequest local_request(std::string method, std::string target) {
  HttpRequest out;
  out.method = std::move(method);
  out.target = std::move(target);
  out.headers = {{"Host", "localhost:8001"}};
  out.peer = {"127.0.0.1", 50000, true};
  out.local = {"127.0.0.1", 8001, true};
  out.peer_uid = [] { return std::optional<uid_t>(::geteuid()); };
  return out;
}

}  // namespace polysome::api
