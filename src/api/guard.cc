#include "api/guard.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <string>

namespace polysome::api {
namespace {

struct Authority {
  std::string_view host;  // with brackets
  std::string_view port;  // may be empty
};

// host[:port]; nullopt for anything else (user info, spaces, a bad port).
std::optional<Authority> parse_authority(std::string_view text) {
  Authority out;
  std::size_t end = 0;
  if (text.starts_with('[')) {
    end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    ++end;
  } else {
    end = std::min(text.find(':'), text.size());
  }
  out.host = text.substr(0, end);
  if (end == text.size()) return out;
  if (text[end] != ':') return std::nullopt;
  out.port = text.substr(end + 1);
  if (out.port.empty() || out.port.size() > 5) return std::nullopt;
  for (const char c : out.port)
    if (c < '0' || c > '9') return std::nullopt;
  return out;
}

bool is_json(std::string_view content_type) {
  const auto semicolon = content_type.find(';');
  std::string_view type = content_type.substr(0, semicolon);
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  if (!same_name(type, "application/json")) return false;
  if (semicolon == std::string_view::npos) return true;
  // The only parameter in use; anything but UTF-8 would be read wrongly.
  std::string rest;
  for (const char c : content_type.substr(semicolon))
    if (c != ' ' && c != '\t' && c != '"') rest.push_back(c);
  return rest == ";" || same_name(rest, ";charset=utf-8") || same_name(rest, ";charset=utf8");
}

}  // namespace

bool is_forwarding(std::string_view name) {
  static constexpr std::array kNames{"Forwarded",           "Via",
                                     "X-Real-IP",           "X-Client-IP",
                                     "True-Client-IP",      "CF-Connecting-IP",
                                     "X-Cluster-Client-IP", "X-ProxyUser-IP"};
  for (const std::string_view known : kNames)
    if (same_name(name, known)) return true;
  constexpr std::string_view kPrefix = "X-Forwarded";
  return same_name(name.substr(0, kPrefix.size()), kPrefix);
}

Status check_host(std::string_view host, const std::vector<std::string>& allowed) {
  const auto authority = parse_authority(host);
  if (authority && (same_name(authority->host, "localhost") || authority->host == "127.0.0.1" ||
                    authority->host == "[::1]"))
    return {};
  if (authority)
    for (const auto& name : allowed)
      if (same_name(authority->host, name)) return {};
  const std::string asked(host.substr(0, 100));
  return fail(Code::kForbidden,
              fmt::format("the request is for the host \"{}\"; this service answers to localhost, "
                          "127.0.0.1 and [::1]",
                          asked),
              authority ? fmt::format("use http://localhost:PORT/, call with a token, or start the "
                                      "service with --allow-host {}",
                                      authority->host)
                        : std::string("use http://localhost:PORT/"));
}

Status check_origin(std::string_view origin, std::string_view host) {
  const auto refuse = [&] {
    return fail(Code::kForbidden,
                fmt::format("a page of \"{}\" may not call this service", origin.substr(0, 100)),
                fmt::format("programs send no Origin; for a page of yours start the service with "
                            "--allow-origin {}",
                            origin.substr(0, 100)));
  };
  std::string_view standard_port;
  std::string_view rest = origin;
  if (rest.starts_with("http://")) {
    standard_port = "80";
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    standard_port = "443";
    rest.remove_prefix(8);
  } else {
    return refuse();
  }
  const auto page = parse_authority(rest);
  const auto ours = parse_authority(host);
  if (!page || !ours || !same_name(page->host, ours->host)) return refuse();
  const auto port = [&](const Authority& a) { return a.port.empty() ? standard_port : a.port; };
  if (port(*page) != port(*ours)) return refuse();
  return {};
}

bool is_loopback_address(std::string_view address) {
  const std::string text(address);
  in_addr v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (::inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
  if (IN6_IS_ADDR_LOOPBACK(&v6)) return true;
  return IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127;
}

Status check_fetch_site(const HttpRequest& head) {
  const auto site = head.header("Sec-Fetch-Site");
  if (!site || same_name(*site, "same-origin") || same_name(*site, "none")) return {};
  return fail(
      Code::kForbidden,
      fmt::format("a browser calls for a foreign page (Sec-Fetch-Site: {})", site->substr(0, 40)),
      "type the address into the browser, call from the service's own page, or start the service "
      "with --allow-origin ORIGIN");
}

Status check_media(const HttpRequest& head, std::size_t body_bytes) {
  if (head.safe() || body_bytes == 0) return {};
  const auto type = head.header("Content-Type");
  if (type && is_json(*type)) return {};
  return fail(Code::kUnsupportedMedia,
              type ? fmt::format("the body is {}; only JSON is read", type->substr(0, 100))
                   : std::string("the body has no Content-Type; only JSON is read"),
              "send it with Content-Type: application/json (requests: json=…, curl: --json …)");
}

bool is_loopback_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return same_name(host, "localhost") || is_loopback_address(host);
}

Status check_bind_host(std::string_view host, bool has_tokens) {
  if (has_tokens || is_loopback_host(host)) return {};
  return fail(Code::kInvalid,
              fmt::format("--host {} lets other machines in, and there is no token to tell their "
                          "users apart",
                          host),
              "make a token first: polysome token new NAME; or use --host localhost and a tunnel: "
              "ssh -L 8001:localhost:8001 HOST");
}

}  // namespace polysome::api
