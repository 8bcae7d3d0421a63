#include "model/operation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <utility>

#include "base/nearest.h"

namespace polysome {
namespace {

constexpr std::array<std::pair<ParamType, std::string_view>, 13> kTypes{{
    {ParamType::kText, "text"},
    {ParamType::kInteger, "integer"},
    {ParamType::kNumber, "number"},
    {ParamType::kBoolean, "boolean"},
    {ParamType::kChoice, "choice"},
    {ParamType::kColumn, "column"},
    {ParamType::kColumns, "columns"},
    {ParamType::kTexts, "texts"},
    {ParamType::kChoices, "choices"},
    {ParamType::kNumbers, "numbers"},
    {ParamType::kExpression, "expression"},
    {ParamType::kQuery, "query"},
    {ParamType::kObject, "object"},
}};

Error refused(const Parameter& p, std::string message, std::string hint = {}) {
  return Error(Code::kInvalid, std::move(message), std::move(hint))
      .at("/parameters/" + pointer_token(p.name));
}

Result<Json> check_choice(const Parameter& p, const Json& value) {
  if (!value.is_string())
    return fail(
        refused(p, fmt::format("{} must be one of {}", p.name, fmt::join(p.choices, ", "))));
  const auto text = value.get<std::string>();
  for (const auto& c : p.choices)
    if (c == text) return value;
  for (const auto& [theirs, ours] : p.foreign_values)
    if (theirs == text) return Json(ours);
  return fail(refused(
      p, fmt::format("{} \"{}\" is not known{}", p.name, text, did_you_mean(text, p.choices)),
      fmt::format("one of {}", fmt::join(p.choices, ", "))));
}

Result<Json> check_number(const Parameter& p, const Json& value) {
  const double least = p.least.value_or(-HUGE_VAL);
  const double most = p.most.value_or(HUGE_VAL);
  const bool whole = p.type == ParamType::kInteger;
  bool good = value.is_number() && value.get<double>() >= least && value.get<double>() <= most;
  if (good && whole) good = std::trunc(value.get<double>()) == value.get<double>();
  if (good)
    return whole && value.is_number_float() ? Json(static_cast<std::int64_t>(value.get<double>()))
                                            : value;
  std::string range;
  if (p.least && p.most)
    range = fmt::format(" from {} to {}", *p.least, *p.most);
  else if (p.least)
    range = fmt::format(" of at least {}", *p.least);
  return fail(refused(
      p, fmt::format("{} must be a {}{}", p.name, whole ? "whole number" : "number", range)));
}

Result<Json> check_text(const Parameter& p, const Json& value) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    return fail(refused(p, fmt::format("{} must be a text", p.name)));
  if (value.get_ref<const std::string&>().find('\0') != std::string::npos)
    return fail(refused(p, fmt::format("{} holds a NUL character", p.name)));
  return value;
}

// One value or a list of them, always answered as a list.
template <class Check>
Result<Json> check_list(const Parameter& p, const Json& value, Check check) {
  Json out = Json::array();
  if (!value.is_array()) {
    POLYSOME_ASSIGN(Json one, check(p, value));
    out.push_back(std::move(one));
    return out;
  }
  if (value.empty()) return fail(refused(p, fmt::format("{} is an empty list", p.name)));
  for (const auto& item : value) {
    POLYSOME_ASSIGN(Json one, check(p, item));
    out.push_back(std::move(one));
  }
  return out;
}

Result<Json> check(const Parameter& p, const Json& value) {
  switch (p.type) {
    case ParamType::kText:
    case ParamType::kColumn:
    case ParamType::kExpression:
    case ParamType::kQuery: return check_text(p, value);
    case ParamType::kInteger:
    case ParamType::kNumber: return check_number(p, value);
    case ParamType::kBoolean:
      if (!value.is_boolean()) return fail(refused(p, p.name + " must be true or false"));
      return value;
    case ParamType::kChoice: return check_choice(p, value);
    case ParamType::kColumns:
      // "*" and "/regex/" stay as they are; a name becomes a list of one.
      if (value.is_string()) {
        const auto text = value.get<std::string>();
        if (text == "*" || (text.size() > 2 && text.front() == '/' && text.back() == '/'))
          return value;
      }
      return check_list(p, value, check_text);
    case ParamType::kTexts: return check_list(p, value, check_text);
    case ParamType::kChoices: return check_list(p, value, check_choice);
    case ParamType::kNumbers: return check_list(p, value, check_number);
    case ParamType::kObject:
      if (!value.is_object()) return fail(refused(p, p.name + " must be an object"));
      return value;
  }
  return value;
}

Json pairs_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json j = Json::object();
  for (const auto& [a, b] : pairs) j[a] = b;
  return j;
}

std::vector<std::pair<std::string, std::string>> pairs_from(const Json& j) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [a, b] : j.items()) out.emplace_back(a, b.get<std::string>());
  return out;
}

}  // namespace

std::string_view name(ParamType type) {
  for (const auto& [k, v] : kTypes)
    if (k == type) return v;
  return "text";
}

