#include "worker/frame_key.h"

#include <algorithm>

namespace polysome {
namespace {

constexpr std::string_view kId = R"({"id":)";
constexpr std::string_view kAttempt = R"("attempt":")";
// The members before "attempt" of a TaskSpec are a job's id and two numbers.
constexpr std::size_t kWithin = 256;

}  // namespace

std::string_view frame_key(std::string_view payload) {
  payload = payload.substr(0, kWithin);
  if (payload.starts_with(kId)) {
    payload.remove_prefix(kId.size());
    const auto end = payload.find_first_not_of("0123456789");
    return end == std::string_view::npos ? std::string_view() : payload.substr(0, end);
  }
  const auto at = payload.find(kAttempt);
  if (at == std::string_view::npos) return {};
  payload.remove_prefix(at + kAttempt.size());
  const auto end = payload.find('"');
  return end == std::string_view::npos ? std::string_view() : payload.substr(0, end);
}

}  // namespace polysome
