// Tells the dialect of delimited text from its head: byte order mark, comment lines on top, the
// delimiter on which most rows agree. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "data/row_scanner.h"
#include "data/text_source.h"

namespace polysome {

inline constexpr std::size_t kSniffRows = 100;

bool starts_with_bom(std::string_view text);
// Behind the leading lines that begin with `comment`; *last: where the last of them begins.
std::size_t skip_preamble(std::string_view text, std::size_t at, char comment,
                          std::size_t* last = nullptr);
// `format`: among equals a tab is first in tsv, else a comma. `whole`: the text is the whole file.
char sniff_delimiter(std::string_view text, std::size_t at, const std::string& format, char quote,
                     bool whole);
// Lines of # on top are comments, unless the last one is as wide as the rows: then it is the header
// ("#CHROM"), and # means nothing further on. Returns where the header begins.
std::size_t told_preamble(const Sample& sample, std::size_t at, const std::string& format,
                          bool fresh, TextShape* shape);

}  // namespace polysome
