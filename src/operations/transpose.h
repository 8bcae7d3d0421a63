// The streaming transpose behind convert's `orientation`: rows of a matrix become columns. The
// first label column gives the new columns their names, the numeric columns' names become the only
// label. Memory of a task does not grow with the number of rows it reads.
#pragma once

#include <vector>

#include "operations/delivery.h"
#include "operations/operation.h"

namespace polysome {

// Stages that turn request.inputs[0] round. Errors: the dataset is no matrix, or too long for its
// rows to become columns.
Result<OperationPlan> plan_transpose(const PlanRequest& request, const Delivery& delivery);
std::vector<StageBody> transpose_bodies();

}  // namespace polysome
