// The Exchange and EventStream a connection hands to a handler: one request's way back to its
// client. Handlers may keep it longer than the connection lives. Part of connection.h, included by
// its two sources only.
#pragma once

#include <unistd.h>

#include <functional>
#include <memory>
#include <utility>

#include "api/answers.h"
#include "api/connection.h"

namespace polysome::api {

class Connection::Answer final : public Exchange,
                                 public EventStream,
                                 public std::enable_shared_from_this<Answer> {
 public:
  explicit Answer(std::weak_ptr<Connection> connection) : connection_(std::move(connection)) {}
  ~Answer() override {
    if (used_) return;
    if (const auto c = connection_.lock())
      c->send(problem_answer(Error(Code::kInternal, "the service gave no answer to this request",
                                   "this is a defect; please report it with the request")));
  }

  void send(HttpResponse response) override {
    if (const auto c = take()) c->send(std::move(response));
  }
  void send_file(FileAnswer file) override {
    if (const auto c = take())
      c->send_file(file);
    else if (file.remove)
      ::unlink(file.path.c_str());
  }
  std::shared_ptr<EventStream> open_stream(StreamOptions options) override {
    if (const auto c = take(); c && c->state_ == State::kHandling) {
      open_ = true;
      c->stream_ = shared_from_this();
      c->start_stream(options);
    }
    return shared_from_this();
  }

  void write(std::string_view text) override {
    if (const auto c = connection_.lock(); c && open_) c->write_stream(text);
  }
  void close() override {
    if (!open_) return;
    end(false);
    if (const auto c = connection_.lock()) c->end_stream();
  }
  std::size_t buffered() const override {
    const auto c = connection_.lock();
    return c && open_ ? c->pending_.size() + c->out_.size() - c->sent_ : 0;
  }
  void watch(std::function<void()> gone, std::function<void()> drained) override {
    if (!open_) {
      if (gone) gone();
      return;
    }
    gone_ = std::move(gone);
    drained_ = std::move(drained);
  }

  // The stream is over; tells so if its writer did not end it.
  void end(bool tell) {
    open_ = false;
    drained_ = nullptr;
    const auto gone = std::exchange(gone_, nullptr);
    if (tell && gone) gone();
  }
  void taken() {
    if (const auto drained = drained_) drained();
  }

 private:
  // The connection, if it still waits for this answer.
  std::shared_ptr<Connection> take() {
    return std::exchange(used_, true) ? nullptr : connection_.lock();
  }

  std::weak_ptr<Connection> connection_;
  bool used_ = false;
  bool open_ = false;
  std::function<void()> gone_, drained_;
};

}  // namespace polysome::api
