// Sockets are ours (poll gives time limits and Ctrl-C); the answers are read by Beast's parser.
#include "cli/http_client.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "cli/interrupt.h"

namespace polysome::cli {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

constexpr Millis kConnectTime{10'000};

// A Beast body that hands each piece on.
struct PieceBody {
  using value_type = std::function<bool(std::string_view)>;  // false: stop

  class reader {
   public:
    template <bool isRequest, class Fields>
    reader(http::header<isRequest, Fields>&, value_type& take) : take_(take) {}
    void init(const boost::optional<std::uint64_t>&, error_code& ec) { ec = {}; }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, error_code& ec) {
      ec = {};
      std::size_t n = 0;
      for (auto it = boost::asio::buffer_sequence_begin(buffers);
           it != boost::asio::buffer_sequence_end(buffers); ++it) {
        const boost::asio::const_buffer piece = *it;
        if (!take_({static_cast<const char*>(piece.data()), piece.size()})) {
          ec = http::error::need_buffer;
          return n;
        }
        n += piece.size();
      }
      return n;
    }
    void finish(error_code& ec) { ec = {}; }

   private:
    value_type& take_;
  };
};

}  // namespace

std::string encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain)
      out += c;
    else
      out += fmt::format("%{:02X}", u);
  }
  return out;
}

Result<HttpClient> HttpClient::open(const std::string& url) {
  const auto bad = [&](std::string_view why) {
    return fail(Code::kInvalid, fmt::format("\"{}\" is not the address of a service: {}", url, why),
                "write it as http://localhost:8001");
  };
  std::string_view rest = url;
  if (rest.starts_with("https://")) return bad("this version speaks http only");
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty() || rest.find_first_of("/?#@ ") != std::string_view::npos)
    return bad("it has more or less than a host and a port");
  HttpClient out;
  const auto colon = rest.rfind(':');
  const auto bracket = rest.rfind(']');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  out.host_ = rest.substr(0, has_port ? colon : rest.size());
  out.port_ = has_port ? rest.substr(colon + 1) : "8001";
  if (out.port_.empty() || out.port_.size() > 5 ||
      out.port_.find_first_not_of("0123456789") != std::string::npos)
    return bad("the port is not a number");
  if (out.host_.starts_with('[') && out.host_.ends_with(']'))
    out.host_ = out.host_.substr(1, out.host_.size() - 2);
  if (out.host_.empty()) return bad("there is no host");
  out.url_ = fmt::format("http://{}", rest);
  return out;
}

HttpClient::HttpClient(HttpClient&& other) noexcept
    : url_(std::move(other.url_)),
      host_(std::move(other.host_)),
      port_(std::move(other.port_)),
      token_(std::move(other.token_)),
      fd_(std::exchange(other.fd_, -1)) {}

HttpClient::~HttpClient() { close(); }

bool HttpClient::is_this_machine() const {
  return host_ == "localhost" || host_ == "::1" || host_.starts_with("127.");
}

void HttpClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Error HttpClient::broken(std::string_view why) const {
  return {Code::kUnavailable, fmt::format("the connection to Polysome at {} broke: {}", url_, why),
          "look whether the service still runs, then try again"};
}

Status HttpClient::wait(short events, Millis quiet) {
  const MonoTime end = mono_now() + quiet.count();
  for (;;) {
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    const MonoTime left = end - mono_now();
    if (left <= 0)
      return fail(Code::kTimeout,
                  fmt::format("Polysome at {} did not answer for {} s", url_, quiet.count() / 1000),
                  "look at the service's log");
    pollfd p{fd_, events, 0};
    const int n = ::poll(&p, 1, static_cast<int>(left));
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return fail(broken(std::strerror(errno)));
  }
}

