// Partial states of numeric columns straight from delimited text: rows are cut, only the wanted
// fields parsed and added to exact sums, with no table in between. By groups or over all rows; the
// same states, bit for bit, as SQL over ps_scan gives. For one partition; the slot's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/text_pieces.h"
#include "operations/state_table.h"

namespace polysome {

struct TextStatesPlan {
  std::vector<std::uint32_t> keys;    // columns of the scan, of type int64 or string
  std::vector<std::uint32_t> values;  // columns of type int64 or double
  bool squares = false;
  bool extremes = false;
  std::uint64_t memory = 0;  // most bytes of groups and their states
};

std::unique_ptr<PartialStates> make_text_states(std::shared_ptr<TextScan> scan,
                                                const TextStatesPlan& plan);

}  // namespace polysome
