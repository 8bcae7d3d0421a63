// Many numbers at once: the forms that quick_double takes (number_text.h), converted side by side
// in vector registers; of neighbours in a row those of up to eight letters. Same results, bit for
// bit; the kind of vector code is chosen at run time. Pure, any thread.
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

// Of n <= kNumberBatch fields anywhere, of up to sixteen letters: field i is sizes[i] bytes that
// end before ends[i]. Bit i of the answer: out[i] is field i. The sixteen bytes before the end of
// each field must be readable.
std::uint64_t convert_spread(const char* const* ends, const std::uint64_t* sizes, std::size_t n,
                             double* out);

}  // namespace polysome
