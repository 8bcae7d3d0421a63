// A partition cut again, for a task that must do with less memory: its pieces are read one after
// the other by the same task, so that each knows how the one before it ended. One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "data/table_source.h"

namespace polysome {

// At most `pieces` adjoining partitions that together are this one; borders in text lie where cut()
// would put them. Fewer when the partition is small.
Result<std::vector<Partition>> cut_again(const TableSource& source, const Partition& partition,
                                         std::uint32_t pieces);

}  // namespace polysome
