#include "api/request_parser.h"

#include <gtest/gtest.h>

namespace polysome::api {
namespace {

// Parses a whole request given at once; the error of the head or body.
Result<HttpRequest> parse(const std::string& bytes, std::size_t body_limit = 1000) {
  HttpRequest request;
  RequestParser parser;
  POLYSOME_ASSIGN(const std::size_t end, find_head_end(bytes, 0));
  if (end == std::string::npos) return fail(Code::kTimeout, "incomplete head");
  POLYSOME_TRY(parser.parse_head(std::string_view(bytes).substr(0, end), &request));
  POLYSOME_TRY(parser.limit_body(body_limit));
  POLYSOME_TRY(parser.feed(std::string_view(bytes).substr(end), &request));
  if (!parser.done()) return fail(Code::kTimeout, "incomplete body");
  return request;
}

std::string post(const std::string& headers, const std::string& body) {
  return "POST /x HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n" + body;
}

TEST(RequestParser, ReadsPathQueryHeadersAndBody) {
  const auto r = parse(
      "POST /api/a%2Fb/c%C3%A4?x=1&y=a+b%26&z HTTP/1.1\r\nHost: localhost:1\r\nX-A:  v \r\n"
      "Content-Length: 3\r\n\r\nabc");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->method, "POST");
  EXPECT_EQ(r->segments, (std::vector<std::string>{"api", "a/b", "cä"}));
  ASSERT_EQ(r->query.size(), 3u);
  EXPECT_EQ(r->query[1], (std::pair<std::string, std::string>{"y", "a b&"}));
  EXPECT_EQ(r->query[2].second, "");
  EXPECT_EQ(r->header("x-a"), "v");
  EXPECT_EQ(r->body, "abc");
}

TEST(RequestParser, ReadsChunksHoweverTheyArrive) {
  const std::string bytes =
      post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nHost: t\r\n\r\n");
  const auto whole = parse(bytes);
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->body, "abcde");
  EXPECT_EQ(whole->header("Host"), "localhost") << "a trailer is no header";
  // Byte by byte, with what was not used given again.
  HttpRequest request;
  RequestParser parser;
  const std::size_t end = *find_head_end(bytes, 0);
  ASSERT_TRUE(parser.parse_head(bytes.substr(0, end), &request));
  ASSERT_TRUE(parser.limit_body(1000));
  std::string left;
  for (const char c : bytes.substr(end)) {
    ASSERT_FALSE(parser.done());
    left.push_back(c);
    const auto used = parser.feed(left, &request);
    ASSERT_TRUE(used) << used.error().message;
    left.erase(0, *used);
  }
  EXPECT_TRUE(parser.done());
  EXPECT_EQ(request.body, "abcde");
}

TEST(RequestParser, RefusesWhatOthersMayReadInAnotherWay) {
  const std::vector<std::string> bad{
      post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
      post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
      post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
      post("Content-Length: 3, 3\r\n", "abc"),
      post("Content-Length: +3\r\n", "abc"),
      post("Content-Length: -1\r\n", ""),
      post("Content-Length: 0x3\r\n", "abc"),
      post("Content-Length: 99999999999999999999999\r\n", "abc"),
      post("Content-Length:\r\n", ""),
      post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: identity\r\n", ""),
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      post("X-A: b\r\n folded\r\n", ""),
      post("X-A : b\r\n", ""),
      post(std::string("X-A: b\0c\r\n", 10), ""),
      post("X-A: b\rc\r\n", ""),
      post("Host: localhost\r\n", ""),
      post("X-A: b\nX-B: c\r\n", ""),
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\nHost: localhost\n\n",
      "GET / HTTP/3.1\r\nHost: localhost\r\n\r\n",
      "GET x HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /\r\n\r\n",
      "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "\x16\x03\x01\x02 tls hello\r\n\r\n",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /%FF HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET /?a=%C0%AF HTTP/1.1\r\nHost: localhost\r\n\r\n",
      post("Transfer-Encoding: chunked\r\n", "zz\r\nabc\r\n0\r\n\r\n"),
      post("Transfer-Encoding: chunked\r\n", "3\r\nabcde\r\n0\r\n\r\n"),
      post("Transfer-Encoding: chunked\r\n", "-3\r\nabc\r\n0\r\n\r\n"),
      post("Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"),
  };
  for (const auto& bytes : bad) {
    const auto r = parse(bytes);
    ASSERT_FALSE(r) << bytes;
    EXPECT_EQ(r.error().code, Code::kMalformed) << bytes << "\n" << r.error().message;
  }
}

TEST(RequestParser, RefusesBodiesOverTheLimitAnnouncedOrNot) {
  EXPECT_TRUE(parse(post("Content-Length: 10\r\n", "0123456789"), 10));
  EXPECT_EQ(parse(post("Content-Length: 11\r\n", ""), 10).error().code, Code::kTooLarge);
  EXPECT_EQ(parse(post("Transfer-Encoding: chunked\r\n", "b\r\n0123456789a\r\n0\r\n\r\n"), 10)
                .error()
                .code,
            Code::kTooLarge);
  EXPECT_EQ(
      parse(post("Transfer-Encoding: chunked\r\n", "8\r\n01234567\r\n3\r\n890\r\n0\r\n\r\n"), 10)
          .error()
          .code,
      Code::kTooLarge);
}

TEST(RequestParser, TakesTheHostOfAnAbsoluteTarget) {
  const auto r = parse("GET http://evil.example/livez?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->header("Host"), "evil.example");
  EXPECT_EQ(r->segments, std::vector<std::string>{"livez"});
}

}  // namespace
}  // namespace polysome::api
