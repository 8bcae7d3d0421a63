#include "model/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/bytes.h"
#include "base/nearest.h"

namespace polysome {
namespace {

// First pass over the text: depth, duplicate keys, member count. The DOM is built only afterwards,
// so hostile input never makes a large tree.
class Checker final : public nlohmann::json_sax<Json> {
 public:
  explicit Checker(JsonLimits limits) : limits_(limits) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return enter();
  }
  bool key(string_t& name) override {
    auto& keys = keys_.back();
    if (!keys.insert(name).second) {
      problem = "the key \"" + name + "\" stands twice in one object";
      return false;
    }
    if (keys.size() > limits_.members) {
      problem = fmt::format("an object has more than {} members", limits_.members);
      return false;
    }
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override { return enter(); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t at, const std::string& token,
                   const nlohmann::detail::exception& e) override {
    position = at;
    if (problem.empty()) {
      std::string what = e.what();
      const auto colon = what.find(": ");
      const auto dash = what.find(" - ");
      if (dash != std::string::npos)
        what = what.substr(dash + 3);
      else if (colon != std::string::npos)
        what = what.substr(colon + 2);
      if (const auto semi = what.find("; last read"); semi != std::string::npos) what.resize(semi);
      problem = what.empty() ? "unexpected " + token : what;
    }
    return false;
  }

  std::string problem;
  std::size_t position = 0;

 private:
  bool enter() {
    if (++depth_ <= limits_.depth) return true;
    problem = fmt::format("nested deeper than {} levels", limits_.depth);
    return false;
  }

  JsonLimits limits_;
  int depth_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;
};

std::string place(std::string_view text, std::size_t position) {
  if (position == 0) return {};
  position = std::min(position, text.size());
  std::size_t line = 1, column = 1;
  for (std::size_t i = 0; i + 1 < position; ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return fmt::format(" (line {}, column {})", line, column);
}

Result<Json> parse(std::string_view text, JsonLimits limits) {
  if (text.size() > limits.bytes)
    return fail(Code::kTooLarge,
                fmt::format("the JSON text is over {}", format_bytes(limits.bytes)));
  Checker checker(limits);
  bool good = false;
  try {
    good = Json::sax_parse(text, &checker);
  } catch (const std::exception& e) {
    checker.problem = e.what();
  }
  if (!good)
    return fail(Code::kMalformed,
                "not valid JSON: " + checker.problem + place(text, checker.position),
                "names and texts stand in double quotes, nothing after the last member: "
                "{\"name\": \"x\", \"n\": 1}");
  Json out = Json::parse(text, nullptr, false);
  if (out.is_discarded()) return fail(Code::kMalformed, "not valid JSON");
  return out;
}

}  // namespace

Result<Json> parse_json(std::string_view text, JsonLimits limits) { return parse(text, limits); }

Result<Json> parse_trusted_json(std::string_view text) {
  Json out = Json::parse(text, nullptr, false);
  if (out.is_discarded()) return fail(Code::kMalformed, "not valid JSON");
  return out;
}

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string dump_pretty(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace);
}

Json number_json(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

std::string pointer_token(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out.push_back(c);
  }
  return out;
}

namespace {

constexpr std::size_t kMostShown = 60;  // bytes of a value that is quoted in a message

// A value as it was given, cut when it is long.
std::string shown(const Json& value) {
  std::string text = dump(value);
  if (text.size() <= kMostShown) return text;
  std::size_t end = kMostShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

// "/users/ada" as people read it: users.ada.
std::string dotted(std::string_view pointer) {
  std::string out(pointer.substr(pointer.starts_with('/') ? 1 : 0));
  std::ranges::replace(out, '/', '.');
  return out;
}

}  // namespace

ObjectReader::ObjectReader(const Json& object, std::string pointer)
    : object_(object), pointer_(std::move(pointer)) {
  if (!object_.is_object())
    refuse(Error(Code::kInvalid,
                 (pointer_.empty() ? "the body" : dotted(pointer_)) + " must be an object")
               .at(pointer_));
}

bool ObjectReader::has(std::string_view key) const {
  return object_.is_object() && object_.contains(std::string(key));
}

const Json* ObjectReader::raw(const char* key) {
  known_.emplace_back(key);
  if (!object_.is_object()) return nullptr;
  const auto it = object_.find(key);
  if (it == object_.end() || it->is_null()) return nullptr;
  return &*it;
}

std::string ObjectReader::pointer_to(std::string_view key) const {
  return pointer_ + "/" + pointer_token(key);
}

void ObjectReader::refuse(Error error) {
  if (!error_) error_ = std::move(error);
}

void ObjectReader::refuse(const char* key, Code code, std::string message, std::string hint) {
  refuse(Error(code, std::move(message), std::move(hint)).at(pointer_to(key)));
}

std::optional<std::string> ObjectReader::text(const char* key, std::size_t max_bytes) {
  const Json* v = raw(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_string()) {
    refuse(key, Code::kInvalid, fmt::format("{} must be a text, not {}", key, shown(*v)));
    return std::nullopt;
  }
  auto out = v->get<std::string>();
  if (out.size() > max_bytes) {
    refuse(key, Code::kInvalid, fmt::format("{} is longer than {} bytes", key, max_bytes));
    return std::nullopt;
  }
  if (out.find('\0') != std::string::npos) {
    refuse(key, Code::kInvalid, fmt::format("{} holds a NUL character", key));
    return std::nullopt;
  }
  return out;
}

std::optional<std::int64_t> ObjectReader::integer(const char* key, std::int64_t least,
                                                  std::int64_t most) {
  const Json* v = raw(key);
  if (v == nullptr) return std::nullopt;
  std::optional<std::int64_t> out;
  if (v->is_number_unsigned()) {
    if (v->get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX))
      out = v->get<std::int64_t>();
  } else if (v->is_number_integer()) {
    out = v->get<std::int64_t>();
  } else if (v->is_number_float() && std::trunc(v->get<double>()) == v->get<double>() &&
             std::abs(v->get<double>()) < 9e15) {
    out = static_cast<std::int64_t>(v->get<double>());
  }
  if (!out || *out < least || *out > most) {
    refuse(key, Code::kInvalid,
           most == INT64_MAX ? fmt::format("{} must be a whole number of at least {}, not {}", key,
                                           least, shown(*v))
                             : fmt::format("{} must be a whole number from {} to {}, not {}", key,
                                           least, most, shown(*v)));
    return std::nullopt;
  }
  return out;
}

std::optional<double> ObjectReader::number(const char* key, double least, double most) {
  const Json* v = raw(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_number() || !(v->get<double>() >= least) || !(v->get<double>() <= most)) {
    refuse(key, Code::kInvalid,
           std::isinf(most)
               ? fmt::format("{} must be a number of at least {}, not {}", key, least, shown(*v))
               : fmt::format("{} must be a number from {} to {}, not {}", key, least, most,
                             shown(*v)));
    return std::nullopt;
  }
  return v->get<double>();
}

std::optional<bool> ObjectReader::boolean(const char* key) {
  const Json* v = raw(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_boolean()) {
    refuse(key, Code::kInvalid, fmt::format("{} must be true or false, not {}", key, shown(*v)));
    return std::nullopt;
  }
  return v->get<bool>();
}

std::optional<std::uint64_t> ObjectReader::bytes(const char* key) {
  const Json* v = raw(key);
  if (v == nullptr) return std::nullopt;
  Result<std::uint64_t> size = fail(Code::kInvalid, shown(*v) + " is not a size",
                                    "write it as 2GB, 512MiB or a number of bytes");
  if (v->is_string()) size = parse_bytes(v->get<std::string>());
  if (v->is_number() && v->get<double>() >= 0 && v->get<double>() < 9e18)
    size = v->is_number_float() ? static_cast<std::uint64_t>(v->get<double>())
                                : v->get<std::uint64_t>();
  if (!size) {
    refuse(key, Code::kInvalid, fmt::format("{}: {}", key, size.error().message),
           size.error().hint);
    return std::nullopt;
  }
  return *size;
}

std::optional<std::vector<std::string>> ObjectReader::texts(const char* key, std::size_t most) {
  const Json* v = raw(key);
  if (v == nullptr) return std::nullopt;
  if (v->is_string()) return std::vector{v->get<std::string>()};
  std::vector<std::string> out;
  bool good = v->is_array() && v->size() <= most;
  if (good)
    for (const auto& item : *v) {
      good = good && item.is_string();
      if (good) out.push_back(item.get<std::string>());
    }
  if (!good) {
    refuse(key, Code::kInvalid,
           fmt::format("{} must be a text or a list of at most {} texts, not {}", key, most,
                       shown(*v)));
    return std::nullopt;
  }
  return out;
}

Status ObjectReader::finish() {
  if (!error_)
    for (const auto& [key, value] : object_.items()) {
      bool found = false;
      for (const auto& k : known_) found = found || k == key;
      if (!found) {
        const std::string where = pointer_.empty() ? "" : " in " + dotted(pointer_);
        refuse(key.c_str(), Code::kInvalid,
               fmt::format("unknown field {}{}{}", shown(key), where, did_you_mean(key, known_)),
               known_.empty() ? "it takes no fields"
                              : fmt::format("it takes {}", fmt::join(known_, ", ")));
        break;
      }
    }
  if (error_) return std::unexpected(*error_);
  return {};
}

}  // namespace polysome
