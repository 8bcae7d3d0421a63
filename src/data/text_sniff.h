// Tells the dialect of delimited text from its head and some places further on: byte order mark,
// comment lines on top, the delimiter on which most rows agree. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "data/row_scanner.h"
#include "data/text_source.h"

namespace polysome {

inline constexpr std::size_t kSniffRows = 100;

bool starts_with_bom(std::string_view text);
// Behind the leading lines that begin with `comment`; *last: where the last of them begins.
std::size_t skip_preamble(std::string_view text, std::size_t at, char comment,
                          std::size_t* last = nullptr);
// What a delimiter is told from.
struct SniffPlaces {
  std::string_view head;
  bool whole = false;              // the head is the whole file
  std::vector<std::string> spots;  // begin behind a line feed
};
// `at`: where the header begins in the head. `format`: among equals a tab is first in tsv, else a
// comma.
char sniff_delimiter(const SniffPlaces& places, std::size_t at, const std::string& format,
                     char quote);
// Lines of # on top are comments, unless the last one is as wide as the rows: then it is the header
// ("#CHROM"), and # means nothing further on. Returns where the header begins.
std::size_t told_preamble(const SniffPlaces& places, std::size_t at, const std::string& format,
                          bool fresh, TextShape* shape);

}  // namespace polysome
