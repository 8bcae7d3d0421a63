// The head of a GCT file (Broad Institute, versions 1.2 and 1.3): a version line, a line of sizes,
// the names of columns, in 1.3 lines that describe the samples; then a tab-separated matrix with
// features as rows, whose first columns are labels. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace polysome {

struct GctHead {
  std::string version;  // "1.2", "1.3"
  std::uint64_t rows = 0, samples = 0;
  std::uint32_t labels = 2;               // label columns in front
  std::vector<std::string> sample_lines;  // 1.3: names of the lines that describe the samples
  std::size_t header_at = 0;              // where the line of names begins
  std::size_t data_at = 0;                // and the first row of values
};

bool is_gct(std::string_view text);
// `text` from byte `at` on is a GCT file's begin. Nothing: it ends before its head does (`whole`
// says that there is no more: an error then). Errors (kUserData) name `label` and the line.
Result<std::optional<GctHead>> read_gct_head(std::string_view text, std::size_t at, bool whole,
                                             const std::string& label);

}  // namespace polysome
