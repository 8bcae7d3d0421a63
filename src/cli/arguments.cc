#include "cli/arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "base/files.h"
#include "base/nearest.h"
#include "cli/phrases.h"

namespace polysome::cli {
namespace {

constexpr std::uint64_t kMostParamsBytes = 1'000'000;

Error wrong(const Parameter& p, const std::string& text, std::string_view wanted) {
  return {Code::kInvalid, fmt::format("{}={} is not {}", p.name, text, wanted),
          p.text.empty() ? "" : fmt::format("{}: {}", p.name, p.text)};
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= text.size();) {
    const auto comma = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return out;
}

Result<Json> read_number(const Parameter& p, const std::string& text) {
  if (p.type == ParamType::kInteger) {
    std::int64_t n = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (ec == std::errc() && end == text.data() + text.size()) return Json(n);
  }
  double value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = p.type == ParamType::kInteger;
  if (ec != std::errc() || end != text.data() + text.size())
    return fail(wrong(p, text, whole ? "a whole number" : "a number"));
  return Json(value);
}

Result<Json> read_boolean(const Parameter& p, const std::string& text) {
  if (text == "true" || text == "yes" || text == "1") return Json(true);
  if (text == "false" || text == "no" || text == "0") return Json(false);
  return fail(wrong(p, text, "true or false"));
}

Result<Json> read_list(const Parameter& p, const std::string& text) {
  Json out = Json::array();
  for (const auto& item : split(text)) {
    if (item.empty())
      return fail(Code::kInvalid, fmt::format("{}={} has an empty item", p.name, text),
                  fmt::format("items with commas: {}:='[\"a,b\"]'", p.name));
    if (p.type == ParamType::kNumbers) {
      POLYSOME_ASSIGN(Json number, read_number(p, item));
      out.push_back(std::move(number));
    } else {
      out.push_back(item);
    }
  }
  return out.size() == 1 ? out.front() : out;
}

struct Assignment {
  std::string key, value;
  bool json = false;  // key:=JSON
};

// A word is an assignment when a name stands before its first = or :=; anything else is a dataset.
std::optional<Assignment> assignment(const std::string& word) {
  const auto equals = word.find('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  Assignment out;
  out.json = word[equals - 1] == ':';
  out.key = word.substr(0, out.json ? equals - 1 : equals);
  out.value = word.substr(equals + 1);
  const auto name_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  };
  const bool digit = !out.key.empty() && out.key[0] >= '0' && out.key[0] <= '9';
  if (out.key.empty() || digit || out.key[0] == '.' ||
      !std::ranges::all_of(out.key, name_character))
    return std::nullopt;
  return out;
}

Result<Json> json_value(const Assignment& a) {
  auto value = parse_json(a.value);
  if (!value)
    return fail(Code::kInvalid,
                fmt::format("{}:={} is not JSON: {}", a.key, a.value, value.error().message),
                fmt::format("texts need quotes: {}:='\"text\"'", a.key));
  return value;
}

Result<Json> layout_value(const std::string& key, const Assignment& a) {
  if (a.json) return json_value(a);
  if (key == "header" || key == "zero_is_missing") {
    Parameter p;
    p.name = a.key;
    return read_boolean(p, a.value);
  }
  if (key == "label_columns" || key == "null_values") return Json(split(a.value));
  return Json(a.value == "\\t" ? "\t" : a.value);
}

Status add_parameter(const OperationDescription& operation, const Assignment& a, Json& parameters) {
  const auto p = std::ranges::find(operation.parameters, a.key, &Parameter::name);
  if (a.json) {
    POLYSOME_ASSIGN(parameters[a.key], json_value(a));
  } else if (p == operation.parameters.end()) {
    parameters[a.key] = a.value;  // refused by the check, with the nearest name
  } else {
    POLYSOME_ASSIGN(parameters[a.key], read_value(*p, a.value));
  }
  return {};
}

}  // namespace

Result<Json> read_value(const Parameter& p, const std::string& text) {
  switch (p.type) {
    case ParamType::kInteger:
    case ParamType::kNumber: return read_number(p, text);
    case ParamType::kBoolean: return read_boolean(p, text);
    case ParamType::kColumns:
      if (text == "*" || (text.size() > 2 && text.front() == '/' && text.back() == '/'))
        return Json(text);
      return read_list(p, text);
    case ParamType::kTexts:
    case ParamType::kChoices:
    case ParamType::kNumbers: return read_list(p, text);
    case ParamType::kObject: {
      auto object = parse_json(text);
      if (!object || !object->is_object())
        return fail(
            wrong(p, text, fmt::format("an object; write {}:='{{\"key\": \"value\"}}'", p.name)));
      return object;
    }
    default: return Json(text);
  }
}

Result<std::string> text_or_file(const std::string& value) {
  if (!value.starts_with('@')) return value;
  return read_file(value.substr(1), kMostParamsBytes);
}

Result<Json> json_or_file(const std::string& value, const std::string& what) {
  POLYSOME_ASSIGN(const std::string text, text_or_file(value));
  auto json = parse_json(text);
  if (!json)
    return fail(Code::kInvalid, fmt::format("{} is not JSON: {}", what, json.error().message),
                fmt::format("write {0} '{{\"key\": \"value\"}}' or {0} @FILE", what));
  if (!json->is_object())
    return fail(Code::kInvalid, fmt::format("{} is not a JSON object", what),
                fmt::format("write {0} '{{\"key\": \"value\"}}' or {0} @FILE", what));
  return json;
}

Result<JobArguments> read_job_arguments(const OperationDescription& operation,
                                        const std::vector<std::string>& words,
                                        const std::string& params, bool part) {
  JobArguments out;
  Json parameters = Json::object();
  if (!params.empty()) {
    POLYSOME_ASSIGN(Json given, json_or_file(params, "--params"));
    if (given.contains("parameters") || given.contains("operation")) {
      const std::string named = text_of(given, "operation", operation.name);
      if (named != operation.name)
        return fail(Code::kInvalid,
                    fmt::format("--params is for {}, the command says {}", named, operation.name),
                    "name the same operation in both");
      if (given.contains("parameters")) parameters = given["parameters"];
      out.body = std::move(given);
    } else {
      parameters = std::move(given);
    }
  }
  out.body["operation"] = operation.name;
  std::set<std::string> seen;
  for (const auto& word : words) {
    const auto a = assignment(word);
    if (!a) {
      out.datasets.push_back(word);
      continue;
    }
    if (!seen.insert(a->key).second)
      return fail(Code::kInvalid, fmt::format("{} is given twice", a->key),
                  fmt::format("a list is written {}=a,b", a->key));
    if (a->key.starts_with("layout.")) {
      const std::string key = a->key.substr(7);
      if (!out.body.contains("layout")) out.body["layout"] = Json::object();
      if (!out.body["layout"].is_object())
        return fail(Code::kInvalid, "layout in --params is not an object");
      POLYSOME_ASSIGN(out.body["layout"][key], layout_value(key, *a));
    } else {
      POLYSOME_TRY(add_parameter(operation, *a, parameters));
    }
  }
  if (!part) POLYSOME_TRY(operation.validate(parameters));
  out.body["parameters"] = std::move(parameters);
  return out;
}

Result<Json> read_changes(const OperationDescription& operation,
                          const std::vector<std::string>& words, const std::string& params) {
  Json parameters = Json::object();
  if (!params.empty()) {
    POLYSOME_ASSIGN(parameters, json_or_file(params, "--params"));
  }
  for (const auto& word : words) {
    const auto a = assignment(word);
    if (!a)
      return fail(Code::kInvalid, fmt::format("\"{}\" is not key=value", word),
                  "what is not said stays as it was");
    POLYSOME_TRY(add_parameter(operation, *a, parameters));
  }
  return parameters;
}

Result<const OperationDescription*> find_operation(const OperationCatalog& catalog,
                                                   const std::string& name) {
  if (const auto* found = catalog.find(name)) return found;
  const auto names = catalog.names();
  return fail(Code::kInvalid,
              fmt::format("there is no operation \"{}\"{}", name, did_you_mean(name, names)),
              fmt::format("one of {}; polysome ops NAME tells more", fmt::join(names, ", ")));
}

}  // namespace polysome::cli
