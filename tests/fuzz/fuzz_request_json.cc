// Bodies of jobs/submit and jobs/{id}/retry. What is taken must survive being written and read, and
// must be taken again with the same meaning.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/submit_request.h"
#include "operations.h"

using namespace polysome;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto body = parse_json({reinterpret_cast<const char*>(data), size});
  if (!body) {
    fuzz::expect_told(body.error());
    return 0;
  }
  // What was read is written as text that is read to the same.
  const auto again = parse_json(dump(*body));
  fuzz::expect(again && *again == *body);
  if (!body->is_object()) return 0;
  auto request = parse_submit(*body, fuzz::catalog(), {});
  if (!request) {
    fuzz::expect_told(request.error());
    return 0;
  }
  request->spec.id = JobId::make(1'700'000'000'000, {});
  const auto spec = JobSpec::from_json(request->spec.to_json());
  fuzz::expect(spec && spec->to_json() == request->spec.to_json());
  const auto retried = parse_retry(*body, *spec, fuzz::catalog());
  if (!retried) fuzz::expect_told(retried.error());
  const auto same = parse_retry(Json::object(), *spec, fuzz::catalog());
  fuzz::expect(same && same->spec.parameters == spec->parameters);
  return 0;
}
