// Columns as JSON that is short and quickly read, as every task of a wide table reads tens of
// thousands of them: all names as one text, types by runs. Pure.
#pragma once

#include <vector>

#include "data/table_source.h"
#include "model/json.h"

namespace polysome {

Json pack_columns(const std::vector<SourceColumn>& columns);
// Throws what the JSON library throws, and std::runtime_error, when it is no such list. Reads also
// the form of earlier versions: an array of [name, type, from].
std::vector<SourceColumn> unpack_columns(const Json& j);

}  // namespace polysome
