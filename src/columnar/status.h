// Arrow's ways to fail (Status, exceptions) as ours. For the files of this room.
#pragma once

#include <arrow/memory_pool.h>
#include <arrow/result.h>
#include <arrow/status.h>

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "base/result.h"

namespace polysome::columnar {

inline std::unexpected<Error> failed(const std::string& path, const std::string& message) {
  const bool full = message.find("No space left") != std::string::npos;
  return fail(full ? Code::kDiskFull : Code::kUserData, path + ": " + message);
}

inline Status status_of(const arrow::Status& status, const std::string& path) {
  if (status.ok()) return {};
  if (status.IsOutOfMemory()) return fail(Code::kOutOfMemory, path + ": " + status.message());
  if (status.IsIOError() && status.message().find("No space left") == std::string::npos &&
      status.detail() != nullptr)  // the system's own reason, not a broken file
    return fail(Code::kIo, path + ": " + status.message());
  return failed(path, status.message());
}

// Runs `body`, which gives a Result or Status of ours, and turns exceptions into one.
template <class Body>
auto guarded(const std::string& path, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(Code::kOutOfMemory, path + ": not enough memory");
  } catch (const std::exception& e) {
    const std::string message = e.what();
    if (message.find("Out of memory") != std::string::npos ||
        message.find("malloc of size") != std::string::npos)
      return fail(Code::kOutOfMemory, path + ": " + message);
    return failed(path, message);
  }
}

}  // namespace polysome::columnar

// POLYSOME_ARROW(auto x, arrow_call(), path): as POLYSOME_ASSIGN, for an arrow::Result.
#define POLYSOME_ARROW_IMPL(tmp, decl, expr, path)                              \
  auto tmp = (expr);                                                            \
  if (!tmp.ok()) return std::unexpected(status_of(tmp.status(), path).error()); \
  decl = std::move(tmp).ValueUnsafe()
#define POLYSOME_ARROW(decl, expr, path) \
  POLYSOME_ARROW_IMPL(POLYSOME_CONCAT(polysome_arrow_result_, __LINE__), decl, expr, path)
