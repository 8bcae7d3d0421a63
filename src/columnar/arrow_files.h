// See ArrowReader and ArrowWriter (kernels/arrow_library.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/arrow_library.h"

namespace polysome::columnar {

Result<std::unique_ptr<ArrowReader>> make_arrow_reader(
    const std::string& path, const std::optional<std::vector<int>>& columns);
Result<std::unique_ptr<ArrowWriter>> make_arrow_writer(const std::string& path, ArrowSchema* schema,
                                                       const std::string& compression);

}  // namespace polysome::columnar
