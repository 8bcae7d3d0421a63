#include "kernels/sql_split.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "kernels/sql_tree.h"

namespace polysome {
namespace {

using sql::lower;
using sql::text_of;
using sql::Tree;

// Those whose partial states operations/sql_groups knows how to merge.
constexpr std::array<std::string_view, 17> kMergeable = {
    "count_star", "count",    "sum",     "avg",      "mean",        "min",
    "max",        "bool_and", "bool_or", "stddev",   "stddev_samp", "stddev_pop",
    "variance",   "var_samp", "var_pop", "count_if", "countif"};
// An alias may stand for an expression with an alias, and so on.
constexpr int kDeepest = 16;

Tree array_of(const Tree& node, const char* key) {
  const auto it = node.find(key);
  return it != node.end() && it->is_array() ? *it : Tree::array();
}
bool is_present(const Tree& node, const char* key) {
  const auto it = node.find(key);
  return it != node.end() && !it->is_null() && !(it->is_structured() && it->empty());
}

// The same expression written twice gives the same tree: places and aliases dropped, columns by
// their last name (there is one table).
Tree normalized(const Tree& node) {
  if (node.is_array()) {
    Tree out = Tree::array();
    for (const auto& child : node) out.push_back(normalized(child));
    return out;
  }
  if (!node.is_object()) return node;
  Tree out = Tree::object();
  for (const auto& [key, child] : node.items()) {
    if (key == "query_location" || key == "alias") continue;
    if (key == "column_names" && child.is_array() && !child.empty())
      out[key] = lower(child.back().get<std::string>());
    else
      out[key] = normalized(child);
  }
  return out;
}

class Splitter {
 public:
  Splitter(Session& session, const sql::FunctionCatalog& functions, Tree statement,
           const std::vector<std::string>& columns)
      : session_(session), functions_(functions), statement_(std::move(statement)) {
    for (const auto& c : columns) columns_.insert(lower(c));
  }

  Result<std::optional<GroupedQuery>> run(std::string* why_not) {
    const Tree node = statement_;
    obstacle_ = shape_obstacle(node);
    if (obstacle_.empty()) POLYSOME_TRY(take_apart(node));
    *why_not = obstacle_;
    if (!obstacle_.empty()) return std::optional<GroupedQuery>{};
    return std::optional(std::move(out_));
  }

 private:
  static std::string shape_obstacle(const Tree& node) {
    if (text_of(node, "type") != "SELECT_NODE") return "it is a set operation (UNION, EXCEPT …)";
    if (is_present(node.value("cte_map", Tree::object()), "map")) return "it has a CTE";
    if (is_present(node, "qualify")) return "it has a window function";
    if (is_present(node, "sample")) return "it takes a sample";
    if (text_of(node, "aggregate_handling") == "FORCE_AGGREGATES") return "it has GROUP BY ALL";
    if (array_of(node, "group_sets").size() > 1) return "it has grouping sets";
    const Tree from = node.value("from_table", Tree::object());
    if (text_of(from, "type") != "BASE_TABLE" || is_present(from, "sample") ||
        is_present(from, "column_name_alias"))
      return "it does not read exactly one table as it is";
    return {};
  }

  Status take_apart(const Tree& node) {
    const Tree& from = node.at("from_table");
    out_.from = sql_identifier(text_of(from, "table_name"));
    if (const auto alias = text_of(from, "alias"); !alias.empty())
      out_.from += " AS " + sql_identifier(alias);
    select_ = array_of(node, "select_list");
    if (is_present(node, "where_clause")) {
      POLYSOME_ASSIGN(out_.where, text(node.at("where_clause")));
    }
    for (const auto& key : array_of(node, "group_expressions")) POLYSOME_TRY(add_key(key));
    for (const auto& item : select_) {
      POLYSOME_ASSIGN(const std::string sql, rewritten(item, false));
      out_.select.push_back(sql);
    }
    if (is_present(node, "having")) {
      POLYSOME_ASSIGN(out_.having, rewritten(node.at("having"), false));
    }
    for (const auto& modifier : array_of(node, "modifiers")) POLYSOME_TRY(add_modifier(modifier));
    if (out_.keys.empty() && out_.calls.empty()) refuse("it has no aggregate");
    return {};
  }

