// JSON as the whole program reads and writes it. Doubles survive a round trip exactly, duplicate
// keys, invalid UTF-8 and too deep nesting are errors with a position. Members keep their order.
// Any thread; values own what they hold.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  int depth = 32;
  std::size_t members = 4096;  // of one object
  std::size_t bytes = 1'000'000;
};

// Errors: kMalformed with line and column; kTooLarge over `bytes`.
Result<Json> parse_json(std::string_view text, JsonLimits limits = {});
// For our own files and frames: no limits but depth 64.
Result<Json> parse_trusted_json(std::string_view text);
// Compact; invalid UTF-8 in strings (names of files and columns) becomes U+FFFD, never an
// exception.
std::string dump(const Json& value);
std::string dump_pretty(const Json& value);
// A double for people and programs: null for NaN is never written; NaN and infinities are the
// strings "NaN", "Infinity", "-Infinity"; whole numbers stay doubles (4.0).
Json number_json(double value);

// Reads the members of an object strictly: each member is asked for by name, `finish` refuses what
// nobody asked for and names the nearest known one. The first error is kept; getters then give the
// default. `pointer` is the JSON pointer of the object ("" for the root).
class ObjectReader {
 public:
  ObjectReader(const Json& object, std::string pointer);

  bool has(std::string_view key) const;
  // The raw member, or nullptr when absent or null; marks the key as known.
  const Json* raw(const char* key);
  std::optional<std::string> text(const char* key, std::size_t max_bytes = 4096);
  std::optional<std::int64_t> integer(const char* key, std::int64_t least, std::int64_t most);
  std::optional<double> number(const char* key, double least, double most);
  std::optional<bool> boolean(const char* key);
  // "2GB" or a number of bytes.
  std::optional<std::uint64_t> bytes(const char* key);
  // A list of texts; one text alone counts as a list of one.
  std::optional<std::vector<std::string>> texts(const char* key, std::size_t most = 1000);
  // Notes an error at a member (pointer is completed); the first one wins.
  void refuse(const char* key, Code code, std::string message, std::string hint = {});
  void refuse(Error error);
  bool ok() const { return !error_; }
  std::string pointer_to(std::string_view key) const;
  // Checks for unknown members, then answers with the first error, if any.
  Status finish();

 private:
  const Json& object_;
  std::string pointer_;
  std::vector<std::string> known_;
  std::optional<Error> error_;
};

// JSON pointer token of a key (RFC 6901 escaping).
std::string pointer_token(std::string_view key);

}  // namespace polysome
