// See ParquetReader (kernels/arrow_library.h).
#pragma once

#include <memory>
#include <string>

#include "kernels/arrow_library.h"

namespace polysome::columnar {

Result<std::unique_ptr<ParquetReader>> make_parquet_reader(const std::string& path);

}  // namespace polysome::columnar
