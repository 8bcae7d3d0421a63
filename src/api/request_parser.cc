#include "api/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include "api/request_target.h"
#include "base/bytes.h"

namespace polysome::api {
namespace {

namespace http = boost::beast::http;
using boost::beast::string_view;

constexpr std::size_t kMostHeaders = 100;
constexpr std::uint64_t kMostReserved = 1U << 20;

std::string_view plain(string_view s) { return {s.data(), s.size()}; }

Error malformed(std::string message) {
  return Error(Code::kMalformed, std::move(message), "send a request as RFC 9112 has it");
}

// What Beast would let pass: folded lines and control characters.
Status check_lines(std::string_view head) {
  for (std::size_t i = 0; i < head.size(); ++i) {
    const auto c = static_cast<unsigned char>(head[i]);
    if (c == '\r' && i + 1 < head.size() && head[i + 1] == '\n') {
      ++i;
      if (i + 1 < head.size() && (head[i + 1] == ' ' || head[i + 1] == '\t'))
        return fail(malformed("a header is folded over two lines"));
    } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
      return fail(malformed(fmt::format("the head holds the control character 0x{:02X}", c)));
    }
  }
  return {};
}

Result<std::string_view> single(const HttpRequest& request, std::string_view name) {
  const auto count = std::ranges::count_if(
      request.headers, [&](const Header& h) { return same_name(h.name, name); });
  if (count > 1)
    return fail(malformed(fmt::format("the header {} is there {} times", name, count)));
  return request.header(name).value_or("");
}

// Framing must be beyond doubt, and there must be one Host.
Status check_headers(const HttpRequest& request, bool http_1_0) {
  POLYSOME_ASSIGN(const std::string_view length, single(request, "Content-Length"));
  POLYSOME_ASSIGN(const std::string_view encoding, single(request, "Transfer-Encoding"));
  POLYSOME_TRY(single(request, "Host"));
  POLYSOME_TRY(single(request, "Content-Type"));
  POLYSOME_TRY(single(request, "Origin"));
  if (!request.header("Host") && !http_1_0) return fail(malformed("the header Host is missing"));
  if (request.header("Content-Length") &&
      (length.empty() || !std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; })))
    return fail(malformed(fmt::format("Content-Length \"{}\" is not a number", length)));
  if (request.header("Transfer-Encoding")) {
    if (http_1_0) return fail(malformed("Transfer-Encoding is not part of HTTP/1.0"));
    if (request.header("Content-Length"))
      return fail(malformed("Content-Length and Transfer-Encoding exclude each other"));
    if (!same_name(encoding, "chunked"))
      return fail(malformed(
          fmt::format("Transfer-Encoding \"{}\" is not known; only chunked is", encoding)));
  }
  return {};
}

// "http://host:port/path" is the same as "/path" with that Host (RFC 9112, 3.2.2).
Status take_absolute_form(HttpRequest* request) {
  constexpr std::string_view kScheme = "http://";
  if (request->target.starts_with('/')) return {};
  if (!same_name(std::string_view(request->target).substr(0, kScheme.size()), kScheme))
    return fail(
        malformed(fmt::format("the target \"{}\" is not a path", request->target.substr(0, 100))));
  const std::string_view rest = std::string_view(request->target).substr(kScheme.size());
  const auto path = rest.find_first_of("/?");
  const std::string authority(rest.substr(0, path));
  std::string target(path == std::string_view::npos ? "/" : rest.substr(path));
  if (target.starts_with('?')) target.insert(0, "/");
  for (auto& h : request->headers)
    if (same_name(h.name, "Host")) h.value = authority;
  request->target = std::move(target);
  return {};
}

}  // namespace

class RequestParser::Beast final : public http::basic_parser<true> {
 public:
  HttpRequest* request = nullptr;
  int version = 11;
  bool head_done = false;

