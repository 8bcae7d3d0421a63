#include "data/text_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/decompress.h"
#include "data/file_map.h"

namespace polysome {

char letter(const Json& layout, const char* key, char otherwise) {
  const auto it = layout.find(key);
  if (it == layout.end() || !it->is_string()) return otherwise;
  const auto text = it->get<std::string>();
  return text.empty() ? '\0' : text.front();
}

std::uint64_t share(std::uint64_t total, std::uint64_t part, std::uint64_t parts) {
  // Exact without 128 bits.
  return total / parts * part + total % parts * part / parts;
}

TextShape shape_of(const Json& dialect) {
  return {letter(dialect, "delimiter", ','), letter(dialect, "quote", '"'),
          letter(dialect, "comment", '\0')};
}

NumberStyle number_style_of(const Json& dialect) {
  return {letter(dialect, "decimal", '.'), letter(dialect, "thousands", '\0')};
}

Result<Sample> head_sample(const SourceFile& file, std::size_t bytes) {
  Sample out;
  if (file.compression.empty()) {
    POLYSOME_ASSIGN(const auto mapped, FileMap::open(file.path));
    out.text = mapped->text().substr(0, bytes);
    out.whole = mapped->text().size() <= bytes;
    return out;
  }
  out.whole = true;
  POLYSOME_TRY(decompress(file.path, file.compression,
                          [&](std::string_view block) -> Result<bool> {
                            out.text.append(block);
                            if (out.text.size() <= bytes) return true;
                            out.text.resize(bytes);
                            out.whole = false;
                            return false;
                          },
                          {}));
  return out;
}

Result<std::vector<Partition>> cut_text(const TableSource& source, std::uint64_t partition_size) {
  const TextShape shape =
      source.format == "ndjson" ? TextShape{'\n', '\0', '\0'} : shape_of(source.dialect);
  std::vector<Partition> out;
  for (std::uint32_t f = 0; f < source.files.size(); ++f) {
    const SourceFile& file = source.files[f];
    const std::uint64_t begin = std::min(file.data_offset, file.bytes);
    const std::uint64_t bytes = file.bytes - begin;
    const std::uint64_t parts =
        std::max<std::uint64_t>(1, (bytes + partition_size - 1) / partition_size);
    if (parts == 1) {
      out.push_back({f, begin, bytes, bytes, 0});
      continue;
    }
    POLYSOME_ASSIGN(const auto mapped, FileMap::open(file.path));
    const auto text = mapped->text();
    std::uint64_t from = begin;
    for (std::uint64_t i = 1; i <= parts; ++i) {
      const auto target = begin + share(bytes, i, parts);
      const std::uint64_t to =
          i == parts ? text.size() : border_at_or_after(text, std::max(from, target), shape);
      if (to <= from) continue;
      out.push_back({f, from, to - from, to - from, 0});
      from = to;
    }
  }
  return out;
}

}  // namespace polysome
