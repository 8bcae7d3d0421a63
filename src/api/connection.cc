#include "api/connection.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "api/answers.h"
#include "api/caller.h"
#include "api/connection_answer.h"

namespace polysome::api {
namespace {

using boost::system::error_code;

// What is kept of requests sent ahead while one is being handled.
constexpr std::size_t kMostReadAhead = 65'536;
// A chunk's size line with its extensions, or trailers.
constexpr std::size_t kMostUnparsedBody = 16'384;
// A refused client's rest is read, so that it sees the answer and not a reset connection.
constexpr std::size_t kMostDiscarded = 64'000'000;

Endpoint endpoint_of(const boost::asio::ip::tcp::endpoint& end) {
  auto address = end.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6());
  return {address.to_string(), end.port(), address.is_loopback()};
}

}  // namespace

Connection::Connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<ConnectionHub> hub)
    : socket_(std::move(socket)), timer_(socket_.get_executor()), hub_(std::move(hub)) {}

void Connection::start() {
  error_code ec;
  peer_ = endpoint_of(socket_.remote_endpoint(ec));
  if (!ec) local_ = endpoint_of(socket_.local_endpoint(ec));
  if (ec) return drop();
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ec);
  advance();
}

void Connection::finish_up() {
  if (idle() || state_ == State::kLinger) return drop();
  if (state_ != State::kStreaming) return;  // send() and answer_done() look at hub_->stopping
  stream_->end(true);
  end_stream();
}

bool Connection::may_go() const {
  return idle() &&
         (served_ || std::chrono::steady_clock::now() - idle_since_ > hub_->config.head_timeout);
}

void Connection::drop() {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();
  state_ = State::kClosed;
  error_code ec;
  socket_.close(ec);
  disarm();
  file_.reset();
  request_.sink.reset();
  hub_->open.erase(self);
  if (const auto stream = std::exchange(stream_, nullptr)) stream->end(true);
  if (hub_->when_room) hub_->when_room();
}

// ---- input ----

void Connection::read() {
  if (reading_ || at_end_ || state_ == State::kClosed) return;
  reading_ = true;
  socket_.async_read_some(
      boost::asio::buffer(chunk_),
      [self = shared_from_this()](const error_code& ec, std::size_t n) { self->on_read(ec, n); });
}

void Connection::on_read(const error_code& ec, std::size_t n) {
  reading_ = false;
  if (state_ == State::kClosed) return;
  if (ec) {
    at_end_ = true;
    // A client may end its side and still wait for the answer; nobody does so on a stream.
    const bool waits = state_ == State::kHandling || state_ == State::kWriting;
    if (ec != boost::asio::error::eof || !waits) drop();
    return;
  }
  if (state_ == State::kLinger) {
    discarded_ += n;
    return discarded_ > kMostDiscarded ? drop() : read();
  }
  in_.append(chunk_.data(), n);
  if (state_ == State::kHead || state_ == State::kBody) return advance();
  if (in_.size() < kMostReadAhead) read();
}

void Connection::advance() {
  if (state_ == State::kHead && !take_head()) return;
  if (state_ == State::kBody && take_body()) dispatch();
}

