// The answers routes give: JSON, problem objects (RFC 9457) and the bytes of a response's head.
#pragma once

#include <string>
#include <string_view>

#include "api/http_message.h"
#include "base/error.h"
#include "model/json.h"

namespace polysome::api {

HttpResponse json_answer(const Json& body, int status = 200);
// application/problem+json with the code's status, Retry-After where the error has one.
HttpResponse problem_answer(const Error& error);
// The same with members of the problem object added (job_id …).
HttpResponse problem_answer(const Error& error, const Json& more);
// A Reply<Json> that answers the request.
inline auto answer_with(Responder to) {
  return [to = std::move(to)](const Result<Json>& result) {
    to->send(result ? json_answer(*result) : problem_answer(result.error()));
  };
}

// How the body's end is told to the client.
enum class Framing { kLength, kChunked, kUntilClose, kNone };
struct HeadOptions {
  Framing framing = Framing::kLength;
  std::uint64_t length = 0;
  bool close = false;
  bool http_1_0 = false;
};
// Status line and headers with the blank line. Control characters in values become spaces.
std::string response_head(const HttpResponse& response, const HeadOptions& options);
// Content-Disposition of a download: an ASCII name and the exact one (RFC 6266).
std::string attachment(std::string_view file_name);

}  // namespace polysome::api
