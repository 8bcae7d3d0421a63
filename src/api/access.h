// Who may call, and as whom (contract "Who may call"): users of this machine by the owner of their
// socket, holders of a token from anywhere; never a foreign page that makes a browser call us, nor
// a proxy nobody vouched for. Owned by the router; loop thread. Reads the token file again when it
// has changed; a file gone bad leaves the tokens as they were.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/http_message.h"
#include "base/clock.h"
#include "base/result.h"
#include "model/access_tokens.h"

namespace polysome::api {

// An address with the number of its leading bits that count.
struct Network {
  std::vector<std::uint8_t> bytes;  // 4 or 16
  int bits = 0;
};
// "10.0.0.0/8", "::1", "192.0.2.7". Errors: kInvalid.
Result<Network> parse_network(const std::string& text);
bool contains(const Network& network, const std::string& address);

struct AccessConfig {
  std::string token_file;                  // empty: no tokens
  std::vector<std::string> allow_origins;  // of pages, "https://lab.example"
  std::vector<std::string> allow_hosts;    // beside localhost, without port
  std::vector<Network> trust_proxies;
  std::vector<gid_t> allow_groups;
  bool allow_all_local = false;
  // Whether the system tells who owns a socket; if not, all local callers are "anonymous".
  bool owners_known = true;
};

class Access {
 public:
  explicit Access(AccessConfig config) : config_(std::move(config)) {}

  // Reads the token file for the first time. Errors: kForbidden for one that others may read,
  // kInvalid for a bad line, kIo.
  Status load_tokens();
  std::size_t tokens() const { return tokens_.size(); }
  const std::string& token_file() const { return config_.token_file; }

  // By the head alone. Errors: kUnauthorized, kForbidden, with the way out.
  Result<Caller> admit(const HttpRequest& head);
  // The page's origin, if it is a foreign one that may call (its answers must say so).
  std::optional<std::string> foreign_origin(const HttpRequest& head) const;

 private:
  struct Member {
    bool may = false;
    MonoTime until = 0;
  };
  Status check_page(const HttpRequest& head) const;
  Result<std::string> origin_of_call(const HttpRequest& head) const;
  std::optional<std::string> token_of(std::string_view authorization) const;
  Result<Caller> by_token(const HttpRequest& head, std::string_view authorization);
  Result<Caller> local_user(const HttpRequest& head);
  bool in_allowed_group(uid_t uid);
  Error no_token(const std::string& why) const;
  void reload_tokens();

  AccessConfig config_;
  std::vector<AccessToken> tokens_;
  std::string seen_;  // identity of the file the tokens came from
  std::unordered_map<uid_t, Member> members_;
};

// Errors: kForbidden; `what` says what only admins may: "change the limits".
Status check_admin(const Caller& caller, std::string_view what);
// The ids of groups by name or number. Errors: kInvalid.
Result<gid_t> group_of(const std::string& name);

}  // namespace polysome::api