bool Connection::take_head() {
  while (in_.starts_with("\r\n")) in_.erase(0, 2);  // RFC 9112, 2.2
  if (in_.empty()) {
    scanned_ = 0;
    if (at_end_ || hub_->stopping) {
      drop();
      return false;
    }
    if (armed_ != Timer::kIdle) arm(Timer::kIdle, hub_->config.idle_timeout);
    idle_since_ = std::chrono::steady_clock::now();
    if (hub_->open.size() > hub_->config.max_connections)
      boost::asio::post(socket_.get_executor(), [hub = hub_] {
        if (hub->when_room) hub->when_room();
      });
    read();
    return false;
  }
  if (armed_ != Timer::kHead) arm(Timer::kHead, hub_->config.head_timeout);
  const auto end = find_head_end(in_, scanned_);
  close_after_ = true;  // until the head is known to be good
  head_only_ = false;
  if (!end) {
    refuse(problem_answer(end.error()));
    return false;
  }
  if (std::min(*end, in_.size()) > hub_->config.max_head) {
    refuse(problem_answer(Error(Code::kHeadersTooLarge, "the request's headers are over 8 kB",
                                "put what is large into the body")));
    return false;
  }
  if (*end == std::string::npos) {
    scanned_ = in_.size();
    if (at_end_) {
      drop();
      return false;
    }
    read();
    return false;
  }
  request_ = {};
  parser_ = std::make_unique<RequestParser>();
  const auto parsed = parser_->parse_head(std::string_view(in_).substr(0, *end), &request_);
  in_.erase(0, *end);
  scanned_ = 0;
  head_only_ = request_.method == "HEAD";
  if (!parsed) {
    refuse(problem_answer(parsed.error()));
    return false;
  }
  close_after_ = !parser_->keep_alive();
  fill_ends();
  if (auto refusal = hub_->handler->refuse(request_)) {
    refuse(std::move(*refusal));
    return false;
  }
  const auto limit = hub_->handler->body_limit(request_).value_or(hub_->config.max_body);
  if (const auto fits = parser_->limit_body(limit); !fits) {
    refuse(problem_answer(fits.error()));
    return false;
  }
  auto sink = hub_->handler->open_sink(request_);
  if (!sink) {
    refuse(problem_answer(sink.error()));
    return false;
  }
  request_.sink = std::move(*sink);
  const auto expect = request_.header("Expect");
  if (expect && same_name(*expect, "100-continue") && !parser_->done() && in_.empty())
    write("HTTP/1.1 100 Continue\r\n\r\n");
  arm(Timer::kBody, hub_->config.body_timeout);
  state_ = State::kBody;
  return true;
}

bool Connection::take_body() {
  if (!parser_->done()) {
    const auto used = parser_->feed(in_, &request_);
    if (!used) {
      refuse(problem_answer(used.error()));
      return false;
    }
    in_.erase(0, *used);
    if (request_.sink && !request_.body.empty()) {
      const auto taken = request_.sink->take(request_.body);
      request_.body.clear();
      if (!taken) {
        refuse(problem_answer(taken.error()));
        return false;
      }
      arm(Timer::kBody, hub_->config.body_timeout);  // a large body is late only when it stalls
    }
  }
  if (parser_->done()) return true;
  if (in_.size() > kMostUnparsedBody) {
    refuse(problem_answer(
        Error(Code::kMalformed, "a chunk's size line or the trailers are over 16 kB")));
    return false;
  }
  if (at_end_)
    drop();
  else
    read();
  return false;
}

void Connection::fill_ends() {
  request_.peer = peer_;
  request_.local = local_;
  request_.peer_uid = [weak = weak_from_this()]() -> std::optional<uid_t> {
    const auto self = weak.lock();
    if (!self) return std::nullopt;
    // An unknown owner is asked for again: the kernel may know a moment later.
    if (!self->owner_) self->owner_ = socket_owner(self->peer_, self->local_);
    return self->owner_;
  };
}

void Connection::dispatch() {
  disarm();
  state_ = State::kHandling;
  read();  // notices a client that leaves
  hub_->handler->handle(std::move(request_), std::make_shared<Answer>(weak_from_this()));
}

// ---- time ----

void Connection::arm(Timer what, Millis time) {
  armed_ = what;
  timer_.expires_after(time);
  timer_.async_wait(
      [self = shared_from_this(), what, round = ++timer_round_](const error_code& ec) {
        if (!ec && round == self->timer_round_) self->on_timer(what);
      });
}

void Connection::disarm() {
  armed_ = Timer::kNone;
  ++timer_round_;
  timer_.cancel();
}

void Connection::on_timer(Timer what) {
  switch (what) {
    case Timer::kHead:
      return refuse(
          problem_answer(Error(Code::kTimeout, "the request's head did not come in time")));
    case Timer::kBody:
      return refuse(
          problem_answer(Error(Code::kTimeout, "the request's body did not come in time")));
    case Timer::kHeartbeat:
      if (writing_ && std::chrono::steady_clock::now() - last_progress_ > hub_->config.idle_timeout)
        return drop();
      write_stream(stream_options_.heartbeat);
      return arm(Timer::kHeartbeat, stream_options_.every);
    default: return drop();
  }
}

}  // namespace polysome::api
