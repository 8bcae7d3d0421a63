// Layouts, sizes, times and token files.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "model/access_tokens.h"
#include "model/submit_request.h"
#include "operations.h"

using namespace polysome;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto json = parse_json(text)) {
    const auto layout = parse_layout(*json, "/layout");
    if (layout) {
      const auto again = parse_layout(*layout, "/layout");
      fuzz::expect(again && *again == *layout);
    } else {
      fuzz::expect_told(layout.error());
    }
    (void)parse_priority(*json, "/priority");
  }
  if (const auto bytes = parse_bytes(text)) (void)format_bytes(*bytes);
  if (const auto time = parse_time(std::string(text))) {
    const auto again = parse_time(format_time(*time));
    fuzz::expect(again && *again == *time);
  }
  if (const auto tokens = parse_tokens(text, "tokens"))
    for (const auto& t : *tokens) {
      const auto again = parse_tokens(t.line(), "tokens");
      fuzz::expect(again && again->size() == 1 && again->front().line() == t.line());
    }
  return 0;
}
