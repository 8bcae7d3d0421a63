// See ParquetColumn (kernels/arrow_library.h).
#pragma once

#include <memory>
#include <string>

#include "kernels/arrow_library.h"

namespace parquet {
class ColumnDescriptor;
class PageReader;
}  // namespace parquet

namespace polysome::columnar {

// A flat column of texts or numbers from the pages of its chunk; `label` names file and column in
// errors. The descriptor must outlive it.
Result<std::unique_ptr<ParquetColumn>> make_parquet_column(
    const std::string& label, const parquet::ColumnDescriptor& descriptor,
    std::unique_ptr<parquet::PageReader> pages, bool codes);

}  // namespace polysome::columnar
