// See WideParquetWriter (kernels/arrow_library.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/arrow_library.h"

namespace polysome::columnar {

Result<std::unique_ptr<WideParquetWriter>> make_wide_parquet_writer(
    const std::string& path, const std::vector<WideColumn>& columns);

}  // namespace polysome::columnar
