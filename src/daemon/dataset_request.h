// What requests about datasets have in common: names, layout, format. Loop thread.
#pragma once

#include <string>

#include "model/json.h"

namespace polysome {

// A name that data/load may give. Errors: kInvalid with pointer /dataset_id.
Status good_dataset_name(const std::string& id);
// layout and null_values of a request, as one layout.
Result<Json> read_layout(ObjectReader& r);
// Empty when there is none.
Result<std::string> read_format(ObjectReader& r);

}  // namespace polysome
