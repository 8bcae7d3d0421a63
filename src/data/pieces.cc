#include "data/pieces.h"

#include <algorithm>

#include "data/file_map.h"
#include "data/text_source.h"

namespace polysome {

Result<std::vector<Partition>> cut_again(const TableSource& source, const Partition& partition,
                                         std::uint32_t pieces) {
  const std::uint64_t end = partition.offset + partition.length;
  std::vector<std::uint64_t> borders{partition.offset};
  if (source.format == "parquet" || source.format == "arrow" || source.format == "json") {
    for (std::uint32_t i = 1; i < pieces; ++i)
      borders.push_back(partition.offset + share(partition.length, i, pieces));
  } else {
    const TextShape shape =
        source.format == "ndjson" ? TextShape{'\n', '\0', '\0'} : shape_of(source.dialect);
    POLYSOME_ASSIGN(const auto file, FileMap::open(source.files.at(partition.file).path));
    for (std::uint32_t i = 1; i < pieces; ++i) {
      const std::uint64_t target = partition.offset + share(partition.length, i, pieces);
      borders.push_back(std::min<std::uint64_t>(
          end, border_at_or_after(file->text(), std::max(borders.back(), target), shape)));
    }
  }
  borders.push_back(end);
  std::vector<Partition> out;
  for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
    const std::uint64_t length = borders[i + 1] - borders[i];
    if (length == 0) continue;
    Partition piece = partition;
    piece.offset = borders[i];
    piece.length = length;
    // Shares of the weight add up: each is what lies before its end less what lies before it.
    const auto before = [&](std::uint64_t at, std::uint64_t weight) {
      return partition.length == 0
                 ? 0
                 : static_cast<std::uint64_t>(static_cast<double>(weight) *
                                              static_cast<double>(at - partition.offset) /
                                              static_cast<double>(partition.length));
    };
    piece.bytes = before(borders[i + 1], partition.bytes) - before(borders[i], partition.bytes);
    piece.rows = before(borders[i + 1], partition.rows) - before(borders[i], partition.rows);
    out.push_back(piece);
  }
  if (out.empty()) out.push_back(partition);
  return out;
}

}  // namespace polysome
