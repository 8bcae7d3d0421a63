#include "kernels/sql_cage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/nearest.h"
#include "kernels/sql_tree.h"

namespace polysome {
namespace {

using sql::function_catalog;
using sql::FunctionCatalog;
using sql::lower;
using sql::parse_sql;
using sql::text_of;
using sql::Tree;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::ranges::find(list, text) != list.end();
}

// Functions whose only use would be to look outside the data or to disturb the service.
bool is_refused_function(const std::string& name) {
  return name.starts_with("ps_") || name.starts_with("pg_") || name.starts_with("inet_") ||
         is_one_of(name, {"getenv", "current_setting", "getvariable", "nextval", "currval",
                          "setseed", "write_log", "sleep_ms", "current_query", "current_query_id",
                          "current_connection_id", "txid_current", "current_transaction_id",
                          "in_search_path"});
}

class Walker {
 public:
  Walker(const FunctionCatalog& catalog, std::vector<std::string> allowed)
      : catalog_(catalog), allowed_(std::move(allowed)) {}

  void walk(const Tree& node, const std::vector<std::string>& ctes) {
    if (error) return;
    if (node.is_array()) {
      for (const auto& child : node) walk(child, ctes);
      return;
    }
    if (!node.is_object()) return;
    if (node.contains("class") && node["class"].is_string())
      expression(node, ctes);
    else if (node.contains("type") && node["type"].is_string())
      structure(node, ctes);
    else
      children(node, ctes);
  }

  std::optional<Error> error;
  std::vector<std::string> columns;
  std::vector<std::string> tables;  // every reading, in order
  std::set<std::string> aliases;
  bool has_star = false, has_aggregate = false, has_window = false, has_subquery = false;
  bool is_deterministic = true;
  int reads = 0;  // of tables, functions and lists in FROM

 private:
  void refuse(std::string message, std::string hint = {}) {
    if (!error) error = Error(Code::kInvalid, std::move(message), std::move(hint));
  }

  void children(const Tree& node, const std::vector<std::string>& ctes) {
    for (const auto& [key, child] : node.items())
      if (child.is_structured() && key != "exclude_list") walk(child, ctes);
  }

  void expression(const Tree& node, const std::vector<std::string>& ctes) {
    const std::string kind = text_of(node, "class");
    if (const auto alias = text_of(node, "alias"); !alias.empty()) aliases.insert(lower(alias));
    if (kind == "COLUMN_REF") return column(node);
    if (kind == "PARAMETER")
      return refuse("the SQL holds a parameter (? or $1), for which there is no value",
                    "write the value itself");
    if (kind == "SUBQUERY") has_subquery = true;
    if (kind == "WINDOW") has_window = true;
    if (kind == "STAR") has_star = true;
    if (kind == "FUNCTION" || kind == "WINDOW") {
      const std::string name = lower(text_of(node, "function_name"));
      if (is_refused_function(name))
        return refuse(fmt::format("the function {}() is not allowed here", name));
      if (kind == "FUNCTION") function(name);
      if (is_one_of(name, {"list_transform", "array_transform", "list_apply", "array_apply",
                           "apply", "list_filter", "array_filter", "filter", "list_reduce",
                           "array_reduce", "reduce"}))
        return lambdas(node, ctes);
    }
    children(node, ctes);
  }

  void function(const std::string& name) {
    const auto it = catalog_.find(name);
    if (it == catalog_.end()) return;  // DuckDB will name it and the nearest known one
    has_aggregate = has_aggregate || it->second.aggregate;
    is_deterministic = is_deterministic && it->second.deterministic;
  }

  // x -> x + 1: x is no column within. (Elsewhere -> takes a part of a JSON text.)
  void lambdas(const Tree& node, const std::vector<std::string>& ctes) {
    for (const auto& child : node.value("children", Tree::array())) {
      if (text_of(child, "class") != "LAMBDA") {
        walk(child, ctes);
        continue;
      }
      const auto before = parameters_;
      std::vector<std::string> kept;
      kept.swap(columns);
      if (child.contains("lhs")) walk(child["lhs"], ctes);
      for (const auto& name : columns) parameters_.insert(lower(name));
      columns.swap(kept);
      if (child.contains("expr")) walk(child["expr"], ctes);
      parameters_ = before;
    }
  }

