// Amounts as people read and write them: durations, counts, ages, numbers of a table. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "model/json.h"

namespace polysome::cli {

// "5s", "100ms", "2m", "1h30m", "1d" or a number of seconds, in milliseconds. Errors: kInvalid.
Result<std::int64_t> parse_duration(std::string_view text);
// "0.4 s", "12 s", "3 min 20 s", "2 h 05 min", "3 d 4 h".
std::string format_duration(double seconds);
// What is left of a job, no more exact than it can be: "about 20 s", "about 3 min".
std::string format_remaining(double seconds);
// "just now", "12 s ago", "3 min ago", "2 h ago", "5 d ago".
std::string format_age(WallTime then, WallTime now);
// 58302 → "58,302".
std::string format_count(std::uint64_t n);
// "1 row", "58,302 rows".
std::string counted(std::uint64_t n, std::string_view noun);
// Six significant digits at most; whole numbers in full while they are below 1e15.
std::string format_number(double value);
// A cell of a table for people: null as an empty text, numbers by format_number, texts made
// printable.
std::string cell_text(const Json& value);

// Members of an answer, with a default for absent, null or of another kind.
std::string text_of(const Json& object, std::string_view key, std::string_view otherwise = {});
double number_of(const Json& object, std::string_view key, double otherwise = 0);
std::uint64_t whole_of(const Json& object, std::string_view key, std::uint64_t otherwise = 0);
// The list or object of this name, or an empty one of its kind.
const Json& list_of(const Json& object, std::string_view key);
const Json& object_of(const Json& object, std::string_view key);
// The last 8 hex digits of a job's id, as tables show them.
std::string short_id(std::string_view job_id);

}  // namespace polysome::cli
