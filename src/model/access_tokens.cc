#include "model/access_tokens.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/nearest.h"
#include "base/sha256.h"

namespace polysome {
namespace {

constexpr std::size_t kMostNameBytes = 64;
constexpr std::size_t kHashDigits = 64;

bool is_hash(std::string_view text) {
  return text.size() == kHashDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Status read_scopes(std::string_view list, AccessToken* token) {
  static const std::vector<std::string> kScopes{"admin", "submit_for"};
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    const std::string scope(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (scope == "admin")
      token->admin = true;
    else if (scope == "submit_for")
      token->submit_for = true;
    else
      return fail(Code::kInvalid,
                  fmt::format("scope \"{}\" is not known{}", scope, did_you_mean(scope, kScopes)));
  }
  return {};
}

Result<AccessToken> parse_line(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos)
    return fail(Code::kInvalid, "the line is not name:token-hash[:scope,…]");
  AccessToken out;
  out.name = line.substr(0, colon);
  POLYSOME_TRY(check_token_name(out.name));
  line.remove_prefix(colon + 1);
  const auto end = std::min(line.find(':'), line.size());
  out.hash = line.substr(0, end);
  if (!is_hash(out.hash))
    return fail(Code::kInvalid,
                fmt::format("the hash of \"{}\" is not a SHA-256 in hex: it has {} characters",
                            out.name, out.hash.size()));
  if (end < line.size()) POLYSOME_TRY(read_scopes(line.substr(end + 1), &out));
  return out;
}

}  // namespace

std::string AccessToken::line() const {
  std::string scopes;
  if (admin) scopes += "admin";
  if (submit_for) scopes += scopes.empty() ? "submit_for" : ",submit_for";
  return scopes.empty() ? fmt::format("{}:{}", name, hash)
                        : fmt::format("{}:{}:{}", name, hash, scopes);
}

Status check_token_name(const std::string& name) {
  const bool good =
      !name.empty() && name.size() <= kMostNameBytes && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '@' || c == '-';
      });
  if (!good)
    return fail(Code::kInvalid, fmt::format("\"{}\" can't be the name of a token", name),
                "1 to 64 letters, digits and . _ @ -, such as a login");
  if (name == "anonymous")
    return fail(Code::kInvalid, "anonymous is who calls without a name",
                "take the login of who gets the token");
  return {};
}

Result<std::vector<AccessToken>> parse_tokens(std::string_view text, const std::string& where) {
  std::vector<AccessToken> out;
  std::size_t number = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    auto token = parse_line(line);
    if (token && std::ranges::find(out, token->name, &AccessToken::name) != out.end())
      token = fail(Code::kInvalid, fmt::format("\"{}\" is there twice", token->name));
    if (!token)
      return fail(Code::kInvalid, fmt::format("{}:{}: {}", where, number, token.error().message),
                  "polysome token new NAME writes such lines");
    out.push_back(std::move(*token));
  }
  return out;
}

Result<std::string> make_token() {
  static constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<unsigned char, 32> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return fail(Code::kIo, "the system gives no random bytes");
  std::string out = "ps_";
  std::uint32_t bits = 0;
  int held = 0;
  for (const auto byte : bytes) {
    bits = bits << 8 | byte;
    for (held += 8; held >= 6; held -= 6) out += kLetters[bits >> (held - 6) & 63];
  }
  if (held > 0) out += kLetters[bits << (6 - held) & 63];
  return out;
}

const AccessToken* find_token(const std::vector<AccessToken>& tokens, std::string_view token) {
  const std::string hash = sha256_hex(token);
  const AccessToken* found = nullptr;
  for (const auto& t : tokens)
    if (same_secret(t.hash, hash)) found = &t;
  return found;
}

}  // namespace polysome
