// For tests: an HTTP server on a free port of 127.0.0.1 that answers each request with what a
// function says, raw, on a thread of its own. One connection at a time.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace polysome::cli {

struct FakeAnswer {
  std::vector<std::string> pieces;  // sent one after the other
  bool close = false;
};

inline FakeAnswer json_answer(const std::string& body, const std::string& status = "200 OK") {
  return {{"HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body}};
}

class FakeService {
 public:
  using Handler = std::function<FakeAnswer(const std::string& line, const std::string& request)>;

  explicit FakeService(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) == 0 && ::listen(listener_, 8) == 0)
      ::getsockname(listener_, generic, &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeService() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }

 private:
  bool readable(int fd) const {
    while (!stop_) {
      pollfd p{fd, POLLIN, 0};
      if (::poll(&p, 1, 20) > 0) return true;
    }
    return false;
  }
  void serve() {
    while (readable(listener_)) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ++connections_;
      talk(fd);
      ::close(fd);
    }
  }
  void talk(int fd) {
    std::string unread;
    std::array<char, 4096> part;
    while (readable(fd)) {
      const ssize_t n = ::recv(fd, part.data(), part.size(), 0);
      if (n <= 0) return;
      unread.append(part.data(), static_cast<std::size_t>(n));
      const auto head = unread.find("\r\n\r\n");
      if (head == std::string::npos) continue;
      const auto length = unread.find("Content-Length: ");
      const std::size_t body =
          length < head ? static_cast<std::size_t>(std::stoul(unread.substr(length + 16))) : 0;
      if (unread.size() < head + 4 + body) continue;
      const FakeAnswer answer = handler_(unread.substr(0, unread.find("\r\n")), unread);
      unread.clear();
      for (const auto& piece : answer.pieces)
        (void)!::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL);
      if (answer.close) return;
    }
  }

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

}  // namespace polysome::cli
