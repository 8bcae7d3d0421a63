// Result<T>: a value or an Error. The only way a function of ours says that it failed.
#pragma once

#include <expected>
#include <utility>

#include "base/error.h"

namespace polysome {

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline std::unexpected<Error> fail(Code code, std::string message,
                                                 std::string hint = {}) {
  return std::unexpected(Error(code, std::move(message), std::move(hint)));
}
[[nodiscard]] inline std::unexpected<Error> fail(Error error) {
  return std::unexpected(std::move(error));
}

}  // namespace polysome

// Leaves the function with the error of a Result, else goes on.
#define POLYSOME_TRY(expr)                                                        \
  do {                                                                            \
    auto polysome_try_ = (expr);                                                  \
    if (!polysome_try_) return std::unexpected(std::move(polysome_try_).error()); \
  } while (false)

#define POLYSOME_CONCAT_(a, b) a##b
#define POLYSOME_CONCAT(a, b) POLYSOME_CONCAT_(a, b)
// POLYSOME_ASSIGN(auto x, f()): x is the value of f(), or the function returns f()'s error.
#define POLYSOME_ASSIGN(decl, expr) \
  POLYSOME_ASSIGN_IMPL(POLYSOME_CONCAT(polysome_result_, __LINE__), decl, expr)
#define POLYSOME_ASSIGN_IMPL(tmp, decl, expr)               \
  auto tmp = (expr);                                        \
  if (!tmp) return std::unexpected(std::move(tmp).error()); \
  decl = std::move(*tmp)
