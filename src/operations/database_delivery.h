// An answer's table as a table of a database (spec.output.database): filled under another name and
// renamed in one transaction, which also records job and task in polysome_deliveries, so that a
// task that is run again finds its rows there and adds none. Slot's thread.
#pragma once

#include <string>
#include <vector>

#include "operations/cells.h"
#include "operations/delivery.h"
#include "operations/task_env.h"

namespace polysome {

// Writes what `select` gives. Errors: kUserData (the table exists, a value does not fit), kIo.
Status deliver_to_database(TaskEnv& env, const Delivery& delivery,
                           const std::vector<ResultColumn>& columns, const std::string& select);

// Before any work is done: the database is reached, and the table is not there unless it may be
// replaced.
Status check_database_output(const JobDescription& job, const Connections* connections);

}  // namespace polysome
