// What can go wrong, as a closed list. One table (error.cc) maps each code to its HTTP status,
// title, exit code and whether trying again can help; the API, the CLI and the Python client show
// the same object. Plain values, no thread affinity. Errors are returned (result.h), never thrown
// by our code.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polysome {

enum class Code : std::uint8_t {
  kMalformed,         // 400: not JSON, bad encoding, bad query string
  kUnauthorized,      // 401
  kForbidden,         // 403: origin, host, rights
  kNotFound,          // 404: a path names something unknown
  kMethodNotAllowed,  // 405
  kNotAcceptable,     // 406
  kConflict,          // 409
  kGone,              // 410
  kTooLarge,          // 413
  kUnsupportedMedia,  // 415
  kHeadersTooLarge,   // 431
  kInvalid,           // 422: well-formed but wrong (unknown field, bad value, unknown dataset)
  kTooMany,           // 429
  kTimeout,           // 408 on the wire; also a task that ran out of its time
  kUnavailable,       // 503
  kDiskFull,          // 507
  kCancelled,         // 409: the job was cancelled
  kUserData,          // 422: the data or parameters are wrong in a way only the data can tell
  kOutOfMemory,       // 500: a task needed more memory than it could be given
  kWorkerLost,        // 500
  kDependencyFailed,  // 409
  kIo,                // 500: reading or writing failed
  kInternal,          // 500: a defect of ours
};

// The class of a task's failure decides what the fault tolerance does with it (contract.md).
enum class FaultClass : std::uint8_t { kUser, kOutOfMemory, kWorkerLost, kTimeout, kIo, kInternal };

struct CodeInfo {
  Code code;
  std::string_view name;   // "invalid", used in problem objects as `code`
  std::string_view title;  // "Invalid request"
  int http_status;
  int exit_code;  // of the command line: 0 done, 1 job failed, 2 usage, 3 cancelled, 4 not allowed
                  // …
  bool retryable;
  std::string_view text;  // for people: when it happens and what to do
};

// One entry of a problem's `errors`: a JSON pointer into the request and what is wrong there, or a
// place in a data file.
struct ErrorItem {
  std::string pointer;  // "/parameters/column"; empty when the item is about data
  std::string message;
  std::string file;
  std::optional<std::uint64_t> line;  // 1-based
  std::string column;
  std::string value;
};

struct Error {
  Code code = Code::kInternal;
  std::string message;  // one sentence or two: what, where, why
  std::string hint;     // the next thing to try; may be empty
  std::vector<ErrorItem> errors;
  std::optional<int> retry_after_seconds;

  Error() = default;
  Error(Code c, std::string m, std::string h = {})
      : code(c), message(std::move(m)), hint(std::move(h)) {}

  // The same error with one more item that points into the request.
  [[nodiscard]] Error at(std::string pointer) &&;
};

const CodeInfo& info(Code code);
std::span<const CodeInfo> all_codes();  // the closed list, in the order people read it
std::optional<Code> code_from_name(std::string_view name);
std::string_view name(FaultClass c);
std::optional<FaultClass> fault_class_from_name(std::string_view name);
// The fault class under which a failing task with this error is handled.
FaultClass fault_class_of(Code code);

}  // namespace polysome
