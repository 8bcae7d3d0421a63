// A connection's way out: answers, files, streams, and the one write under way.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "api/answers.h"
#include "api/connection.h"
#include "api/connection_answer.h"

namespace polysome::api {
namespace {

using boost::system::error_code;

constexpr Millis kLingerTime{5'000};
constexpr Millis kLingerTimeAtStop{200};
constexpr std::size_t kFilePart = 262'144;

}  // namespace

Connection::File::~File() {
  if (fd >= 0) ::close(fd);
}

// ---- answers ----

// Answers before the request was read to its end; what is left of it can't be told from a next one.
void Connection::refuse(HttpResponse response) {
  request_.sink.reset();
  disarm();
  state_ = State::kHandling;
  response.close = response.close || !parser_ || !parser_->done();
  send(std::move(response));
}

void Connection::send(HttpResponse response) {
  if (state_ != State::kHandling) return;
  state_ = State::kWriting;
  close_after_ = close_after_ || response.close || hub_->stopping;
  const bool bodiless = response.status == 204 || response.status == 304;
  std::string bytes =
      response_head(response, {.framing = bodiless ? Framing::kNone : Framing::kLength,
                               .length = response.body.size(),
                               .close = close_after_,
                               .http_1_0 = parser_ && parser_->http_1_0()});
  if (!bodiless && !head_only_) bytes += response.body;
  write(std::move(bytes));
}

void Connection::send_file(const FileAnswer& answer) {
  if (state_ != State::kHandling) {
    if (answer.remove) ::unlink(answer.path.c_str());
    return;
  }
  auto file = std::make_unique<File>();
  file->fd = ::open(answer.path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status{};
  const bool good = file->fd >= 0 && ::fstat(file->fd, &status) == 0 && S_ISREG(status.st_mode);
  if (answer.remove) ::unlink(answer.path.c_str());  // the descriptor keeps it as long as needed
  if (!good)
    return send(
        problem_answer(Error(Code::kIo, fmt::format("the file {} can't be read", answer.path),
                             "ask again; the service's log says more")));
  file->left = static_cast<std::uint64_t>(status.st_size);
  state_ = State::kWriting;
  close_after_ = close_after_ || hub_->stopping;
  HttpResponse head;
  head.headers = {{"Content-Type", answer.content_type}, {"Cache-Control", "no-store"}};
  if (!answer.file_name.empty())
    head.headers.push_back({"Content-Disposition", attachment(answer.file_name)});
  head.headers.insert(head.headers.end(), answer.headers.begin(), answer.headers.end());
  const std::uint64_t length = file->left;
  if (!head_only_) file_ = std::move(file);
  write(response_head(head, {.framing = Framing::kLength,
                             .length = length,
                             .close = close_after_,
                             .http_1_0 = parser_->http_1_0()}));
}

// Parts of a file are read between writes. The files are results written a moment ago, so they come
// from memory; a slow disk would hold the loop for one part at most.
void Connection::next_file_part() {
  std::string part(static_cast<std::size_t>(std::min<std::uint64_t>(file_->left, kFilePart)), '\0');
  const ssize_t n = ::read(file_->fd, part.data(), part.size());
  if (n <= 0) return drop();  // shorter than promised: the client must not take it for whole
  part.resize(static_cast<std::size_t>(n));
  file_->left -= static_cast<std::uint64_t>(n);
  write(std::move(part));
}

void Connection::start_stream(const StreamOptions& options) {
  state_ = State::kStreaming;
  stream_options_ = options;
  stream_chunked_ = !parser_->http_1_0();
  stream_ending_ = false;
  close_after_ = close_after_ || !stream_chunked_;
  HttpResponse head;
  head.headers = {{"Content-Type", options.content_type}, {"Cache-Control", "no-store"}};
  head.headers.insert(head.headers.end(), options.headers.begin(), options.headers.end());
  write(response_head(head, {.framing = stream_chunked_ ? Framing::kChunked : Framing::kUntilClose,
                             .close = close_after_,
                             .http_1_0 = !stream_chunked_}));
  if (head_only_) {
    close_after_ = true;
    stream_->end(true);
    end_stream();
    return;
  }
  arm(Timer::kHeartbeat, options.every);
}

void Connection::write_stream(std::string_view text) {
  if (state_ != State::kStreaming || stream_ending_ || text.empty()) return;
  if (pending_.size() + out_.size() - sent_ + text.size() > hub_->config.max_stream_buffer) {
    // Too slow. Its writer may be in the middle of something, so it is told a turn later.
    stream_ending_ = true;
    boost::asio::post(socket_.get_executor(), [self = shared_from_this()] { self->drop(); });
    return;
  }
  if (stream_chunked_)
    write(fmt::format("{:x}\r\n{}\r\n", text.size(), text));
  else
    write(std::string(text));
}

void Connection::end_stream() {
  if (state_ != State::kStreaming || stream_ending_) return;
  stream_ending_ = true;
  arm(Timer::kWrite, hub_->config.idle_timeout);
  if (stream_chunked_ && !head_only_) return write("0\r\n\r\n");
  if (!writing_)
    boost::asio::post(socket_.get_executor(), [self = shared_from_this()] { self->flushed(); });
}

void Connection::answer_done() {
  stream_.reset();
  file_.reset();
  disarm();
  if (close_after_ || hub_->stopping) return linger();
  parser_.reset();
  served_ = true;
  state_ = State::kHead;
  advance();
}

void Connection::linger() {
  state_ = State::kLinger;
  in_.clear();
  error_code ec;
  socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ec);
  if (ec || at_end_) return drop();
  arm(Timer::kLinger, hub_->stopping ? kLingerTimeAtStop : kLingerTime);
  read();
}

// ---- output ----

void Connection::write(std::string bytes) {
  if (pending_.empty())
    pending_ = std::move(bytes);
  else
    pending_ += bytes;
  if (!writing_) pump();
}

void Connection::pump() {
  if (state_ == State::kClosed) return;
  if (sent_ == out_.size()) {
    out_.clear();
    sent_ = 0;
    std::swap(out_, pending_);
  }
  if (out_.empty()) return flushed();
  writing_ = true;
  last_progress_ = std::chrono::steady_clock::now();
  if (state_ == State::kWriting) arm(Timer::kWrite, hub_->config.idle_timeout);
  socket_.async_write_some(boost::asio::buffer(out_.data() + sent_, out_.size() - sent_),
                           [self = shared_from_this()](const error_code& ec, std::size_t n) {
                             self->on_written(ec, n);
                           });
}

void Connection::on_written(const error_code& ec, std::size_t n) {
  writing_ = false;
  if (state_ == State::kClosed) return;
  if (ec) return drop();
  sent_ += n;
  pump();
}

void Connection::flushed() {
  if (state_ == State::kWriting) {
    if (file_ && file_->left > 0) return next_file_part();
    return answer_done();
  }
  if (state_ != State::kStreaming) return;  // after 100 Continue
  if (stream_ending_) return answer_done();
  stream_->taken();
}

}  // namespace polysome::api
