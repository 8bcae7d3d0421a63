#include "data/gct.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace polysome {
namespace {

constexpr std::string_view kHint =
    "a GCT file begins with #1.2 or #1.3, a line of sizes, and a line of names; read it as "
    "\"format\": \"tsv\" if it is none";

// The next line without its end; false where the text ends before the line does.
bool take_line(std::string_view text, std::size_t* at, bool whole, std::string_view* line) {
  const auto end = text.find('\n', *at);
  if (end == std::string_view::npos && (!whole || *at >= text.size())) return false;
  *line = text.substr(*at, end == std::string_view::npos ? end : end - *at);
  *at = end == std::string_view::npos ? text.size() : end + 1;
  if (line->ends_with('\r')) line->remove_suffix(1);
  return true;
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto tab = line.find('\t');
    out.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return out;
    line.remove_prefix(tab + 1);
  }
}

// Spreadsheets fill short lines up with empty fields.
std::vector<std::string_view> without_empty_end(std::vector<std::string_view> fields) {
  while (!fields.empty() && fields.back().empty()) fields.pop_back();
  return fields;
}

bool read_number(std::string_view text, std::uint64_t* out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return ec == std::errc() && end == text.data() + text.size();
}

std::unexpected<Error> wrong(const std::string& label, int line, const std::string& what) {
  return fail(Code::kUserData, fmt::format("{}, line {}: {}", label, line, what),
              std::string(kHint));
}

}  // namespace

bool is_gct(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return text.starts_with("#1.2\n") || text.starts_with("#1.3\n") || text.starts_with("#1.2\r") ||
         text.starts_with("#1.3\r") || text.starts_with("#1.2\t") || text.starts_with("#1.3\t");
}

Result<std::optional<GctHead>> read_gct_head(std::string_view text, std::size_t at, bool whole,
                                             const std::string& label) {
  GctHead out;
  const auto more = [&](int line) -> Result<std::optional<GctHead>> {
    if (whole) return wrong(label, line, "the file ends within its head");
    return std::optional<GctHead>();
  };
  std::string_view line;
  if (!take_line(text, &at, whole, &line)) return more(1);
  const auto version = without_empty_end(split(line));
  if (version.size() != 1 || (version[0] != "#1.2" && version[0] != "#1.3"))
    return wrong(label, 1,
                 fmt::format("\"{}\" is not a version of GCT that is known", line.substr(0, 40)));
  out.version = version[0].substr(1);
  if (!take_line(text, &at, whole, &line)) return more(2);
  const auto sizes = without_empty_end(split(line));
  const std::size_t wanted = out.version == "1.2" ? 2 : 4;
  std::array<std::uint64_t, 4> n{};
  bool good = sizes.size() == wanted;
  for (std::size_t i = 0; good && i < wanted; ++i) good = read_number(sizes[i], &n[i]);
  if (!good || n[2] > 10'000 || n[3] > 1'000'000)
    return wrong(
        label, 2,
        fmt::format("\"{}\" does not say {}", line.substr(0, 80),
                    wanted == 2 ? "the numbers of rows and samples"
                                : "the numbers of rows, samples, and what describes them"));
  out.rows = n[0];
  out.samples = n[1];
  out.labels = wanted == 2 ? 2 : static_cast<std::uint32_t>(n[2] + 1);
  out.header_at = at;
  if (!take_line(text, &at, whole, &line)) return more(3);
  const auto names = static_cast<std::uint64_t>(std::ranges::count(line, '\t')) + 1;
  if (names != out.samples + out.labels)
    return wrong(label, 3,
                 fmt::format("{} names, but line 2 says {} samples, which with {} labels makes {}",
                             names, out.samples, out.labels, out.samples + out.labels));
  for (std::uint64_t i = 0; i < n[3]; ++i) {
    if (!take_line(text, &at, whole, &line)) return more(static_cast<int>(4 + i));
    out.sample_lines.emplace_back(line.substr(0, line.find('\t')));
  }
  out.data_at = at;
  return std::optional(std::move(out));
}

}  // namespace polysome
