// The token file as data: who has a token and what it may do. A line is `name:sha256-hex` or
// `name:sha256-hex:scope,…`; tokens themselves are never kept. Pure but for make_token's
// randomness. The file must be readable by its owner alone (read_private_file checks).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace polysome {

struct AccessToken {
  std::string name;  // the user whose jobs these are
  std::string hash;  // sha256 of the token, in hex
  bool admin = false;
  bool submit_for = false;  // may name another user in a body

  std::string line() const;  // without the newline
};

// Empty lines and lines that begin with # are skipped. Errors: kInvalid, with `where` and the line.
Result<std::vector<AccessToken>> parse_tokens(std::string_view text, const std::string& where);
// A name of 1 to 64 letters, digits and ._@- that is not one of the service's own words.
Status check_token_name(const std::string& name);
// A new secret: "ps_" and 43 characters, 256 bits from the system's source.
Result<std::string> make_token();
// Whose token this is; nullptr for nobody's. Compares all hashes.
const AccessToken* find_token(const std::vector<AccessToken>& tokens, std::string_view token);

}  // namespace polysome
