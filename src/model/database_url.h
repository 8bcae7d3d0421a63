// Tables of databases as sources and outputs: sqlite:///PATH?table=T (one more slash for an
// absolute path) and postgresql://[USER@]HOST[:PORT]/DATABASE?table=[SCHEMA.]T, where HOST may be
// the name of an entry of the connections file, which then says the rest: postgresql://lab?table=T.
// Passwords are refused here: a URL is stored, logged and shown. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

struct DatabaseUrl {
  enum class Kind { kSqlite, kPostgres };
  Kind kind = Kind::kSqlite;
  std::string path;  // sqlite: as given, absolute or relative
  std::string host;  // postgresql: a host, or a name of the connections file
  std::string port;  // empty: the default
  std::string user;  // empty: as the connection or the environment says
  std::string database;
  std::string table;  // decoded; may have a schema: "public.samples"

  // Without what could be secret; parses to the same.
  std::string text() const;
  // "samples (shop.db)", for messages
  std::string label() const;
};

// %41 → A
std::string percent_decoded(std::string_view text);
// Anything with "://".
bool is_url(const std::string& source);
// Errors: kInvalid with what is wrong and how it should look.
Result<DatabaseUrl> parse_database_url(const std::string& url);

}  // namespace polysome