  void column(const Tree& node) {
    const auto names = node.value("column_names", std::vector<std::string>{});
    if (names.empty() || parameters_.contains(lower(names[0]))) return;
    const bool qualified =
        names.size() > 1 && std::ranges::any_of(qualifiers_, [&](const std::string& q) {
          return q == lower(names[0]);
        });
    const std::string& name = qualified ? names[1] : names[0];
    if (names.size() == 1 &&
        is_one_of(lower(name), {"current_date", "current_time", "current_timestamp", "localtime",
                                "localtimestamp"})) {
      is_deterministic = false;
      return;
    }
    if (std::ranges::find(columns, name) == columns.end()) columns.push_back(name);
  }

  void structure(const Tree& node, std::vector<std::string> ctes) {
    const std::string type = text_of(node, "type");
    if (type.ends_with("_NODE")) {
      if (type == "RECURSIVE_CTE_NODE") ctes.push_back(lower(text_of(node, "cte_name")));
      // FROM first: it says which names before a dot are tables. A CTE may read earlier ones.
      if (node.contains("cte_map") && node["cte_map"].contains("map"))
        for (const auto& cte : node["cte_map"]["map"]) {
          if (!cte.contains("value")) continue;
          walk(cte["value"], ctes);
          ctes.push_back(lower(text_of(cte, "key")));
        }
      if (node.contains("from_table")) walk(node["from_table"], ctes);
      for (const auto& [key, child] : node.items())
        if (key != "cte_map" && key != "from_table") walk(child, ctes);
      return;
    }
    if (type.ends_with("_MODIFIER") || type.starts_with("ORDER_") ||
        is_one_of(type, {"ASCENDING", "DESCENDING", "JOIN", "EMPTY", "EXPRESSION_LIST", "PIVOT",
                         "SUBQUERY"})) {
      note_qualifier(node);
      if (type == "SUBQUERY") has_subquery = true;
      if (type == "EXPRESSION_LIST") ++reads;
      return children(node, ctes);
    }
    // The type of a literal or a cast: names and numbers, with expressions only in its parameters.
    if (type.ends_with("_TYPE_INFO")) return children(node, ctes);
    if (type == "BASE_TABLE") return base_table(node, ctes);
    if (type == "TABLE_FUNCTION") return table_function(node, ctes);
    if (type == "SHOW_REF")
      return refuse("DESCRIBE, SHOW and SUMMARIZE are not allowed here",
                    "the operation describe gives the columns and their statistics");
    refuse(fmt::format("the SQL holds a part that is not allowed here ({})", lower(type)));
  }

  void note_qualifier(const Tree& node) {
    if (const auto alias = text_of(node, "alias"); !alias.empty())
      qualifiers_.push_back(lower(alias));
  }

  void base_table(const Tree& node, const std::vector<std::string>& ctes) {
    const std::string name = text_of(node, "table_name");
    note_qualifier(node);
    qualifiers_.push_back(lower(name));
    ++reads;
    children(node, ctes);
    if (text_of(node, "schema_name").empty() && text_of(node, "catalog_name").empty()) {
      if (std::ranges::find(ctes, lower(name)) != ctes.end()) {
        has_subquery = true;
        return;
      }
      for (const auto& t : allowed_)
        if (lower(t) == lower(name)) return tables.push_back(t);
    }
    std::string known;
    for (const auto& t : allowed_) known += (known.empty() ? "" : ", ") + t;
    refuse(fmt::format("the table \"{}\" is not one of the job's datasets{}", name,
                       did_you_mean(name, allowed_)),
           known.empty() ? "no tables may be read here" : "tables that may be read: " + known);
  }

  void table_function(const Tree& node, const std::vector<std::string>& ctes) {
    const Tree call = node.value("function", Tree::object());
    const std::string name = lower(text_of(call, "function_name"));
    ++reads;
    note_qualifier(node);
    if (!is_one_of(name, {"unnest", "range", "generate_series"}))
      return refuse(fmt::format("the table function {}() is not allowed here: jobs read their "
                                "datasets only",
                                name),
                    "allowed in FROM: the job's tables, unnest, range, generate_series");
    children(call, ctes);
  }

