// One HTTP/1.1 request from bytes, strictly: what proxies and servers read in different ways
// (folded headers, bare line feeds, several lengths, Content-Length beside Transfer-Encoding) is
// refused, never guessed. The only file that knows Beast's parser. Loop thread; one parser a
// request.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "api/http_message.h"
#include "base/result.h"

namespace polysome::api {

// Where the head (request line, headers, blank line) ends, or npos. `from`: how far an earlier call
// has looked. Errors: kMalformed for a line that ends without a carriage return.
Result<std::size_t> find_head_end(std::string_view bytes, std::size_t from);

class RequestParser {
 public:
  RequestParser();
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // `head` ends with the blank line. Fills all of `request` but body and endpoints. Errors:
  // kMalformed.
  Status parse_head(std::string_view head, HttpRequest* request);
  // After the head, before the body. Errors: kTooLarge (announced body).
  Status limit_body(std::size_t most);
  // Takes body bytes into request->body; answers with the number used. Errors: kMalformed
  // (chunking), kTooLarge.
  Result<std::size_t> feed(std::string_view bytes, HttpRequest* request);

  bool done() const;
  bool keep_alive() const;
  bool http_1_0() const;

 private:
  class Beast;
  std::unique_ptr<Beast> beast_;
  std::size_t most_ = 0;
};

}  // namespace polysome::api