Status HttpClient::connect() {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int rc = ::getaddrinfo(host_.c_str(), port_.c_str(), &hints, &found); rc != 0)
    return fail(Code::kUnavailable,
                fmt::format("cannot find the host of {}: {}", url_, ::gai_strerror(rc)),
                "check --url or POLYSOME_URL");
  int why = ENOENT;
  for (const addrinfo* a = found; a != nullptr && fd_ < 0; a = a->ai_next) {
    fd_ = ::socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) {
      why = errno;
      continue;
    }
    int problem = ::connect(fd_, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (problem == EINPROGRESS || problem == EINTR) {
      if (const auto ready = wait(POLLOUT, kConnectTime); !ready) {
        if (ready.error().code == Code::kCancelled) {
          close();
          ::freeaddrinfo(found);
          return ready;
        }
        problem = ETIMEDOUT;
      } else {
        socklen_t size = sizeof(problem);
        ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &problem, &size);
      }
    }
    if (problem != 0) {
      why = problem;
      close();
    }
  }
  ::freeaddrinfo(found);
  if (fd_ < 0)
    return fail(Code::kUnavailable,
                fmt::format("no Polysome at {} ({})", url_,
                            why == ECONNREFUSED ? "nobody listens there" : std::strerror(why)),
                "start it: polysome serve");
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return {};
}

Status HttpClient::write(std::string_view text, Millis quiet) {
  while (!text.empty()) {
    const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN || errno == EINTR) {
      POLYSOME_TRY(wait(POLLOUT, quiet));
    } else {
      return fail(broken(std::strerror(errno)));
    }
  }
  return {};
}

Result<HttpAnswer> HttpClient::read_answer(const HttpAsk& ask, bool* nothing_came) {
  HttpAnswer out;
  Status sunk;
  http::response_parser<PieceBody> parser;
  parser.body_limit(boost::none);
  parser.eager(true);
  parser.get().body() = [&](std::string_view piece) {
    const int status = static_cast<int>(parser.get().result_int());
    if (!ask.sink || status < 200 || status > 299) {
      out.body += piece;
      return true;
    }
    sunk = ask.sink(piece);
    return sunk.has_value();
  };
  std::string unread;
  std::array<char, 65'536> part;
  while (!parser.is_done()) {
    const ssize_t n = ::recv(fd_, part.data(), part.size(), 0);
    if (n < 0) {
      if (errno != EAGAIN && errno != EINTR) return fail(broken(std::strerror(errno)));
      POLYSOME_TRY(wait(POLLIN, ask.quiet));
      continue;
    }
    error_code ec;
    if (n == 0) {
      if (*nothing_came) return fail(broken("the service closed it"));
      parser.put_eof(ec);
      if (ec || !parser.is_done()) return fail(broken("the answer ended too early"));
      break;
    }
    *nothing_came = false;
    unread.append(part.data(), static_cast<std::size_t>(n));
    while (!unread.empty() && !parser.is_done()) {
      const std::size_t used = parser.put(boost::asio::buffer(unread), ec);
      unread.erase(0, used);
      if (!sunk) return fail(sunk.error());
      if (ec == http::error::need_more) break;
      if (ec) return fail(broken(fmt::format("unreadable answer ({})", ec.message())));
    }
  }
  out.status = static_cast<int>(parser.get().result_int());
  if (!parser.get().keep_alive()) close();
  return out;
}

Result<HttpAnswer> HttpClient::send(const HttpAsk& ask) {
  std::string head = fmt::format(
      "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: polysome/{}\r\nAccept: application/json, */*\r\n",
      ask.method, ask.target, url_.substr(7), POLYSOME_VERSION);
  if (!token_.empty()) head += fmt::format("Authorization: Bearer {}\r\n", token_);
  for (const auto& [name, value] : ask.headers) head += fmt::format("{}: {}\r\n", name, value);
  if (ask.body)
    head +=
        fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", ask.body->size());
  else if (ask.method != "GET")
    head += "Content-Length: 0\r\n";
  head += "\r\n";
  if (ask.body) head += *ask.body;
  for (;;) {
    const bool kept = fd_ >= 0;
    if (!kept) POLYSOME_TRY(connect());
    bool nothing_came = true;
    Result<HttpAnswer> answer = HttpAnswer{};
    if (const auto sent = write(head, ask.quiet); sent)
      answer = read_answer(ask, &nothing_came);
    else
      answer = fail(sent.error());
    if (answer) return answer;
    close();
    // A kept connection may have been closed at its idle limit: ask again on a new one.
    const bool stale = kept && nothing_came && answer.error().code == Code::kUnavailable;
    if (!stale) return answer;
  }
}

}  // namespace polysome::cli
