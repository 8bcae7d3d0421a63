// Many numbers at once: the short forms that quick_double takes (number_text.h), of up to eight
// letters, converted side by side in vector registers. Same results, bit for bit; the kind of
// vector code is chosen at run time. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace polysome {

inline constexpr std::size_t kNumberBatch = 64;

// Of n <= kNumberBatch fields that lie one behind another, field i is
// (base + marks[i], base + marks[i + 1]), both ends left out. Bit i of the answer: out[i] is field
// i. The others are for the full readers. The eight bytes before the end of each field must be
// readable.
std::uint64_t convert_fields(const char* base, const std::uint32_t* marks, std::size_t n,
                             double* out);

}  // namespace polysome
