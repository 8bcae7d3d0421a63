#include "base/error.h"

#include <array>
#include <utility>

namespace polysome {
namespace {

constexpr std::array kCodes{
    CodeInfo{
        Code::kMalformed, "malformed", "Malformed request", 400, 2, false,
        "The request can't be read: no JSON, a bad encoding or query. Send what the hint shows."},
    CodeInfo{Code::kUnauthorized, "unauthorized", "Not identified", 401, 4, false,
             "No token, or a wrong one. Make one where the service runs: polysome token new NAME."},
    CodeInfo{Code::kForbidden, "forbidden", "Not allowed", 403, 4, false,
             "Known, but not allowed. The hint names the flag or the right that would allow it."},
    CodeInfo{Code::kNotFound, "not_found", "Not found", 404, 5, false,
             "The path names something there is not; the nearest that is there is named."},
    CodeInfo{Code::kMethodNotAllowed, "method_not_allowed", "Method not allowed", 405, 2, false,
             "The path is right, the method is not. Allow lists the methods."},
    CodeInfo{Code::kNotAcceptable, "not_acceptable", "Not acceptable", 406, 2, false,
             "The answer is not given in this form; the hint lists the forms."},
    CodeInfo{Code::kConflict, "conflict", "Conflict", 409, 7, false,
             "It does not fit how things are now: taken, over, in use. Look, then decide."},
    CodeInfo{Code::kGone, "gone", "No longer there", 410, 5, false,
             "It was there and is not kept any more."},
    CodeInfo{Code::kTooLarge, "too_large", "Too large", 413, 2, false,
             "The request is larger than is read."},
    CodeInfo{Code::kUnsupportedMedia, "unsupported_media_type", "Unsupported media type", 415, 2,
             false, "The body is of another type than the route reads. Send JSON."},
    CodeInfo{Code::kHeadersTooLarge, "headers_too_large", "Headers too large", 431, 2, false,
             "The request's headers are over 8 kB."},
    CodeInfo{Code::kInvalid, "invalid", "Invalid request", 422, 2, false,
             "Well-formed, but a field, value or name is wrong. errors point to it."},
    CodeInfo{Code::kTooMany, "too_many", "Too many", 429, 7, true,
             "A limit is reached. Try again after Retry-After."},
    CodeInfo{Code::kTimeout, "timeout", "Timed out", 408, 1, true,
             "The request did not come in time, or a task took longer than its timeout_seconds."},
    CodeInfo{Code::kUnavailable, "unavailable", "Unavailable", 503, 6, true,
             "Not now. Try again after Retry-After."},
    CodeInfo{Code::kDiskFull, "disk_full", "Disk full", 507, 1, true,
             "No room on the disk. Make some; jobs go on by themselves."},
    CodeInfo{Code::kCancelled, "cancelled", "Cancelled", 409, 3, false,
             "The job was cancelled, or the wait for it was given up."},
    CodeInfo{Code::kUserData, "user_data", "The data or parameters are wrong", 422, 1, false,
             "Only the data could tell: a column, a value, a file is not as the job needs it. "
             "errors name file, line, column and value."},
    CodeInfo{Code::kOutOfMemory, "out_of_memory", "Out of memory", 500, 1, true,
             "A task needed more memory than any worker can give. Larger workers or smaller "
             "partitions."},
    CodeInfo{Code::kWorkerLost, "worker_lost", "Worker lost", 500, 1, true,
             "A worker ended again and again under the task."},
    CodeInfo{Code::kDependencyFailed, "dependency_failed", "A job it depends on failed", 409, 1,
             false, "A job this one waits for failed or was cancelled."},
    CodeInfo{Code::kIo, "io", "Reading or writing failed", 500, 1, true,
             "Reading or writing failed. The message names the file."},
    CodeInfo{Code::kInternal, "internal", "Internal error", 500, 1, false,
             "A defect of Polysome. Please report it with the service's log."},
};

constexpr std::array<std::pair<FaultClass, std::string_view>, 6> kClasses{{
    {FaultClass::kUser, "user"},
    {FaultClass::kOutOfMemory, "out_of_memory"},
    {FaultClass::kWorkerLost, "worker_lost"},
    {FaultClass::kTimeout, "timeout"},
    {FaultClass::kIo, "io"},
    {FaultClass::kInternal, "internal"},
}};

}  // namespace

Error Error::at(std::string pointer) && {
  errors.push_back({std::move(pointer), message, {}, {}, {}, {}});
  return std::move(*this);
}

std::span<const CodeInfo> all_codes() { return kCodes; }

const CodeInfo& info(Code code) {
  for (const auto& c : kCodes)
    if (c.code == code) return c;
  return kCodes.back();
}

std::optional<Code> code_from_name(std::string_view name) {
  for (const auto& c : kCodes)
    if (c.name == name) return c.code;
  return std::nullopt;
}

std::string_view name(FaultClass c) {
  for (const auto& [k, v] : kClasses)
    if (k == c) return v;
  return "internal";
}

std::optional<FaultClass> fault_class_from_name(std::string_view name) {
  for (const auto& [k, v] : kClasses)
    if (v == name) return k;
  return std::nullopt;
}

FaultClass fault_class_of(Code code) {
  switch (code) {
    case Code::kOutOfMemory: return FaultClass::kOutOfMemory;
    case Code::kWorkerLost: return FaultClass::kWorkerLost;
    case Code::kTimeout: return FaultClass::kTimeout;
    case Code::kIo:
    case Code::kDiskFull:
    case Code::kUnavailable: return FaultClass::kIo;
    case Code::kInternal: return FaultClass::kInternal;
    default: return FaultClass::kUser;
  }
}

}  // namespace polysome
