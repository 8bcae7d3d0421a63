// Credentials of databases by name, from a file that only its owner may read (mode 0600 or 0400),
// lines of "name = postgresql://user:password@host:port/database"; # begins a comment. Read by
// slots before their sandbox closes; never shown, logged or stored. Plain data.
#pragma once

#include <map>
#include <string>

#include "model/database_url.h"

namespace polysome {

class Connections {
 public:
  // Errors: kForbidden for a file that others may read; kInvalid naming the line.
  static Result<Connections> read(const std::string& path);

  // libpq's connection string for an address. Errors: kInvalid for a name that is in no file.
  Result<std::string> conninfo(const DatabaseUrl& url) const;
  // `text` with every password that is known here blotted out.
  std::string without_secrets(std::string text) const;
  bool empty() const { return by_name_.empty(); }

 private:
  std::map<std::string, std::string> by_name_;
  std::map<std::string, std::string> passwords_;
};

}  // namespace polysome
