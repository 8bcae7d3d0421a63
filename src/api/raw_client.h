// For tests: a client that writes bytes and reads answers over a blocking socket. Waits are bounded
// by a generous time, after which what was read so far is the answer.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <string>
#include <string_view>

#include "api/http_message.h"
#include "model/json.h"

namespace polysome::api {

struct RawAnswer {
  int status = 0;  // 0: the connection ended without one
  std::string head;
  std::string body;

  std::string header(std::string_view name) const {
    for (std::size_t at = head.find("\r\n"); at != std::string::npos; at = head.find("\r\n", at)) {
      at += 2;
      const auto colon = head.find(": ", at);
      if (colon != std::string::npos &&
          same_name(std::string_view(head).substr(at, colon - at), name))
        return head.substr(colon + 2, head.find("\r\n", colon) - colon - 2);
    }
    return {};
  }
  Json json() const { return parse_json(body, {.bytes = 100'000'000}).value_or(Json()); }
};

class RawClient {
 public:
  explicit RawClient(std::uint16_t port, bool v6 = false, int receive_buffer = 0) {
    fd_ = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    six.sin6_addr = in6addr_loopback;
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* end =
        v6 ? reinterpret_cast<const sockaddr*>(&six) : reinterpret_cast<const sockaddr*>(&four);
    connected_ = ::connect(fd_, end, v6 ? sizeof(six) : sizeof(four)) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  // False when the server has cut the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  void end_sending() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  // The next answer, whole. `no_body`: to HEAD.
  RawAnswer answer(bool no_body = false) {
    RawAnswer out;
    if (!read_until("\r\n\r\n")) return out;
    const auto end = in_.find("\r\n\r\n") + 4;
    out.head = in_.substr(0, end);
    in_.erase(0, end);
    out.status = std::stoi(out.head.substr(9, 3));
    if (no_body || out.status == 204 || out.status == 304 || out.status == 100) return out;
    if (out.header("Transfer-Encoding") == "chunked") {
      while (read_until("\r\n")) {
        const auto size = std::stoul(in_, nullptr, 16);
        in_.erase(0, in_.find("\r\n") + 2);
        while (in_.size() < size + 2 && receive()) {
        }
        out.body += in_.substr(0, size);
        in_.erase(0, size + 2);
        if (size == 0) break;
      }
      return out;
    }
    const auto length = std::stoul("0" + out.header("Content-Length"));
    while (in_.size() < length && receive()) {
    }
    out.body = in_.substr(0, length);
    in_.erase(0, length);
    return out;
  }
  // Reads on until `text` has come; what was read stays for answer().
  bool read_until(std::string_view text) {
    while (in_.find(text) == std::string::npos)
      if (!receive()) return false;
    return true;
  }
  // True when the server ends the connection (nothing else may come).
  bool ended() {
    while (receive()) {
    }
    return over_;
  }
  const std::string& unread() const { return in_; }

 private:
  bool receive() {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, 30'000) <= 0) return false;
    std::array<char, 65536> bytes{};
    const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), 0);
    over_ = n <= 0;
    if (n > 0) in_.append(bytes.data(), static_cast<std::size_t>(n));
    return n > 0;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool over_ = false;
  std::string in_;
};

}  // namespace polysome::api
