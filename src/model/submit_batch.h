// The body of jobs/batch: a template and what each job has of its own, read as strictly as
// jobs/submit reads each of them. A job's members take the place of the template's; its parameters
// are merged with the template's, its own win.
#pragma once

#include <vector>

#include "model/submit_request.h"

namespace polysome {

inline constexpr std::size_t kMostBatchJobs = 100'000;
inline constexpr std::size_t kMostBatchBytes = 16'000'000;

// In the order given. Errors: kInvalid with pointers such as /jobs/17/parameters/column, of at most
// 20 jobs.
Result<std::vector<SubmitRequest>> parse_batch(const Json& body, const OperationCatalog& catalog,
                                               const SubmitDefaults& defaults);
// The error of one job as the batch's: its pointers below /jobs/N.
Error of_batch_job(Error error, std::size_t job);

}  // namespace polysome
