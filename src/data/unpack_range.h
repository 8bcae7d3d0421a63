// One stretch of a compressed text file, unpacked into plain-text parts. A file of many members or
// frames (BGZF, pzstd, several zstd frames) is unpacked in stretches side by side. A stretch owns
// the rows that begin between its border and the next one's; a border is the first line that begins
// behind the stretch's first byte and does not begin with a quote, so that a row scanner there can
// be in two states only. Each stretch tells what it ends in for both; one that was started wrongly
// is unpacked again (architecture.md, decision 10). One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/table_source.h"

namespace polysome {

// Bytes of the compressed file; begin and end are where members or frames begin.
struct PackedRange {
  std::uint64_t begin = 0;
  std::uint64_t end = UINT64_MAX;
};
struct UnpackedRange {
  std::vector<UnpackedPart> parts;  // each named with its line, counted from the stretch's border
  std::uint64_t lines = 0;          // between its border and the next
  bool ends_inside_if_outside = false;
  bool ends_inside_if_inside = false;
};

// Errors: kUserData for a damaged file or one that unpacks to more than 1000 times its size.
Result<UnpackedRange> unpack_range(const TableSource& source, std::uint32_t file_index,
                                   const PackedRange& range, std::uint64_t part_bytes,
                                   const std::string& prefix, const ScanOptions& options);

// Where a compressed text file can be cut so that each stretch has about `range_bytes`: offsets
// behind the first, ascending; none where it is one stream or not worth it.
Result<std::vector<std::uint64_t>> packed_cuts(const SourceFile& file, std::uint64_t range_bytes);

}  // namespace polysome