  void refuse(std::string why) {
    if (obstacle_.empty()) obstacle_ = std::move(why);
  }

  // GROUP BY 2 and GROUP BY alias stand for an expression of the select list.
  Status add_key(const Tree& key) {
    Tree node = key;
    if (text_of(node, "class") == "CONSTANT") {
      const Tree value = node.value("value", Tree::object()).value("value", Tree());
      const std::size_t place = value.is_number_integer() ? value.get<std::size_t>() : 0;
      if (place < 1 || place > select_.size()) {
        refuse("it is grouped by a constant");
        return {};
      }
      node = select_[place - 1];
    }
    if (const Tree* meant = behind_alias(node, false)) node = *meant;
    keys_.push_back(normalized(node));
    POLYSOME_ASSIGN(const std::string sql, text(node));
    out_.keys.push_back(sql);
    return {};
  }

  Status add_modifier(const Tree& modifier) {
    const std::string type = text_of(modifier, "type");
    if (type == "ORDER_MODIFIER") {
      for (const auto& order : array_of(modifier, "orders")) {
        POLYSOME_ASSIGN(std::string sql, rewritten(order.at("expression"), true));
        const std::string direction = text_of(order, "type"), nulls = text_of(order, "null_order");
        if (direction == "DESCENDING") sql += " DESC";
        if (direction == "ASCENDING") sql += " ASC";
        if (nulls == "NULLS_FIRST" || nulls == "NULLS FIRST") sql += " NULLS FIRST";
        if (nulls == "NULLS_LAST" || nulls == "NULLS LAST") sql += " NULLS LAST";
        out_.order.push_back(std::move(sql));
      }
    } else if (type == "LIMIT_MODIFIER") {
      for (const auto& [key, word] : {std::pair{"limit", " LIMIT "}, {"offset", " OFFSET "}}) {
        if (!is_present(modifier, key)) continue;
        POLYSOME_ASSIGN(const std::string sql, text(modifier.at(key)));
        out_.limit += word + sql;
      }
    } else {
      refuse(type == "DISTINCT_MODIFIER" ? "it has DISTINCT" : "it has LIMIT as a percentage");
    }
    return {};
  }

  // The expression of the select list that a bare name stands for. Columns win over aliases, but
  // in ORDER BY.
  const Tree* behind_alias(const Tree& node, bool alias_first) const {
    if (text_of(node, "class") != "COLUMN_REF") return nullptr;
    const Tree names = array_of(node, "column_names");
    if (names.size() != 1) return nullptr;
    const std::string name = lower(names[0].get<std::string>());
    if (!alias_first && columns_.contains(name)) return nullptr;
    for (const auto& item : select_)
      if (lower(text_of(item, "alias")) == name) return &item;
    return nullptr;
  }

  static Tree reference(const std::string& name) {
    return {{"class", "COLUMN_REF"},
            {"type", "COLUMN_REF"},
            {"alias", ""},
            {"query_location", 0},
            {"column_names", Tree{name}}};
  }

  // SQL of an expression over the keys and aggregates.
  Result<std::string> rewritten(const Tree& node, bool is_order) {
    // ORDER BY 2 is a place in the select list, which stays what it was.
    if (is_order && text_of(node, "class") == "CONSTANT") return text(node);
    Tree out = node;
    POLYSOME_TRY(replace(out, is_order, 0));
    if (!obstacle_.empty()) return std::string();
    return text(out);
  }

