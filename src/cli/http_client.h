// A blocking HTTP/1.1 client for one service: one request at a time over one kept connection.
// Bodies are collected or streamed. Ends early on Ctrl-C when interrupt.h catches it. No redirects,
// no TLS, no proxy: the service listens on this machine or at the end of a tunnel.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace polysome::cli {

struct HttpAsk {
  std::string method = "GET";
  std::string target;               // "/api/processing/…", encoded
  std::optional<std::string> body;  // JSON
  std::vector<std::pair<std::string, std::string>> headers;
  Millis quiet{60'000};  // longest time without a byte
  // Takes the body of a 2xx answer as it comes; else it is collected.
  std::function<Status(std::string_view)> sink;
};

struct HttpAnswer {
  int status = 0;
  std::string body;
};

class HttpClient {
 public:
  // Errors: kInvalid for anything but http://HOST[:PORT].
  static Result<HttpClient> open(const std::string& url);
  HttpClient(HttpClient&& other) noexcept;
  HttpClient& operator=(HttpClient&&) = delete;
  ~HttpClient();

  // Errors: kUnavailable (nobody there, or the connection broke), kCancelled (interrupted),
  // kTimeout; what the sink says. An answer of any status is a success here.
  Result<HttpAnswer> send(const HttpAsk& ask);
  const std::string& url() const { return url_; }
  bool is_this_machine() const;
  // Sent with every request.
  void set_token(std::string token) { token_ = std::move(token); }

 private:
  HttpClient() = default;
  Status connect();
  void close();
  Status write(std::string_view text, Millis quiet);
  // Waits for `events`; the error tells why not.
  Status wait(short events, Millis quiet);
  Result<HttpAnswer> read_answer(const HttpAsk& ask, bool* nothing_came);
  Error broken(std::string_view why) const;

  std::string url_, host_, port_, token_;
  int fd_ = -1;
};

// Percent-encoding of a path segment or query value (RFC 3986 unreserved characters stay).
std::string encode(std::string_view text);

}  // namespace polysome::cli
