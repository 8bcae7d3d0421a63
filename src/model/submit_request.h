// The body of jobs/submit, read strictly: unknown fields, types and ranges are refused with pointer
// and nearest name; parameters are checked by the operation's description. What only the data or
// the cluster can tell is not looked at here.
#pragma once

#include <optional>
#include <string>

#include "model/job.h"
#include "model/operation.h"

namespace polysome {

struct SubmitDefaults {
  int max_attempts = 3;
  std::uint64_t partition_size = 100'000'000;
};

// A JobSpec without id, datasets, created_at (the daemon fills them in); `user` only if the body
// names one. spec.dataset_ids are unresolved; a layout in the body is in *layout.
struct SubmitRequest {
  JobSpec spec;
  Json layout = Json::object();
  std::string idempotency_key;
};

Result<SubmitRequest> parse_submit(const Json& body, const OperationCatalog& catalog,
                                   const SubmitDefaults& defaults);
// The body of jobs/{id}/retry: the job again, with what the body changes. `parameters` are laid
// over the job's own; null takes one away.
Result<SubmitRequest> parse_retry(const Json& body, const JobSpec& job,
                                  const OperationCatalog& catalog);
// The layout object of contract.md, checked key by key; `pointer` names where it stands.
Result<Json> parse_layout(const Json& layout, const std::string& pointer);
// name or 1-4
Result<Priority> parse_priority(const Json& value, const std::string& pointer);

}  // namespace polysome
