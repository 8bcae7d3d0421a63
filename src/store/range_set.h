// Finished tasks of one stage as disjoint, never adjacent [first, last] ranges: a million tasks
// that finish more or less in order stay a handful of rows. Says which rows changed, so that a
// commit writes those alone. Plain value, no thread of its own.
#pragma once

#include <cstdint>
#include <map>
#include <set>

namespace polysome {

class RangeSet {
 public:
  using Index = std::uint32_t;
  // Keys (first indexes) of rows that were added, changed or removed. Filled, never cleared, here.
  using Touched = std::set<Index>;

  // Adding what is there already touches nothing; last < first adds nothing.
  void add(Index first, Index last, Touched* touched);
  void remove(Index index, Touched* touched);
  bool contains(Index index) const;
  const std::map<Index, Index>& ranges() const { return ranges_; }

 private:
  std::map<Index, Index> ranges_;  // first → last
};

}  // namespace polysome