  const FunctionCatalog& catalog_;
  const std::vector<std::string> allowed_;
  std::set<std::string> parameters_;     // of the lambdas around
  std::vector<std::string> qualifiers_;  // names of tables and their aliases met so far
};

// Why the rows of a query cannot be made part by part; empty: they can.
std::string obstacle(const Tree& node, const Walker& w) {
  const auto present = [&](const char* key) { return node.contains(key) && !node[key].empty(); };
  if (text_of(node, "type") != "SELECT_NODE") return "it is a set operation (UNION, EXCEPT …)";
  if (w.has_subquery) return "it has a subquery or CTE";
  for (const auto& modifier : node.value("modifiers", Tree::array())) {
    const std::string type = text_of(modifier, "type");
    if (type == "ORDER_MODIFIER") return "it has ORDER BY";
    if (type == "DISTINCT_MODIFIER") return "it has DISTINCT";
    return "it has LIMIT";
  }
  if (present("group_expressions") || present("group_sets") ||
      text_of(node, "aggregate_handling") == "FORCE_AGGREGATES")
    return "it has GROUP BY";
  if (present("having")) return "it has HAVING";
  if (w.has_window || present("qualify")) return "it has a window function";
  if (w.has_aggregate) return "it has an aggregate";
  if (present("sample")) return "it takes a sample";
  if (!w.is_deterministic) return "it has a function whose value changes from call to call";
  const Tree from = node.value("from_table", Tree::object());
  if (text_of(from, "type") != "BASE_TABLE" || w.tables.size() != 1 || w.reads != 1)
    return "it does not read exactly one table";
  if (from.contains("sample")) return "it takes a sample";
  return {};
}

std::string trimmed_statement(std::string_view text) {
  const auto is_end = [](unsigned char c) { return std::isspace(c) != 0 || c == ';'; };
  while (!text.empty() && is_end(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  // A comment in the last line must not swallow what follows the text.
  return std::string(text) + "\n";
}

}  // namespace

Result<CheckedExpression> check_expression(Session& session, std::string_view text,
                                           const ExpressionRules& rules) {
  const std::string shown = fmt::format("expression `{}`", text);
  CheckedExpression out;
  out.sql = fmt::format("({}\n)", text);
  POLYSOME_ASSIGN(const Tree node, parse_sql(session, "SELECT " + out.sql, shown));
  const auto list = node.value("select_list", Tree::array());
  const bool bare = text_of(node, "type") == "SELECT_NODE" && list.size() == 1 &&
                    text_of(node.value("from_table", Tree::object()), "type") == "EMPTY" &&
                    !node.contains("where_clause") && !node.contains("having") &&
                    !node.contains("qualify") && !node.contains("modifiers") &&
                    !node.contains("group_expressions") && !node.contains("cte_map") &&
                    text_of(list[0], "alias").empty() && text_of(list[0], "function_name") != "row";
  if (!bare)
    return fail(Code::kInvalid, shown + " is more than one expression",
                "give one expression over columns, such as expression > 2 AND tissue = 'liver'");
  POLYSOME_ASSIGN(const FunctionCatalog* catalog, function_catalog(session));
  Walker walker(*catalog, {});
  walker.walk(list, {});
  if (walker.has_subquery)
    return fail(Code::kInvalid, shown + " holds a subquery, which is not allowed here",
                "use the operation sql for queries over whole tables");
  if (walker.error) return fail(std::move(*walker.error));
  if (walker.has_star) return fail(Code::kInvalid, shown + " holds *, which is not one value");
  if (walker.has_aggregate && !rules.allow_aggregates)
    return fail(Code::kInvalid, shown + " holds an aggregate function; here each row stands alone",
                "use the operation aggregate or sql");
  if (walker.has_window && !rules.allow_windows)
    return fail(Code::kInvalid, shown + " holds a window function; here each row stands alone",
                "use the operation sql");
  out.columns = std::move(walker.columns);
  out.is_deterministic = walker.is_deterministic;
  out.has_aggregate = walker.has_aggregate;
  out.has_window = walker.has_window;
  return out;
}

Result<CheckedQuery> check_query(Session& session, std::string_view text,
                                 const std::vector<std::string>& allowed_tables) {
  CheckedQuery out;
  out.sql = trimmed_statement(text);
  POLYSOME_ASSIGN(const Tree node, parse_sql(session, out.sql, "query"));
  POLYSOME_ASSIGN(const FunctionCatalog* catalog, function_catalog(session));
  Walker walker(*catalog, allowed_tables);
  walker.walk(node, {});
  if (walker.error) return fail(std::move(*walker.error));
  for (const auto& table : walker.tables)
    if (std::ranges::find(out.tables, table) == out.tables.end()) out.tables.push_back(table);
  for (const auto& column : walker.columns)
    if (!walker.aliases.contains(lower(column))) out.columns.push_back(column);
  out.has_star = walker.has_star;
  out.single_table = walker.tables.size() == 1 && walker.reads == 1;
  out.is_deterministic = walker.is_deterministic;
  out.why_not_map = obstacle(node, walker);
  out.is_plain_map = out.why_not_map.empty();
  return out;
}

}  // namespace polysome
