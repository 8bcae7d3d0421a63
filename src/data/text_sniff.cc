#include "data/text_sniff.h"

#include <algorithm>
#include <array>
#include <map>

namespace polysome {
namespace {

// Fields of the first rows under one delimiter.
std::vector<std::size_t> field_counts(std::string_view text, std::size_t at, TextShape shape,
                                      bool whole) {
  RowScanner rows(text, at, shape);
  std::vector<std::size_t> counts;
  while (counts.size() < kSniffRows && rows.next_row() < text.size()) {
    const bool good = rows.read_row();
    const auto& last = rows.fields().back();
    const bool cut_off = last.end == text.data() + text.size() && !whole;
    if (cut_off && !counts.empty()) break;
    counts.push_back(rows.fields().size());
    if (!good) break;
  }
  return counts;
}

}  // namespace

bool starts_with_bom(std::string_view text) { return text.starts_with("\xef\xbb\xbf"); }

std::size_t skip_preamble(std::string_view text, std::size_t at, char comment, std::size_t* last) {
  while (at < text.size() && comment != '\0' && text[at] == comment) {
    if (last != nullptr) *last = at;
    const auto end = text.find('\n', at);
    if (end == std::string_view::npos) return text.size();
    at = end + 1;
  }
  return at;
}

char sniff_delimiter(const SniffPlaces& places, std::size_t at, const std::string& format,
                     char quote) {
  const std::array<char, 4> order = format == "tsv" ? std::array<char, 4>{'\t', ',', ';', '|'}
                                                    : std::array<char, 4>{',', '\t', ';', '|'};
  char best = order[0];
  double best_score = 0;
  for (const char d : order) {
    auto counts = field_counts(places.head, at, {d, quote, '\0'}, places.whole);
    if (counts.empty()) continue;
    for (const auto& spot : places.spots) {
      const auto more = field_counts(spot, 0, {d, quote, '\0'}, false);
      counts.insert(counts.end(), more.begin(), more.end());
    }
    std::map<std::size_t, std::size_t> seen;
    // The header may be one field short (row names); the rows decide.
    for (std::size_t i = counts.size() > 1 ? 1 : 0; i < counts.size(); ++i) ++seen[counts[i]];
    const auto common = std::ranges::max_element(seen, {}, [](const auto& e) { return e.second; });
    if (common->first < 2) continue;
    const double rows = static_cast<double>(counts.size() > 1 ? counts.size() - 1 : 1);
    const double agree = static_cast<double>(common->second) / rows;
    // Agreement decides; among equals more fields, among those the header that has as many (a
    // column of decimal commas looks like two fields), among those the format's own first.
    const double score = agree * 1e6 +
                         static_cast<double>(std::min<std::size_t>(common->first, 100'000)) +
                         (counts.front() == common->first ? 0.5 : 0);
    if (score > best_score * (best_score > 0 && d != order[0] ? 1.0000001 : 1)) {
      best_score = score;
      best = d;
    }
  }
  return best;
}

std::size_t told_preamble(const SniffPlaces& places, std::size_t at, const std::string& format,
                          bool fresh, TextShape* shape) {
  std::size_t last = at;
  const std::string_view head = places.head;
  const std::size_t behind = skip_preamble(head, at, '#', &last);
  if (fresh) shape->delimiter = sniff_delimiter(places, behind, format, shape->quote);
  const auto rows = field_counts(head, behind, *shape, places.whole);
  const auto header = field_counts(head, last, *shape, places.whole);
  // "# on Monday, of course" may be as wide by chance; "# a,b" alone is what numpy writes.
  const bool like_header = last + 1 < head.size() && (head[last + 1] != ' ' || last == at);
  const bool is_header =
      like_header && !header.empty() && (rows.empty() || (rows[0] > 1 && header[0] == rows[0]));
  if (is_header) {
    if (fresh && rows.empty())
      shape->delimiter = sniff_delimiter(places, last, format, shape->quote);
    return last;
  }
  shape->comment = '#';
  return behind;
}

}  // namespace polysome
