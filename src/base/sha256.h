// SHA-256 (FIPS 180-4) of a text, in hex. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace polysome {

// 64 lower-case hex digits.
std::string sha256_hex(std::string_view text);
// Compares texts in a time that depends on their lengths only.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace polysome