  Status replace(Tree& node, bool alias_first, int depth) {
    if (!obstacle_.empty()) return {};
    if (node.is_array()) {
      for (auto& child : node) POLYSOME_TRY(replace(child, alias_first, depth));
      return {};
    }
    if (!node.is_object()) return {};
    const std::string kind = text_of(node, "class");
    if (kind.empty()) return replace_children(node, alias_first, depth);
    if (const auto key = std::ranges::find(keys_, normalized(node)); key != keys_.end()) {
      node = reference(fmt::format("k{}", key - keys_.begin()));
      return {};
    }
    if (kind == "COLUMN_REF") {
      const Tree* meant = behind_alias(node, alias_first);
      if (meant == nullptr || depth == kDeepest) {
        refuse("it selects a column that is neither grouped nor aggregated");
        return {};
      }
      node = Tree(*meant);
      return replace(node, false, depth + 1);
    }
    if (kind == "SUBQUERY" || kind == "WINDOW" || kind == "STAR" || kind == "LAMBDA") {
      refuse(kind == "SUBQUERY" ? "it has a subquery" : "it has " + lower(kind));
      return {};
    }
    if (kind == "FUNCTION") {
      const auto facts = functions_.find(lower(text_of(node, "function_name")));
      if (facts != functions_.end() && facts->second.aggregate) return take_call(node);
      if (facts != functions_.end() && !facts->second.deterministic)
        refuse("it has a function whose value changes from call to call");
    }
    return replace_children(node, alias_first, depth);
  }

  Status replace_children(Tree& node, bool alias_first, int depth) {
    for (auto& [name, child] : node.items())
      if (child.is_structured()) POLYSOME_TRY(replace(child, alias_first, depth));
    return {};
  }

  // An aggregate becomes a column of the merged groups.
  Status take_call(Tree& node) {
    AggregateCall call;
    call.function = lower(text_of(node, "function_name"));
    const Tree arguments = array_of(node, "children");
    if (std::ranges::find(kMergeable, call.function) == kMergeable.end())
      refuse(fmt::format("{}() has no partial states", call.function));
    if (node.value("distinct", false)) refuse("it aggregates DISTINCT values");
    if (node.value("export_state", false) || arguments.size() > 1 ||
        is_present(node.value("order_bys", Tree::object()), "orders"))
      refuse(fmt::format("{}() is called in a way that has no partial states", call.function));
    if (!obstacle_.empty()) return {};
    if (call.function == "count" && arguments.empty()) call.function = "count_star";
    if (!arguments.empty()) {
      POLYSOME_ASSIGN(call.argument, text(arguments[0]));
    }
    if (is_present(node, "filter")) {
      POLYSOME_ASSIGN(call.filter, text(node.at("filter")));
    }
    auto known = std::ranges::find(out_.calls, call);
    if (known == out_.calls.end()) known = out_.calls.insert(known, call);
    node = reference(fmt::format("a{}", known - out_.calls.begin()));
    return {};
  }

  // An expression as SQL again, by DuckDB's own writer.
  Result<std::string> text(const Tree& expression) {
    if (frame_.is_null()) {
      POLYSOME_ASSIGN(frame_, sql::parse_sql(session_, "SELECT 1", "query", true));
    }
    Tree select = frame_;
    Tree item = expression;
    item["alias"] = "";
    select["select_list"] = Tree::array({std::move(item)});
    const Tree whole = {{"error", false}, {"statements", Tree::array({Tree{{"node", select}}})}};
    POLYSOME_ASSIGN(const std::string sql, session_.text("SELECT json_deserialize_sql(" +
                                                         sql_text(whole.dump()) + "::JSON)"));
    constexpr std::string_view kSelect = "SELECT ";
    if (!sql.starts_with(kSelect)) return fail(Code::kInternal, "unexpected SQL: " + sql);
    return sql.substr(kSelect.size());
  }

  Session& session_;
  const sql::FunctionCatalog& functions_;
  const Tree statement_;
  std::set<std::string> columns_;
  Tree select_, frame_;
  std::vector<Tree> keys_;
  GroupedQuery out_;
  std::string obstacle_;
};

}  // namespace

Result<std::optional<GroupedQuery>> split_grouped_query(Session& session, const std::string& sql,
                                                        const std::vector<std::string>& columns,
                                                        std::string* why_not) {
  POLYSOME_ASSIGN(sql::Tree statement, sql::parse_sql(session, sql, "query", true));
  POLYSOME_ASSIGN(const sql::FunctionCatalog* functions, sql::function_catalog(session));
  return Splitter(session, *functions, std::move(statement), columns).run(why_not);
}

}  // namespace polysome
