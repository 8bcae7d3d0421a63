#include "api/submit.h"

#include <fmt/format.h>

#include "api/answers.h"
#include "api/router.h"

namespace polysome::api {
namespace {

constexpr std::size_t kMostKeyBytes = 255;

Status check_user(const std::string& asked, const Caller& caller) {
  if (asked.empty() || asked == caller.user || caller.submit_for) return {};
  return fail(Error(Code::kForbidden,
                    fmt::format("user \"{}\" is not the caller, who is {}", asked, caller.user),
                    "leave user out; root, the service's own account and tokens with scope "
                    "submit_for may submit for others")
                  .at("/user"));
}

// A result is its owner's, also as a dataset.
Status check_datasets(const JobSpec& spec, const Caller& caller, Backend& backend) {
  for (std::size_t i = 0; i < spec.dataset_ids.size(); ++i) {
    if (!spec.dataset_ids[i].starts_with("job:")) continue;
    const auto id = JobId::parse(std::string_view(spec.dataset_ids[i]).substr(4, 36));
    const auto owner = id ? backend.job_owner(*id) : std::nullopt;
    if (owner && !caller.may_touch(*owner))
      return fail(
          Error(Code::kForbidden,
                fmt::format("job {} is {}'s; its result is for {} and admins", id->text(), *owner,
                            *owner),
                "ask for the data itself, or call with a token of scope admin")
              .at(spec.dataset_ids.size() == 1 ? "/dataset_id" : fmt::format("/dataset_id/{}", i)));
  }
  return {};
}

}  // namespace

// FNV-1a, 128 bits.
std::string hash_of(const Json& body) {
  __extension__ using Wide = unsigned __int128;
  const Wide prime = (Wide{1} << 88) + 0x13b;
  Wide hash = (Wide{0x6c62272e07bb0142} << 64) + 0x62b821756295c58d;
  for (const char c : nlohmann::json(body).dump()) {
    hash ^= static_cast<unsigned char>(c);
    hash *= prime;
  }
  return fmt::format("{:016x}{:016x}", static_cast<std::uint64_t>(hash >> 64),
                     static_cast<std::uint64_t>(hash));
}

Result<std::string> idempotency_key(const HttpRequest& request) {
  const auto key = request.header("Idempotency-Key");
  if (!key) return std::string();
  if (key->empty() || key->size() > kMostKeyBytes)
    return fail(Code::kInvalid,
                fmt::format("Idempotency-Key must have 1 to {} characters, not {}", kMostKeyBytes,
                            key->size()),
                "a UUID does");
  return std::string(*key);
}

Result<SubmitRequest> read_submit(const Json& body, const Caller& caller, Backend& backend) {
  POLYSOME_ASSIGN(SubmitRequest request,
                  parse_submit(body, backend.catalog(), backend.submit_defaults()));
  POLYSOME_TRY(check_rights(&request, caller, backend));
  return request;
}

Status check_rights(SubmitRequest* request, const Caller& caller, Backend& backend) {
  POLYSOME_TRY(check_user(request->spec.user, caller));
  POLYSOME_TRY(check_datasets(request->spec, caller, backend));
  if (request->spec.user.empty()) request->spec.user = caller.user;
  return {};
}

Reply<SubmitAnswer> answer_submit(const Responder& to) {
  return [to](const Result<SubmitAnswer>& answer) {
    if (!answer) return to->send(problem_answer(answer.error()));
    HttpResponse out = json_answer(answer->body);
    out.headers.push_back({"Location", fmt::format("{}/jobs/{}", kBase, answer->id.text())});
    if (answer->replayed) out.headers.push_back({"Idempotency-Replayed", "true"});
    to->send(std::move(out));
  };
}

}  // namespace polysome::api
