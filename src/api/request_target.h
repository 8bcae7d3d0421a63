// The request target ("/a/b%20c?x=1") taken apart and percent-decoded. Pure.
#pragma once

#include "api/http_message.h"
#include "base/result.h"

namespace polysome::api {

// Fills segments and query of `request` from its target, which begins with "/". Errors: kMalformed
// for a broken escape, a NUL or bytes that are not UTF-8.
Status parse_target(HttpRequest* request);

}  // namespace polysome::api
