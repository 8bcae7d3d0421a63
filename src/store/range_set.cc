#include "store/range_set.h"

#include <algorithm>
#include <iterator>

namespace polysome {

void RangeSet::add(Index first, Index last, Touched* touched) {
  if (last < first) return;
  auto it = ranges_.upper_bound(first);
  if (it != ranges_.begin()) {
    const auto before = std::prev(it);
    if (before->second >= last) return;
    if (std::uint64_t{before->second} + 1 >= first) it = before;
  }
  while (it != ranges_.end() && it->first <= std::uint64_t{last} + 1) {
    first = std::min(first, it->first);
    last = std::max(last, it->second);
    touched->insert(it->first);
    it = ranges_.erase(it);
  }
  ranges_.emplace_hint(it, first, last);
  touched->insert(first);
}

void RangeSet::remove(Index index, Touched* touched) {
  auto it = ranges_.upper_bound(index);
  if (it == ranges_.begin()) return;
  --it;
  const auto [first, last] = *it;
  if (last < index) return;
  touched->insert(first);
  if (first == index)
    ranges_.erase(it);
  else
    it->second = index - 1;
  if (index < last) {
    ranges_.emplace(index + 1, last);
    touched->insert(index + 1);
  }
}

bool RangeSet::contains(Index index) const {
  const auto it = ranges_.upper_bound(index);
  return it != ranges_.begin() && std::prev(it)->second >= index;
}

}  // namespace polysome
