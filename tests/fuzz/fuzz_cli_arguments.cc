// Words of run, submit and retry, and what is printed of anything.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/phrases.h"
#include "cli/terminal.h"
#include "operations.h"

using namespace polysome;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  const auto* operation = fuzz::catalog().find("all");
  // A file's name is no business of the fuzzer.
  const std::string params = words.front().starts_with('@') ? "" : words.front();
  if (const auto read = cli::read_job_arguments(*operation, words, params))
    fuzz::expect(read->body.is_object() && read->body["operation"] == "all");
  else
    fuzz::expect_told(read.error());
  if (const auto changes = cli::read_changes(*operation, words, ""); !changes)
    fuzz::expect_told(changes.error());
  (void)cli::parse_duration(text);
  const std::string shown = cli::printable(text);
  for (const unsigned char c : shown) fuzz::expect(c >= 0x20 && c != 0x7f);
  for (const int width : {1, 20, 80}) {
    fuzz::expect(cli::display_width(cli::cut(shown, width)) <= width);
    fuzz::expect(!cli::wrap(shown, width).empty() && !cli::fit(shown, width).empty());
  }
  return 0;
}
