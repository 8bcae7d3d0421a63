// Sizes as people write them: "2GB", "512MiB", 2000000000. GB = 10^9, GiB = 2^30, as Dask reads
// them; a bare number is bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace polysome {

// Errors: kInvalid naming the text and an example, for negative, overflowing or unknown units.
Result<std::uint64_t> parse_bytes(std::string_view text);
// "2GB", "1.5GB", "412MB", "17kB", "93B": decimal units, at most three significant digits after
// rounding, exact whole units without a point.
std::string format_bytes(std::uint64_t bytes);

}  // namespace polysome
