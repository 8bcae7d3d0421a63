// Wall time for people (RFC 3339 UTC, milliseconds) and monotonic time for decisions. Only the
// daemon, executor, worker, store and cli read clocks; the core is given `now`.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace polysome {

using Millis = std::chrono::milliseconds;
// Milliseconds since the Unix epoch (wall clock).
using WallTime = std::int64_t;
// Milliseconds on the monotonic clock; the zero point means nothing.
using MonoTime = std::int64_t;

WallTime wall_now();
MonoTime mono_now();
// 2026-01-31T12:34:56.789Z
std::string format_time(WallTime t);
std::optional<WallTime> parse_time(std::string_view text);

}  // namespace polysome
