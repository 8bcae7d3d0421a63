// See ArrowLibrary::write_parquet_as_arrow (kernels/arrow_library.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace polysome::columnar {

Result<std::uint64_t> write_parquet_as_arrow(const std::vector<std::string>& parquet,
                                             const std::string& path,
                                             const std::string& compression);

}  // namespace polysome::columnar