Json Parameter::to_json() const {
  Json j = {{"name", name}, {"type", polysome::name(type)}, {"text", text}, {"required", required}};
  if (!default_value.is_null()) j["default"] = default_value;
  if (!choices.empty()) j["choices"] = choices;
  if (least) j["least"] = *least;
  if (most) j["most"] = *most;
  if (!foreign.empty()) j["foreign"] = pairs_json(foreign);
  if (!foreign_values.empty()) j["foreign_values"] = pairs_json(foreign_values);
  return j;
}

Result<Parameter> Parameter::from_json(const Json& j) {
  try {
    Parameter p;
    p.name = j.at("name").get<std::string>();
    const auto type = j.at("type").get<std::string>();
    for (const auto& [k, v] : kTypes)
      if (v == type) p.type = k;
    p.text = j.value("text", "");
    p.required = j.value("required", false);
    if (j.contains("default")) p.default_value = j["default"];
    p.choices = j.value("choices", std::vector<std::string>{});
    if (j.contains("least")) p.least = j["least"].get<double>();
    if (j.contains("most")) p.most = j["most"].get<double>();
    if (j.contains("foreign")) p.foreign = pairs_from(j["foreign"]);
    if (j.contains("foreign_values")) p.foreign_values = pairs_from(j["foreign_values"]);
    return p;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable parameter: ") + e.what());
  }
}

Json OperationDescription::to_json() const {
  Json list = Json::array();
  for (const auto& p : parameters) list.push_back(p.to_json());
  return {{"name", name},
          {"version", version},
          {"type", type},
          {"text", text},
          {"min_datasets", min_datasets},
          {"max_datasets", max_datasets},
          {"parameters", std::move(list)},
          {"tables", tables},
          {"example", example}};
}

Result<OperationDescription> OperationDescription::from_json(const Json& j) {
  try {
    OperationDescription d;
    d.name = j.at("name").get<std::string>();
    d.version = j.value("version", 1);
    d.type = j.value("type", "table");
    d.text = j.value("text", "");
    d.min_datasets = j.value("min_datasets", 1);
    d.max_datasets = j.value("max_datasets", 1);
    for (const auto& p : j.at("parameters")) {
      POLYSOME_ASSIGN(Parameter one, Parameter::from_json(p));
      d.parameters.push_back(std::move(one));
    }
    d.tables = j.value("tables", std::vector<std::string>{});
    if (j.contains("example")) d.example = j["example"];
    return d;
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("unreadable operation: ") + e.what());
  }
}

Result<Json> OperationDescription::validate(const Json& given) const {
  if (!given.is_object())
    return fail(Error(Code::kInvalid, "parameters must be an object").at("/parameters"));
  std::vector<std::string> names;
  for (const auto& p : parameters) names.push_back(p.name);
  for (const auto& [key, value] : given.items()) {
    bool known = false;
    for (const auto& p : parameters) {
      known = known || p.name == key;
      for (const auto& [theirs, whose] : p.foreign)
        if (theirs == key)
          return fail(
              Error(Code::kInvalid, fmt::format("{}: {} name; here it is {}", key, whose, p.name))
                  .at("/parameters/" + pointer_token(key)));
    }
    if (!known)
      return fail(
          Error(Code::kInvalid,
                fmt::format("{} has no parameter \"{}\"{}", name, key, did_you_mean(key, names)),
                names.empty() ? "it takes no parameters"
                              : fmt::format("it takes {}", fmt::join(names, ", ")))
              .at("/parameters/" + pointer_token(key)));
  }
  Json out = Json::object();
  for (const auto& p : parameters) {
    const auto it = given.find(p.name);
    if (it != given.end() && !it->is_null()) {
      POLYSOME_ASSIGN(out[p.name], check(p, *it));
    } else if (p.required) {
      return fail(
          refused(p, fmt::format("{} needs the parameter \"{}\": {}", name, p.name, p.text)));
    } else if (!p.default_value.is_null()) {
      out[p.name] = p.default_value;
    }
  }
  return out;
}

Result<OperationCatalog> OperationCatalog::from_json(std::string_view text) {
  POLYSOME_ASSIGN(const Json list, parse_trusted_json(text));
  OperationCatalog out;
  if (!list.is_array()) return fail(Code::kInternal, "the list of operations is unreadable");
  for (const auto& j : list) {
    POLYSOME_ASSIGN(OperationDescription d, OperationDescription::from_json(j));
    out.add(std::move(d));
  }
  return out;
}

const OperationDescription* OperationCatalog::find(std::string_view wanted) const {
  for (const auto& d : operations_)
    if (d.name == wanted) return &d;
  return nullptr;
}

std::vector<std::string> OperationCatalog::names() const {
  std::vector<std::string> out;
  for (const auto& d : operations_) out.push_back(d.name);
  return out;
}

Json OperationCatalog::to_json() const {
  Json out = Json::array();
  for (const auto& d : operations_) out.push_back(d.to_json());
  return out;
}

}  // namespace polysome
