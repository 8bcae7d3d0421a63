// Snappy (its raw format, as Parquet pages have it) for arrays of numbers. Decimals with few places
// share their low bytes with others that differ by a quarter, a half or a whole, always at the same
// place of a word: looking once a word finds what general packers look for at every byte. Format:
// google/snappy, format_description.txt. Pure, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace polysome {

// Packs `bytes`, which are `head` bytes and then words of eight (any number may be left at the
// end), into *out. Any reader of Snappy gives them back.
void pack_words(std::string_view bytes, std::size_t head, std::string* out);

}  // namespace polysome
