#include "model/database_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace polysome {
namespace {

constexpr const char* kForms =
    "sqlite:///file.db?table=t, sqlite:////srv/file.db?table=t, "
    "postgresql://user@host:5432/database?table=t, or "
    "postgresql://NAME?table=t with NAME from the connections file (serve --connections FILE)";

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) != 0 || std::string_view("-_.~/").find(c) != std::string_view::npos ||
        u >= 0x80)
      out.push_back(c);
    else
      out += fmt::format("%{:02X}", u);
  }
  return out;
}

Error wrong(const std::string& what) { return {Code::kInvalid, what, kForms}; }

Status read_query(std::string_view query, DatabaseUrl* out) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const auto at = pair.find('=');
    const std::string key = percent_decoded(pair.substr(0, at));
    if (key != "table")
      return fail(
          wrong(fmt::format("\"{}\" in the database's address is not known; only table= is", key)));
    if (at != std::string_view::npos) out->table = percent_decoded(pair.substr(at + 1));
  }
  if (out->table.empty()) return fail(wrong("the database's address names no table (?table=…)"));
  return {};
}

Status read_authority(std::string_view authority, DatabaseUrl* out) {
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
    const std::string_view user = authority.substr(0, at);
    if (user.find(':') != std::string_view::npos)
      return fail(Code::kInvalid, "a password has no place in an address that is stored and shown",
                  "put the whole address as \"name = postgresql://user:password@host/database\" "
                  "into a file of mode 0600, serve --connections FILE, and name it: "
                  "postgresql://name?table=t");
    out->user = percent_decoded(user);
    authority.remove_prefix(at + 1);
  }
  auto colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return fail(wrong("the host's [ is not closed"));
    out->host = std::string(authority.substr(1, close - 1));
    colon = close + 1 < authority.size() && authority[close + 1] == ':' ? close + 1
                                                                        : std::string_view::npos;
  } else {
    out->host = percent_decoded(authority.substr(0, colon));
  }
  if (colon != std::string_view::npos) out->port = std::string(authority.substr(colon + 1));
  if (!std::ranges::all_of(out->port, [](char c) { return c >= '0' && c <= '9'; }) ||
      out->port.size() > 5)
    return fail(wrong(fmt::format("the port \"{}\" is not a number", out->port)));
  return {};
}

}  // namespace

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool is_url(const std::string& source) {
  const auto at = source.find("://");
  return at != std::string::npos && at > 0 &&
         std::all_of(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(at), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '-';
         });
}

std::string DatabaseUrl::text() const {
  if (kind == Kind::kSqlite)
    return fmt::format("sqlite:///{}?table={}", encoded(path), encoded(table));
  std::string out = "postgresql://";
  if (!user.empty()) out += encoded(user) + "@";
  out += host.find(':') != std::string::npos ? "[" + host + "]" : encoded(host);
  if (!port.empty()) out += ":" + port;
  if (!database.empty()) out += "/" + encoded(database);
  return out + "?table=" + encoded(table);
}

std::string DatabaseUrl::label() const {
  if (kind == Kind::kSqlite) return fmt::format("{} ({})", table, path.substr(path.rfind('/') + 1));
  return fmt::format("{} (postgresql://{}{})", table, host, database.empty() ? "" : "/" + database);
}

Result<DatabaseUrl> parse_database_url(const std::string& url) {
  DatabaseUrl out;
  const auto scheme_end = url.find("://");
  const std::string scheme = url.substr(0, scheme_end);
  if (scheme == "sqlite" || scheme == "sqlite3")
    out.kind = DatabaseUrl::Kind::kSqlite;
  else if (scheme == "postgresql" || scheme == "postgres")
    out.kind = DatabaseUrl::Kind::kPostgres;
  else
    return fail(wrong(fmt::format("{}:// is not a database that is known", scheme)));
  std::string_view rest = std::string_view(url).substr(scheme_end + 3);
  const auto question = std::min(rest.find('?'), rest.size());
  POLYSOME_TRY(read_query(rest.substr(std::min(question + 1, rest.size())), &out));
  rest = rest.substr(0, question);
  const auto slash = rest.find('/');
  const std::string_view authority = rest.substr(0, slash);
  const std::string_view path =
      slash == std::string_view::npos ? std::string_view() : rest.substr(slash);
  if (out.kind == DatabaseUrl::Kind::kSqlite) {
    // As SQLAlchemy has it: sqlite:///x.db is relative, sqlite:////srv/x.db absolute.
    out.path = percent_decoded(
        authority.empty() ? path.substr(std::min<std::size_t>(1, path.size())) : rest);
    if (out.path.empty() || out.path == "/") return fail(wrong("the address names no SQLite file"));
    return out;
  }
  POLYSOME_TRY(read_authority(authority, &out));
  if (out.host.empty()) return fail(wrong("the address names no host"));
  out.database = percent_decoded(path.substr(std::min<std::size_t>(1, path.size())));
  if (out.database.find('/') != std::string::npos)
    return fail(wrong(fmt::format("\"{}\" is not a database's name", out.database)));
  return out;
}

}  // namespace polysome
