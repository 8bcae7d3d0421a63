// Finds the letters that give delimited text its structure, 64 bytes at a time, as bit masks, and
// turns masks into positions. Vector code for each kind of CPU, chosen at run time (Google Highway;
// plain code where there is none); every kind gives the same masks. Knows nothing of quoting: which
// separators lie inside quotes is the row cutter's to say. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace polysome {

inline constexpr std::size_t kBlockBytes = 64;

// Bit b of mask i stands for byte 64 i + b.
struct TextMasks {
  std::vector<std::uint64_t> separators;  // delimiters and line feeds
  std::vector<std::uint64_t> newlines;
  std::vector<std::uint64_t> quotes;  // all zero where quote is '\0'
  bool any_quote = false;

  void resize(std::size_t blocks) {
    separators.resize(blocks);
    newlines.resize(blocks);
    quotes.resize(blocks);
  }
};

// Masks of text[0, 64 blocks).
void mark_blocks(const char* text, std::size_t blocks, char delimiter, char quote,
                 TextMasks* masks);

// Appends the position of every separator (+ base) at `out`, which has room for 64 blocks + 16
// more; and the number of separators before each line feed, counted from `before`, at `row_ends`,
// which has room for 64 blocks. Returns how many of each were written.
struct Flattened {
  std::size_t separators = 0;
  std::size_t rows = 0;
};
Flattened flatten_blocks(const TextMasks& masks, std::size_t blocks, std::uint32_t base,
                         std::uint32_t before, std::uint32_t* out, std::uint32_t* row_ends);

// Positions of some separators of each row only: the `wanted` ones by their number in the row,
// ascending. What a walk leaves half done is continued by the next.
struct SparseWalk {
  std::span<const std::uint32_t> wanted;
  std::uint32_t ordinal = 0;  // separators of the current row so far
  std::uint32_t next = 0;     // place in `wanted` of the next to be found
  struct Row {
    std::uint32_t end = 0;     // position of its line feed
    std::uint32_t fields = 0;  // separators, the line feed's included
  };
  std::vector<Row> rows;                 // complete ones
  std::vector<std::uint32_t> positions;  // wanted.size() for each; of short rows the line feed's
};
void walk_blocks(const TextMasks& masks, std::size_t blocks, std::uint32_t base, SparseWalk* walk);

std::uint64_t count_newlines(std::string_view text);

// The kinds of vector code that this CPU can run and this program holds, and a way to use one of
// them only: for tests. Not while other threads are in one of the functions above.
std::vector<std::int64_t> vector_targets();
std::string_view vector_target_name(std::int64_t target);
void use_vector_target(std::int64_t target);  // 0: the best again

}  // namespace polysome
