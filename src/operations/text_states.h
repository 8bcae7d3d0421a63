// Partial states of numeric columns straight from delimited text: rows are cut, only the wanted
// fields parsed and added to exact sums, with no table in between. By groups or over all rows; the
// same states, bit for bit, as SQL over ps_scan gives. For one partition; the slot's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/text_pieces.h"
#include "kernels/moments.h"
#include "kernels/row_source.h"

namespace polysome {

struct TextStatesPlan {
  std::vector<std::uint32_t> keys;    // columns of the scan, of type int64 or string
  std::vector<std::uint32_t> values;  // columns of type int64 or double
  bool squares = false;
  bool extremes = false;
  std::uint64_t memory = 0;  // most bytes of groups and their states
};

class TextStates {
 public:
  virtual ~TextStates() = default;
  // Reads the whole scan. When the groups need more memory than the plan allows, `full` is called:
  // it takes the states, and reading goes on with none; those of a group then stand in several
  // places. Without it the answer is false (nothing is lost: read it another way). Errors: those of
  // the data, of `full`, kCancelled.
  virtual Result<bool> read(const std::function<Status()>& full = {}) = 0;
  virtual std::uint64_t rows() const = 0;
  // Rows k0…, col (the place in `places` for each value), rows, n, m (with `moments`), s (of whole
  // numbers), lo, hi: those of the values of type `type`.
  virtual std::shared_ptr<RowSource> states(ValueType type, bool moments,
                                            const std::vector<std::uint32_t>& places) = 0;
};

std::unique_ptr<TextStates> make_text_states(std::shared_ptr<TextScan> scan,
                                             const TextStatesPlan& plan);

}  // namespace polysome
