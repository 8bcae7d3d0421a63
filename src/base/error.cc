#include "base/error.h"

#include <array>
#include <utility>

namespace polysome {
namespace {

constexpr std::array kCodes{
    CodeInfo{Code::kMalformed, "malformed", "Malformed request", 400, 2, false},
    CodeInfo{Code::kUnauthorized, "unauthorized", "Not identified", 401, 4, false},
    CodeInfo{Code::kForbidden, "forbidden", "Not allowed", 403, 4, false},
    CodeInfo{Code::kNotFound, "not_found", "Not found", 404, 5, false},
    CodeInfo{Code::kMethodNotAllowed, "method_not_allowed", "Method not allowed", 405, 2, false},
    CodeInfo{Code::kNotAcceptable, "not_acceptable", "Not acceptable", 406, 2, false},
    CodeInfo{Code::kConflict, "conflict", "Conflict", 409, 7, false},
    CodeInfo{Code::kGone, "gone", "No longer there", 410, 5, false},
    CodeInfo{Code::kTooLarge, "too_large", "Too large", 413, 2, false},
    CodeInfo{Code::kUnsupportedMedia, "unsupported_media_type", "Unsupported media type", 415, 2,
             false},
    CodeInfo{Code::kHeadersTooLarge, "headers_too_large", "Headers too large", 431, 2, false},
    CodeInfo{Code::kInvalid, "invalid", "Invalid request", 422, 2, false},
    CodeInfo{Code::kTooMany, "too_many", "Too many", 429, 7, true},
    CodeInfo{Code::kTimeout, "timeout", "Timed out", 408, 1, true},
    CodeInfo{Code::kUnavailable, "unavailable", "Unavailable", 503, 6, true},
    CodeInfo{Code::kDiskFull, "disk_full", "Disk full", 507, 1, true},
    CodeInfo{Code::kCancelled, "cancelled", "Cancelled", 409, 3, false},
    CodeInfo{Code::kUserData, "user_data", "The data or parameters are wrong", 422, 1, false},
    CodeInfo{Code::kOutOfMemory, "out_of_memory", "Out of memory", 500, 1, true},
    CodeInfo{Code::kWorkerLost, "worker_lost", "Worker lost", 500, 1, true},
    CodeInfo{Code::kDependencyFailed, "dependency_failed", "A job it depends on failed", 409, 1,
             false},
    CodeInfo{Code::kIo, "io", "Reading or writing failed", 500, 1, true},
    CodeInfo{Code::kInternal, "internal", "Internal error", 500, 1, false},
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
