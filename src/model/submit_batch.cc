#include "model/submit_batch.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace polysome {
namespace {

constexpr std::size_t kMostErrors = 20;

Json merged(const Json& base, const Json& own) {
  Json out = base;
  for (const auto& [key, value] : own.items()) {
    const auto it = out.find(key);
    if (key == "parameters" && it != out.end() && it->is_object() && value.is_object())
      it->update(value);
    else
      out[key] = value;
  }
  return out;
}

}  // namespace

Error of_batch_job(Error error, std::size_t job) {
  const std::string pointer = fmt::format("/jobs/{}", job);
  error.message = fmt::format("job {}: {}", job, error.message);
  if (error.errors.empty()) return std::move(error).at(pointer);
  for (auto& item : error.errors) item.pointer = pointer + item.pointer;
  return error;
}

Result<std::vector<SubmitRequest>> parse_batch(const Json& body, const OperationCatalog& catalog,
                                               const SubmitDefaults& defaults) {
  ObjectReader r(body, "");
  static const Json kNothing = Json::object();
  const Json* base = r.raw("defaults");
  const Json* jobs = r.raw("jobs");
  if (base == nullptr) base = &kNothing;
  if (!base->is_object()) r.refuse("defaults", Code::kInvalid, "defaults must be an object");
  if (jobs == nullptr || !jobs->is_array() || jobs->empty() || jobs->size() > kMostBatchJobs)
    r.refuse(
        "jobs", Code::kInvalid,
        fmt::format("jobs must be a list of 1 to {} objects", kMostBatchJobs),
        R"(for example {"defaults": {"operation": "noop"}, "jobs": [{}, {"priority": "LOW"}]})");
  POLYSOME_TRY(r.finish());

  std::vector<SubmitRequest> out;
  out.reserve(jobs->size());
  std::optional<Error> wrong;
  std::size_t wrong_jobs = 0;
  for (std::size_t i = 0; i < jobs->size() && wrong_jobs < kMostErrors; ++i) {
    const Json& own = (*jobs)[i];
    auto request =
        own.is_object()
            ? parse_submit(merged(*base, own), catalog, defaults)
            : Result<SubmitRequest>(fail(Error(Code::kInvalid, "a job must be an object").at("")));
    if (request) {
      if (!wrong) out.push_back(std::move(*request));
      continue;
    }
    ++wrong_jobs;
    Error error = of_batch_job(std::move(request).error(), i);
    if (!wrong)
      wrong = std::move(error);
    else
      wrong->errors.insert(wrong->errors.end(), error.errors.begin(), error.errors.end());
  }
  if (!wrong) return out;
  if (wrong->hint.empty()) wrong->hint = "none of the batch was taken; mend it and send it again";
  return fail(std::move(*wrong));
}

}  // namespace polysome
