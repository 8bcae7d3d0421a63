// The checks of a request's head that need nothing but the head: for whose pages a browser calls,
// under which name, with what media type; and what the service may listen on. Pure. access.h puts
// them together.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http_message.h"
#include "base/result.h"

namespace polysome::api {

// The name the request is for: localhost, 127.0.0.1, [::1] with any port, or one of `allowed`. A
// page elsewhere whose name points here (DNS rebinding) has another. Errors: kForbidden.
Status check_host(std::string_view host, const std::vector<std::string>& allowed = {});
// A page's origin must be the service's own address. Errors: kForbidden.
Status check_origin(std::string_view origin, std::string_view host);
// Sec-Fetch-Site: what a browser says of who makes it call. Errors: kForbidden.
Status check_fetch_site(const HttpRequest& head);
// Whether a header of this name tells that the request was forwarded.
bool is_forwarding(std::string_view name);
// An unsafe method has an empty body or JSON. `body_bytes`: announced or read. Errors:
// kUnsupportedMedia.
Status check_media(const HttpRequest& head, std::size_t body_bytes);
// Addresses the service may listen on: without tokens loopback ones only. "localhost" is 127.0.0.1
// and ::1. Errors: kInvalid with the way out.
Status check_bind_host(std::string_view host, bool has_tokens);
// "localhost", or such an address with or without brackets.
bool is_loopback_host(std::string_view host);
// 127.0.0.0/8, ::1 and its IPv4-mapped form, without brackets.
bool is_loopback_address(std::string_view address);

}  // namespace polysome::api
