// Who may call without a token (api.md 4, contract "Who may call"): programs on this machine, and
// pages of our own address, never a foreign page that makes a browser call us, nor a proxy. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "api/http_message.h"
#include "base/result.h"

namespace polysome::api {

// By head alone: both ends, forwarding headers, Host, Origin, Sec-Fetch-Site. Errors: kForbidden
// with the way out.
Status check_caller(const HttpRequest& head);
// An unsafe method has an empty body or JSON. `body_bytes`: announced or read. Errors:
// kUnsupportedMedia.
Status check_media(const HttpRequest& head, std::size_t body_bytes);
// Addresses the service may listen on: this version has no tokens, so only loopback ones.
// "localhost" is 127.0.0.1 and ::1. Errors: kInvalid with the way out.
Status check_bind_host(std::string_view host);
// 127.0.0.0/8, ::1 and its IPv4-mapped form, without brackets.
bool is_loopback_address(std::string_view address);

}  // namespace polysome::api
