// DuckDB's parse tree of a statement as JSON, and what DuckDB says about its functions. Shared by
// the cage (sql_cage) and the cut of grouped queries (sql_split); runs nothing of a caller's. The
// session's thread.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/session.h"

namespace polysome::sql {

using Tree = nlohmann::ordered_json;

struct FunctionFacts {
  bool aggregate = false;
  bool deterministic = true;
};
using FunctionCatalog = std::map<std::string, FunctionFacts, std::less<>>;

std::string lower(std::string_view text);
// A member that is a text, else "".
std::string text_of(const Tree& node, const char* key);
// The same in every session of a build.
Result<const FunctionCatalog*> function_catalog(Session& session);
// The one SELECT that `sql` holds; `shown` names it in errors (kInvalid). Without what is null or
// empty, unless it is to become SQL again (`whole`).
Result<Tree> parse_sql(Session& session, const std::string& sql, std::string_view shown,
                       bool whole = false);

}  // namespace polysome::sql
