// Request targets, their query parameters by type, and whole request heads.
#include <cstddef>
#include <cstdint>
#include <string>

#include "api/guard.h"
#include "api/request_parser.h"
#include "api/request_reader.h"
#include "api/request_target.h"
#include "operations.h"

using namespace polysome;
using namespace polysome::api;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  HttpRequest request;
  request.target = "/" + text;
  if (const auto parsed = parse_target(&request); parsed) {
    for (const auto& [key, value] : request.query) {
      QueryReader reader(request);
      (void)reader.integer(key, 0, 1000);
      (void)reader.number(key, 0, 60);
      (void)reader.time(key);
      (void)reader.choice(key, {"json", "csv"});
      for (const auto& item : reader.list(key)) fuzz::expect(!item.empty());
      fuzz::expect(reader.text(key).has_value());
      if (const auto ok = reader.status(); !ok) fuzz::expect_told(ok.error());
    }
  } else {
    fuzz::expect_told(parsed.error());
  }
  HttpRequest whole;
  RequestParser parser;
  const auto end = find_head_end(text, 0);
  if (!end || *end == std::string::npos) return 0;
  if (!parser.parse_head(std::string_view(text).substr(0, *end), &whole)) return 0;
  if (!parser.limit_body(10'000)) return 0;
  (void)check_host(whole.header("Host").value_or(""));
  (void)check_origin(whole.header("Origin").value_or(""), whole.header("Host").value_or(""));
  (void)check_media(whole, 1);
  std::string_view rest = std::string_view(text).substr(*end);
  while (!parser.done() && !rest.empty()) {
    const auto used = parser.feed(rest, &whole);
    if (!used || *used == 0) break;
    fuzz::expect(*used <= rest.size());
    rest.remove_prefix(*used);
  }
  fuzz::expect(whole.body.size() <= 10'000);
  return 0;
}
