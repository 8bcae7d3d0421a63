// The names of things, each a type of its own. JobId is a UUID v7 (sorts by time of submission);
// an attempt is (epoch, n): the epoch is a durable counter raised at each start of the service, so
// an attempt's number never comes back. Plain values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace polysome {

struct JobId {
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const JobId&) const = default;
  // 8-4-4-4-12 lower-case hex.
  std::string text() const;
  static std::optional<JobId> parse(std::string_view text);
  // Version 7 from a wall time in milliseconds and 10 random bytes.
  static JobId make(std::int64_t wall_ms, const std::array<std::uint8_t, 10>& random);
};

struct AttemptId {
  std::uint32_t epoch = 0;
  std::uint64_t n = 0;

  auto operator<=>(const AttemptId&) const = default;
  std::string text() const;  // "3-17"
  static std::optional<AttemptId> parse(std::string_view text);
};

// Workers are numbered from 1 in the order they start; a number is not used again while the service
// lives. Shown as "w3".
struct WorkerId {
  std::uint32_t n = 0;

  auto operator<=>(const WorkerId&) const = default;
  std::string text() const;
  static std::optional<WorkerId> parse(std::string_view text);
};

// One task of a job: stages are numbered in the order they joined the plan, tasks within a stage.
struct TaskRef {
  JobId job;
  std::uint32_t stage = 0;
  std::uint32_t index = 0;

  auto operator<=>(const TaskRef&) const = default;
};

}  // namespace polysome

template <>
struct std::hash<polysome::JobId> {
  std::size_t operator()(const polysome::JobId& id) const noexcept;
};
template <>
struct std::hash<polysome::AttemptId> {
  std::size_t operator()(const polysome::AttemptId& id) const noexcept {
    return std::hash<std::uint64_t>()(id.n * 0x9E3779B97F4A7C15ULL ^ id.epoch);
  }
};
template <>
struct std::hash<polysome::WorkerId> {
  std::size_t operator()(const polysome::WorkerId& id) const noexcept { return id.n; }
};
