#include "operations/simple_where.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "kernels/sql_tree.h"

namespace polysome {
namespace {

using sql::Tree;

struct Comparison {
  std::string_view op, turned;  // turned: with its sides exchanged
};
std::optional<Comparison> comparison(std::string_view type) {
  static constexpr std::array<std::pair<std::string_view, Comparison>, 6> kAll{{
      {"COMPARE_EQUAL", {"=", "="}},
      {"COMPARE_NOTEQUAL", {"<>", "<>"}},
      {"COMPARE_LESSTHAN", {"<", ">"}},
      {"COMPARE_GREATERTHAN", {">", "<"}},
      {"COMPARE_LESSTHANOREQUALTO", {"<=", ">="}},
      {"COMPARE_GREATERTHANOREQUALTO", {">=", "<="}},
  }};
  for (const auto& [name, c] : kAll)
    if (name == type) return c;
  return std::nullopt;
}

const SourceColumn* column_of(const TableSource& source, const Tree& node) {
  if (sql::text_of(node, "class") != "COLUMN_REF") return nullptr;
  const auto names = node.find("column_names");
  if (names == node.end() || names->size() != 1) return nullptr;
  const std::string wanted = sql::lower((*names)[0].get<std::string>());
  const SourceColumn* out = nullptr;
  for (const auto& c : source.columns) {
    if (sql::lower(c.name) != wanted) continue;
    if (out != nullptr) return nullptr;
    out = &c;
  }
  if (out == nullptr || out->from == "folder") return nullptr;
  return out->type == "int64" || out->type == "double" || out->type == "string" ? out : nullptr;
}

// A decimal constant as the double that SQL makes of it when it is compared with one.
std::optional<double> decimal(const Tree& value, const Tree& type) {
  constexpr std::int64_t kMostExact = std::int64_t{1} << 53;
  if (!value.is_number_integer()) return std::nullopt;
  const auto info = type.find("type_info");
  if (info == type.end()) return std::nullopt;
  const auto scale = info->value("scale", 99);
  const auto digits = value.get<std::int64_t>();
  if (scale > 22 || std::abs(digits) > kMostExact) return std::nullopt;
  return static_cast<double>(digits) / std::pow(10.0, scale);
}

// A constant of the column's kind.
std::optional<Json> constant(const SourceColumn& column, const Tree& node) {
  if (sql::text_of(node, "class") != "CONSTANT") return std::nullopt;
  const auto outer = node.find("value");
  if (outer == node.end() || outer->value("is_null", true)) return std::nullopt;
  const auto type = outer->find("type");
  const auto value = outer->find("value");
  if (type == outer->end() || value == outer->end()) return std::nullopt;
  const std::string id = sql::text_of(*type, "id");
  if (column.type == "string") {
    if (id != "VARCHAR" || !value->is_string()) return std::nullopt;
    return Json(value->get<std::string>());
  }
  const bool whole = (id == "INTEGER" || id == "BIGINT") && value->is_number_integer();
  if (column.type == "int64")
    return whole ? std::optional<Json>(value->get<std::int64_t>()) : std::nullopt;
  if (whole) return Json(static_cast<double>(value->get<std::int64_t>()));
  if (id == "DOUBLE" && value->is_number()) return Json(value->get<double>());
  if (id != "DECIMAL") return std::nullopt;
  const auto number = decimal(*value, *type);
  return number ? std::optional<Json>(*number) : std::nullopt;
}

std::optional<Json> test(const SourceColumn* column, std::string_view op,
                         const std::vector<const Tree*>& values) {
  if (column == nullptr) return std::nullopt;
  Json list = Json::array();
  for (const Tree* v : values) {
    auto c = constant(*column, *v);
    if (!c) return std::nullopt;
    list.push_back(std::move(*c));
  }
  return Json{{"column", column->name}, {"op", op}, {"values", std::move(list)}};
}

std::optional<Json> tests_of(const TableSource& source, const Tree& node);

std::optional<Json> conjunction(const TableSource& source, const Tree& node, const char* key) {
  Json list = Json::array();
  for (const auto& child : node.at("children")) {
    auto one = tests_of(source, child);
    if (!one) return std::nullopt;
    list.push_back(std::move(*one));
  }
  return Json{{key, std::move(list)}};
}

std::optional<Json> tests_of(const TableSource& source, const Tree& node) {
  const std::string type = sql::text_of(node, "type");
  if (type == "CONJUNCTION_AND") return conjunction(source, node, "and");
  if (type == "CONJUNCTION_OR") return conjunction(source, node, "or");
  if (const auto c = comparison(type)) {
    const Tree &left = node.at("left"), &right = node.at("right");
    if (const auto* column = column_of(source, left)) return test(column, c->op, {&right});
    return test(column_of(source, right), c->turned, {&left});
  }
  if (type == "COMPARE_BETWEEN")
    return test(column_of(source, node.at("input")), "between",
                {&node.at("lower"), &node.at("upper")});
  const auto children = node.find("children");
  if (children == node.end() || children->empty()) return std::nullopt;
  const SourceColumn* column = column_of(source, (*children)[0]);
  if (type == "OPERATOR_IS_NULL") return test(column, "missing", {});
  if (type == "OPERATOR_IS_NOT_NULL") return test(column, "present", {});
  if (type != "COMPARE_IN" && type != "COMPARE_NOT_IN") return std::nullopt;
  std::vector<const Tree*> values;
  for (std::size_t i = 1; i < children->size(); ++i) values.push_back(&(*children)[i]);
  if (values.empty()) return std::nullopt;
  return test(column, type == "COMPARE_IN" ? "in" : "not in", values);
}

}  // namespace

Json simple_where(Session& session, const TableSource& source, const std::string& where) {
  if (where.empty() || !is_delimited(source.format)) return {};
  try {
    const auto node = sql::parse_sql(session, "SELECT 1 FROM data WHERE " + where, where);
    if (!node) return {};
    const auto clause = node->find("where_clause");
    if (clause == node->end()) return {};
    auto out = tests_of(source, *clause);
    return out ? std::move(*out) : Json();
  } catch (const Tree::exception&) {
    return {};  // a tree of another form is for SQL
  }
}

}  // namespace polysome