 private:
  void on_request_impl(http::verb, string_view method, string_view target, int v,
                       boost::beast::error_code&) override {
    request->method = plain(method);
    request->target = plain(target);
    version = v;
  }
  void on_response_impl(int, string_view, int, boost::beast::error_code&) override {}
  void on_field_impl(http::field, string_view name, string_view value,
                     boost::beast::error_code& ec) override {
    if (head_done) return;  // trailers change nothing
    if (request->headers.size() >= kMostHeaders) ec = http::error::header_limit;
    request->headers.push_back({std::string(plain(name)), std::string(plain(value))});
  }
  void on_header_impl(boost::beast::error_code&) override { head_done = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>& length,
                         boost::beast::error_code&) override {
    // Larger ones do not stay in memory.
    request->body.reserve(
        static_cast<std::size_t>(std::min<std::uint64_t>(length.value_or(0), kMostReserved)));
  }
  std::size_t on_body_impl(string_view bytes, boost::beast::error_code&) override {
    request->body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, string_view, boost::beast::error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes,
                                 boost::beast::error_code&) override {
    request->body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(boost::beast::error_code&) override {}
};

namespace {

Error too_large(std::size_t most) {
  return Error(Code::kTooLarge, fmt::format("the body is over {}", format_bytes(most)),
               "data goes into files below a data folder; a request only names them");
}

Error error_of(const boost::beast::error_code& ec) {
  if (ec == http::error::header_limit)
    return Error(Code::kHeadersTooLarge, "the request's headers are over 8 kB or more than 100");
  return malformed(fmt::format("not a request: {}", ec.message()));
}

}  // namespace

Result<std::size_t> find_head_end(std::string_view bytes, std::size_t from) {
  for (std::size_t i = from; (i = bytes.find('\n', i)) != std::string_view::npos; ++i) {
    if (i == 0 || bytes[i - 1] != '\r')
      return fail(malformed("a line of the head ends without a carriage return"));
    if (i >= 3 && bytes.substr(i - 3, 4) == "\r\n\r\n") return i + 1;
  }
  return std::string_view::npos;
}

RequestParser::RequestParser() : beast_(std::make_unique<Beast>()) {
  beast_->body_limit(boost::none);  // limit_body and feed look at it: it depends on the route
  beast_->header_limit(1U << 20);   // the connection has its own, smaller limit
  beast_->eager(false);
}

RequestParser::~RequestParser() = default;

Status RequestParser::parse_head(std::string_view head, HttpRequest* request) {
  POLYSOME_TRY(check_lines(head));
  beast_->request = request;
  boost::beast::error_code ec;
  beast_->put(boost::asio::const_buffer(head.data(), head.size()), ec);
  // Beast judges lengths before we do; its answers to clashing ones are malformed as well.
  if (ec) return fail(error_of(ec));
  if (!beast_->is_header_done()) return fail(malformed("the head is incomplete"));
  POLYSOME_TRY(check_headers(*request, http_1_0()));
  POLYSOME_TRY(take_absolute_form(request));
  request->content_length = beast_->content_length().value_or(0);
  return parse_target(request);
}

Status RequestParser::limit_body(std::size_t most) {
  most_ = most;
  if (beast_->content_length().value_or(0) > most) return fail(too_large(most));
  return {};
}

Result<std::size_t> RequestParser::feed(std::string_view bytes, HttpRequest* request) {
  beast_->request = request;
  std::size_t used = 0;
  while (!beast_->is_done() && used < bytes.size()) {
    boost::beast::error_code ec;
    const std::size_t n =
        beast_->put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), ec);
    used += n;
    if (request->body.size() > most_) return fail(too_large(most_));
    if (ec == http::error::need_more) break;
    if (ec) return fail(error_of(ec));
    if (n == 0) break;
  }
  return used;
}

bool RequestParser::done() const { return beast_->is_done(); }
bool RequestParser::keep_alive() const { return beast_->keep_alive(); }
bool RequestParser::http_1_0() const { return beast_->version < 11; }

}  // namespace polysome::api
