#include "api/access.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "api/caller.h"
#include "api/guard.h"
#include "base/files.h"
#include "base/log.h"

namespace polysome::api {
namespace {

// Membership of a group is asked again after this time.
constexpr MonoTime kMemberFor = 60'000;

std::vector<std::uint8_t> address_bytes(const std::string& text) {
  std::vector<std::uint8_t> out(4);
  if (::inet_pton(AF_INET, text.c_str(), out.data()) == 1) return out;
  out.resize(16);
  if (::inet_pton(AF_INET6, text.c_str(), out.data()) == 1) return out;
  return {};
}

// Basic credentials' decoded text; nullopt for what is no base64.
std::optional<std::string> from_base64(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    std::uint32_t value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<std::uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<std::uint32_t>(c - 'a' + 26);
    } else if (c >= '0' && c <= '9') {
      value = static_cast<std::uint32_t>(c - '0' + 52);
    } else if (c == '+' || c == '/') {
      value = c == '+' ? 62 : 63;
    } else {
      return std::nullopt;
    }
    bits = bits << 6 | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 255);
    }
  }
  return out;
}

std::string identity_of(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return {};
  return fmt::format("{}:{}:{}:{}:{}.{}", st.st_dev, st.st_ino, st.st_mode, st.st_size,
                     st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

const Header* forwarding_header(const HttpRequest& head) {
  const auto it =
      std::ranges::find_if(head.headers, [](const Header& h) { return is_forwarding(h.name); });
  return it == head.headers.end() ? nullptr : &*it;
}

// Probes of load balancers and supervisors tell and learn nothing, so they need no name.
bool is_probe(const HttpRequest& head) {
  return head.safe() && head.segments.size() == 1 &&
         (head.segments[0] == "livez" || head.segments[0] == "readyz");
}

}  // namespace

Result<Network> parse_network(const std::string& text) {
  const auto slash = std::min(text.find('/'), text.size());
  Network out{address_bytes(text.substr(0, slash)), 0};
  const int most = static_cast<int>(out.bytes.size()) * 8;
  out.bits = most;
  bool good = most > 0;
  if (good && slash < text.size()) {
    const char* last = text.data() + text.size();
    const auto [end, ec] = std::from_chars(text.data() + slash + 1, last, out.bits);
    good = ec == std::errc() && end == last && out.bits >= 0 && out.bits <= most;
  }
  if (!good)
    return fail(Code::kInvalid, fmt::format("\"{}\" is not an address or a network", text),
                "such as 10.0.0.7, 10.0.0.0/8 or fd00::/8");
  return out;
}

bool contains(const Network& network, const std::string& address) {
  const auto bytes = address_bytes(address);
  if (bytes.size() != network.bytes.size()) return false;
  for (int bit = 0; bit < network.bits; ++bit) {
    const auto at = static_cast<std::size_t>(bit / 8);
    const int mask = 128 >> bit % 8;
    if ((bytes[at] & mask) != (network.bytes[at] & mask)) return false;
  }
  return true;
}

Result<gid_t> group_of(const std::string& name) {
  std::vector<char> buffer(65'536);
  group entry{};
  group* found = nullptr;
  if (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
      found != nullptr)
    return entry.gr_gid;
  gid_t number = 0;
  const auto [end, ec] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (ec == std::errc() && end == name.data() + name.size() && !name.empty()) return number;
  return fail(Code::kInvalid, fmt::format("--allow-group {}: there is no such group", name),
              "getent group lists them");
}

Status Access::load_tokens() {
  if (config_.token_file.empty()) return {};
  seen_ = identity_of(config_.token_file);
  POLYSOME_ASSIGN(const std::string text, read_private_file(config_.token_file));
  POLYSOME_ASSIGN(tokens_, parse_tokens(text, config_.token_file));
  return {};
}

void Access::reload_tokens() {
  if (config_.token_file.empty()) return;
  std::string now = identity_of(config_.token_file);
  if (now == seen_) return;
  const auto loaded = load_tokens();
  seen_ = std::move(now);
  if (loaded)
    log::info("{}: {} token{} read", config_.token_file, tokens_.size(),
              tokens_.size() == 1 ? "" : "s");
  else
    log::warning("{}; the tokens stay as they were", loaded.error().message);
}

std::optional<std::string> Access::foreign_origin(const HttpRequest& head) const {
  const auto origin = head.header("Origin");
  if (!origin) return std::nullopt;
  for (const auto& allowed : config_.allow_origins)
    if (same_name(*origin, allowed)) return std::string(*origin);
  return std::nullopt;
}

// Which page, if any, makes its browser call.
Status Access::check_page(const HttpRequest& head) const {
  if (foreign_origin(head)) return {};
  if (const auto origin = head.header("Origin"))
    POLYSOME_TRY(check_origin(*origin, head.header("Host").value_or("")));
  return check_fetch_site(head);
}

// The address the call comes from: the peer's, or what a trusted proxy says of its own caller.
Result<std::string> Access::origin_of_call(const HttpRequest& head) const {
  const Header* forwarding = forwarding_header(head);
  if (forwarding == nullptr) return head.peer.address;
  const auto trusted = [&](const std::string& address) {
    return std::ranges::any_of(config_.trust_proxies,
                               [&](const Network& n) { return contains(n, address); });
  };
  if (!trusted(head.peer.address))
    return fail(Code::kForbidden,
                fmt::format("the call was forwarded by a proxy at {} (header {}), so its origin is "
                            "unknown",
                            head.peer.address, forwarding->name.substr(0, 100)),
                fmt::format("call directly, or start the service with --trust-proxy {}",
                            head.peer.address));
  // Each proxy adds its caller at the end; the first from there that is no proxy of ours counts.
  std::string_view list = head.header("X-Forwarded-For").value_or("");
  std::string out = head.peer.address;
  while (!list.empty()) {
    const auto comma = list.rfind(',');
    std::string_view one = comma == std::string_view::npos ? list : list.substr(comma + 1);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(0, comma);
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    if (address_bytes(std::string(one)).empty()) break;
    out = one;
    if (!trusted(out)) break;
  }
  return out;
}

Error Access::no_token(const std::string& why) const {
  const std::string file = config_.token_file.empty() ? "FILE" : config_.token_file;
  Error error(Code::kUnauthorized, why,
              fmt::format("make one where the service runs: polysome token new NAME --token-file "
                          "{}; send it as Authorization: Bearer, as password of Basic, or in "
                          "POLYSOME_TOKEN",
                          file));
  return error;
}

std::optional<std::string> Access::token_of(std::string_view authorization) const {
  const auto space = std::min(authorization.find(' '), authorization.size());
  std::string_view rest = authorization.substr(space);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  if (same_name(authorization.substr(0, space), "Bearer")) return std::string(rest);
  if (!same_name(authorization.substr(0, space), "Basic")) return std::nullopt;
  const auto decoded = from_base64(rest);
  if (!decoded) return std::nullopt;
  const auto colon = decoded->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return decoded->substr(colon + 1);
}

Result<Caller> Access::by_token(const HttpRequest& head, std::string_view authorization) {
  const auto token = token_of(authorization);
  if (!token) return fail(no_token("the Authorization header is neither Bearer nor Basic"));
  const AccessToken* known = find_token(tokens_, *token);
  if (known == nullptr) {
    log::warning("{} came with a token that is not known", head.peer.address);
    return fail(no_token("the token is not known to this service"));
  }
  return Caller{known->name, known->admin, known->submit_for};
}

bool Access::in_allowed_group(uid_t uid) {
  if (config_.allow_groups.empty()) return false;
  Member& member = members_[uid];
  if (const MonoTime now = mono_now(); now >= member.until) {
    member = {false, now + kMemberFor};
    std::vector<char> buffer(16'384);
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
      std::vector<gid_t> groups(64);
      int n = static_cast<int>(groups.size());
      if (::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &n) < 0) {
        groups.resize(static_cast<std::size_t>(n));
        if (::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &n) < 0) n = 0;
      }
      groups.resize(static_cast<std::size_t>(n));
      for (const gid_t group : groups)
        member.may = member.may ||
                     std::ranges::find(config_.allow_groups, group) != config_.allow_groups.end();
    }
  }
  return member.may;
}

