#include "model/connections.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cctype>
#include <vector>

#include "base/files.h"
#include "base/nearest.h"

namespace polysome {
namespace {

std::string trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0)
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0)
    text.remove_suffix(1);
  return std::string(text);
}

// A value of a connection string.
std::string quoted(const std::string& value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "'";
}

// What stands between : and @ of the user's part.
std::string password_of(const std::string& address) {
  const auto begin = address.find("://");
  if (begin == std::string::npos) return {};
  const auto end = address.find_first_of("/?", begin + 3);
  const std::string authority =
      address.substr(begin + 3, end == std::string::npos ? end : end - begin - 3);
  const auto at = authority.rfind('@');
  const auto colon = authority.find(':');
  if (at == std::string::npos || colon == std::string::npos || colon > at) return {};
  return authority.substr(colon + 1, at - colon - 1);
}

}  // namespace

Result<Connections> Connections::read(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return fail(errno_error("cannot read", path, errno));
  if ((st.st_mode & 077) != 0)
    return fail(Code::kForbidden,
                fmt::format("{} holds passwords, and others may read it (mode {:03o})", path,
                            st.st_mode & 0777),
                fmt::format("chmod 600 {}", path));
  POLYSOME_ASSIGN(const std::string text, read_file(path, 1'000'000));
  Connections out;
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const std::string line = trimmed(std::string_view(text).substr(at, end - at));
    at = end + 1;
    ++line_number;
    if (line.empty() || line.front() == '#') continue;
    const auto equals = line.find('=');
    const std::string name = trimmed(line.substr(0, equals));
    const std::string address = equals == std::string::npos ? "" : trimmed(line.substr(equals + 1));
    // Nothing of the line is repeated: it may hold a password.
    if (name.empty() || name.find_first_of(":/@?# ") != std::string::npos ||
        !(address.starts_with("postgresql://") || address.starts_with("postgres://")))
      return fail(Code::kInvalid, fmt::format("{}, line {}: not a connection", path, line_number),
                  "a line is: name = postgresql://user:password@host:port/database");
    out.by_name_[name] = address;
    if (const auto password = password_of(address); !password.empty())
      out.passwords_[name] = password;
  }
  return out;
}

Result<std::string> Connections::conninfo(const DatabaseUrl& url) const {
  if (const auto known = by_name_.find(url.host); known != by_name_.end()) return known->second;
  // A bare name without a database is meant to be one of the file.
  if (url.database.empty() && url.user.empty() && url.port.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : by_name_) names.push_back(name);
    return fail(
        Code::kUserData,
        fmt::format("no connection is named \"{}\"{}", url.host, did_you_mean(url.host, names)),
        by_name_.empty() ? "serve --connections FILE names them"
                         : "the file of --connections names them; workers read it when they "
                           "start");
  }
  if (url.user.empty())
    return fail(Code::kUserData,
                fmt::format("postgresql://{}/{} names no user", url.host, url.database),
                "postgresql://user@host/database?table=t, or a name of the file of serve "
                "--connections FILE, which holds the password too");
  std::string out = "host=" + quoted(url.host);
  if (!url.port.empty()) out += " port=" + url.port;
  if (!url.user.empty()) out += " user=" + quoted(url.user);
  if (!url.database.empty()) out += " dbname=" + quoted(url.database);
  return out;
}

std::string Connections::without_secrets(std::string text) const {
  for (const auto& [name, password] : passwords_)
    for (const std::string& form : {password, percent_decoded(password)})
      for (auto at = text.find(form); at != std::string::npos; at = text.find(form, at + 3))
        text.replace(at, form.size(), "***");
  return text;
}

}  // namespace polysome
