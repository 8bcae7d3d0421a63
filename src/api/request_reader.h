// What handlers take from a request, strictly: query parameters by name and type, the JSON body.
// The router has refused unknown and repeated parameters before. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http_message.h"
#include "base/clock.h"
#include "model/json.h"

namespace polysome::api {

inline constexpr std::int64_t kMostListed = 1000;
inline constexpr std::int64_t kDefaultListed = 100;
inline constexpr double kMostWaitSeconds = 60;

// Each getter answers nullopt for an absent parameter. The first error is kept.
class QueryReader {
 public:
  explicit QueryReader(const HttpRequest& request) : request_(request) {}

  std::optional<std::string> text(std::string_view name);
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t least, std::int64_t most);
  std::optional<double> number(std::string_view name, double least, double most);
  std::optional<WallTime> time(std::string_view name);  // RFC 3339
  std::optional<std::string> choice(std::string_view name, const std::vector<std::string>& allowed);
  // Comma-separated, without empty ones.
  std::vector<std::string> list(std::string_view name);
  // `limit` of a list.
  std::size_t limit(std::size_t usual = 100);
  // `page_token` of a list whose pages are told apart by a number; 0 when absent.
  std::uint64_t page_offset();
  // `wait` in seconds, 0 when absent.
  double wait();

  void refuse(Error error);
  Status status() const;

 private:
  const std::string* find(std::string_view name) const;

  const HttpRequest& request_;
  std::optional<Error> error_;
};

// The body as a JSON object; an empty body is an empty one. Errors: kMalformed, kTooLarge,
// kInvalid.
Result<Json> read_body(const HttpRequest& request);

}  // namespace polysome::api
