// The steps that submit, validate and retry share: the body read and its rights checked, the key of
// repeats, the answer. Loop thread.
#pragma once

#include <string>

#include "api/backend.h"
#include "api/http_message.h"

namespace polysome::api {

// The request with `user` filled in. Errors: as parse_submit; kForbidden for another user's name or
// result.
Result<SubmitRequest> read_submit(const Json& body, const Caller& caller, Backend& backend);
// The same for a request that is read already.
Status check_rights(SubmitRequest* request, const Caller& caller, Backend& backend);
// "" when there is none. Errors: kInvalid.
Result<std::string> idempotency_key(const HttpRequest& request);
// Tells an idempotent repeat from another request: of the body with sorted members.
std::string hash_of(const Json& body);
// Answers with Location, and Idempotency-Replayed for a repeat.
Reply<SubmitAnswer> answer_submit(const Responder& to);

}  // namespace polysome::api