Result<Caller> Access::local_user(const HttpRequest& head) {
  const auto uid = head.peer_uid ? head.peer_uid() : std::nullopt;
  const bool ours = uid && (*uid == 0 || *uid == ::geteuid());
  if (ours) return Caller{login_name(*uid), true, true};
  if (uid && (config_.allow_all_local || in_allowed_group(*uid)))
    return Caller{login_name(*uid), false, false};
  if (!uid && (config_.allow_all_local || !config_.owners_known)) return Caller{"anonymous"};
  const std::string who = uid ? "user " + login_name(*uid) : std::string("a caller without a name");
  return fail(Code::kForbidden,
              fmt::format("{} may not call this service, which answers {} and root", who,
                          login_name(::geteuid())),
              "start it with --allow-group GROUP or --allow-all-local, or call with a token "
              "(polysome token new NAME)");
}

Result<Caller> Access::admit(const HttpRequest& head) {
  if (is_probe(head)) return Caller{"anonymous"};
  POLYSOME_TRY(check_page(head));
  POLYSOME_ASSIGN(const std::string from, origin_of_call(head));
  reload_tokens();
  // Without tokens the header means another service (a default entry of ~/.netrc, say).
  if (const auto authorization = head.header("Authorization"); authorization && !tokens_.empty())
    return by_token(head, *authorization);
  const bool here = head.peer.loopback && head.local.loopback;
  if (!here || forwarding_header(head) != nullptr)
    return fail(no_token(fmt::format("calls from {} need a token", from)));
  POLYSOME_TRY(check_host(head.header("Host").value_or(""), config_.allow_hosts));
  return local_user(head);
}

Status check_admin(const Caller& caller, std::string_view what) {
  if (caller.admin) return {};
  return fail(Code::kForbidden, fmt::format("{} may not {}", caller.user, what),
              "ask an admin: root, the account the service runs as, or a token of scope admin "
              "(polysome token new NAME --admin)");
}

}  // namespace polysome::api
