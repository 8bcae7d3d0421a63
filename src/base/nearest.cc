#include "base/nearest.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace polysome {
namespace {

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Optimal string alignment distance; a change of case counts 1, any other edit 4.
int distance(std::string_view a, std::string_view b) {
  const std::size_t n = b.size();
  std::vector<int> before(n + 1), last(n + 1), row(n + 1);
  for (std::size_t j = 0; j <= n; ++j) last[j] = static_cast<int>(j) * 4;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<int>(i) * 4;
    for (std::size_t j = 1; j <= n; ++j) {
      const int same = a[i - 1] == b[j - 1] ? 0 : lower(a[i - 1]) == lower(b[j - 1]) ? 1 : 4;
      row[j] = std::min({last[j] + 4, row[j - 1] + 4, last[j - 1] + same});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 4);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[n];
}

}  // namespace

std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates) {
  if (word.empty() || word.size() > 256) return std::nullopt;
  // A third of the letters may be wrong, at least one and at most four.
  const int limit = std::clamp(static_cast<int>(word.size()) / 3, 1, 4) * 4 + 3;
  int best = limit + 1;
  const std::string* found = nullptr;
  for (const auto& c : candidates) {
    if (c.size() > 256) continue;
    const int d = distance(word, c);
    if (d < best) {
      best = d;
      found = &c;
    }
  }
  if (found != nullptr) return *found;
  // A name that only lacks its tail ("expr" for "expression") is a likely slip too.
  if (word.size() >= 3)
    for (const auto& c : candidates)
      if (c.size() > word.size() && c.compare(0, word.size(), word) == 0) return c;
  return std::nullopt;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
  const auto found = nearest(word, candidates);
  return found ? "; did you mean \"" + *found + "\"?" : std::string();
}

}  // namespace polysome
