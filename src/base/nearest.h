// "Did you mean": the known name nearest to a mistyped one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace polysome {

// The candidate with the smallest optimal-string-alignment distance (case differences cost least),
// if near enough to be a likely slip; nullopt otherwise. O(candidates x length²).
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);
// `; did you mean "x"?` or an empty string: ready to append to a message.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace polysome
