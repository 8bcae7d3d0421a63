#include "kernels/sql_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace polysome::sql {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string text_of(const Tree& node, const char* key) {
  const auto it = node.find(key);
  return it != node.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// What DuckDB says about its functions; the same in every session of a build.
Result<const FunctionCatalog*> function_catalog(Session& session) {
  static FunctionCatalog catalog;
  if (!catalog.empty()) return &catalog;
  POLYSOME_ASSIGN(QueryResult rows,
                  session.query("SELECT lower(function_name), "
                                "bool_or(function_type = 'aggregate'), "
                                "bool_and(coalesce(stability, 'CONSISTENT') = 'CONSISTENT') "
                                "FROM duckdb_functions() GROUP BY ALL"));
  FunctionCatalog found;
  while (duckdb_data_chunk chunk = rows.fetch()) {
    auto* names = static_cast<duckdb_string_t*>(
        duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0)));
    const auto* aggregates =
        static_cast<bool*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1)));
    const auto* consistent =
        static_cast<bool*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 2)));
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); ++i)
      found[std::string(duckdb_string_t_data(&names[i]), duckdb_string_t_length(names[i]))] = {
          aggregates[i], consistent[i]};
  }
  // Macros, which DuckDB describes as text only.
  for (const char* name : {"geomean", "geometric_mean", "wavg", "weighted_avg", "json_group_array",
                           "json_group_object", "json_group_structure"})
    found[name].aggregate = true;
  found["ago"].deterministic = false;
  catalog = std::move(found);
  return &catalog;
}

Result<Tree> parse_sql(Session& session, const std::string& sql, std::string_view shown,
                       bool whole) {
  if (shown.find('\0') != std::string_view::npos)
    return fail(Code::kInvalid, "the SQL holds a NUL character");
  const auto json = session.text("SELECT json_serialize_sql(" + sql_text(sql) +
                                 (whole ? ")" : ", skip_null := true, skip_empty := true)"));
  if (!json) {
    if (json.error().code != Code::kUserData) return fail(json.error());
    return fail(Code::kInvalid, "cannot read the SQL: " + json.error().message);
  }
  Tree tree = Tree::parse(*json, nullptr, false);
  if (tree.is_discarded()) return fail(Code::kInternal, "DuckDB's parse tree is not JSON");
  if (tree.value("error", true)) {
    std::string message = text_of(tree, "error_message");
    if (message.find("Only SELECT statements") != std::string::npos)
      return fail(Code::kInvalid,
                  "only one SELECT is allowed; no statement that changes or reads anything else",
                  "PIVOT as a statement can be written as SELECT … FROM (PIVOT …)");
    return fail(Code::kInvalid, fmt::format("cannot read the SQL {}: {}", shown, message));
  }
  const auto statements = tree.find("statements");
  if (statements == tree.end() || statements->empty())
    return fail(Code::kInvalid, "the SQL is empty");
  if (statements->size() > 1)
    return fail(Code::kInvalid, fmt::format("{} statements were given; exactly one is allowed",
                                            statements->size()));
  return std::move((*statements)[0]["node"]);
}

}  // namespace polysome::sql
