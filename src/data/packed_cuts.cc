// Where compressed files can be cut: BGZF blocks, told by their headers (SAMv1, section 4.1), and
// zstd frames (RFC 8878), also those that pzstd writes with their sizes in front.
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "data/file_map.h"
#include "data/unpack_range.h"

namespace polysome {
namespace {

constexpr std::size_t kBlockHeader = 18;
constexpr std::size_t kMostBlock = 65'536;
// So many blocks in a row are no chance.
constexpr int kBlocksInARow = 6;
// A frame that is longer is as good as one stream; looking for its end would read all of it.
constexpr std::size_t kMostFrame = 64'000'000;
constexpr std::uint32_t kZstdMagic = 0xFD2FB528;
constexpr std::uint32_t kSizedMagic = 0x184D2A50;  // pzstd: the next frame's size in four bytes

std::uint32_t number(std::string_view text, std::size_t at, int bytes) {
  std::uint32_t out = 0;
  for (int i = bytes; i-- > 0;) out = out << 8 | static_cast<unsigned char>(text[at + i]);
  return out;
}

// Size of the BGZF block that begins at `at`; 0 when none does.
std::size_t block_size(std::string_view file, std::size_t at) {
  constexpr std::string_view kStart("\x1f\x8b\x08\x04", 4), kField("\x06\0BC\x02\0", 6);
  if (at + kBlockHeader > file.size() || file.substr(at, 4) != kStart ||
      file.substr(at + 10, 6) != kField)
    return 0;
  return number(file, at + 16, 2) + 1;
}

// The first block that begins at or behind `at`.
std::optional<std::size_t> next_block(std::string_view file, std::size_t at) {
  const std::size_t most = std::min(file.size(), at + kMostBlock + 1);
  for (; at < most; ++at) {
    at = file.find('\x1f', at);
    if (at == std::string_view::npos || at >= most) return std::nullopt;
    std::size_t end = at;
    for (int n = 0; n < kBlocksInARow && end != file.size(); ++n) {
      const std::size_t size = block_size(file, end);
      if (size == 0 || size > file.size() - end) break;
      end += size;
      if (n + 1 == kBlocksInARow || end == file.size()) return at;
    }
  }
  return std::nullopt;
}

// Of one frame, by unpacking it: tools that write a stream do not say it in front.
std::uint64_t unpacked_size(std::string_view frame) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> z(ZSTD_createDStream(),
                                                                   ZSTD_freeDStream);
  std::vector<char> room(ZSTD_DStreamOutSize());
  ZSTD_inBuffer in{frame.data(), frame.size(), 0};
  std::uint64_t total = 0;
  for (std::size_t left = 1; left != 0;) {
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    left = ZSTD_decompressStream(z.get(), &out, &in);
    if (ZSTD_isError(left) != 0 || (out.pos == 0 && in.pos == in.size)) break;
    total += out.pos;
  }
  return total;
}

// Where the first block begins that holds nothing of the header, which belongs to the first
// stretch.
std::uint64_t header_blocks(std::string_view file, std::uint64_t header) {
  std::size_t at = 0;
  for (std::uint64_t unpacked = 0; unpacked < header || at == 0;) {
    const std::size_t size = block_size(file, at);
    if (size < kBlockHeader || size > file.size() - at) return file.size();
    unpacked += number(file, at + size - 4, 4);
    at += size;
  }
  return at;
}

std::vector<std::uint64_t> block_cuts(std::string_view file, std::uint64_t least,
                                      std::uint64_t range_bytes) {
  std::vector<std::uint64_t> out;
  if (block_size(file, 0) == 0) return out;
  for (std::uint64_t want = std::max(least, range_bytes); want < file.size();) {
    const auto at = next_block(file, want);
    if (!at) break;
    out.push_back(*at);
    want = *at + range_bytes;
  }
  return out;
}

// The same for frames.
std::uint64_t header_frames(std::string_view file, std::uint64_t header) {
  std::size_t at = 0;
  for (std::uint64_t unpacked = 0; unpacked < header || at == 0;) {
    if (at >= file.size()) return file.size();
    const auto rest = file.substr(at, kMostFrame);
    const auto bytes = ZSTD_getFrameContentSize(rest.data(), rest.size());
    const std::size_t size = ZSTD_findFrameCompressedSize(rest.data(), rest.size());
    if (ZSTD_isError(size) != 0 || bytes == ZSTD_CONTENTSIZE_ERROR) return file.size();
    unpacked += bytes == ZSTD_CONTENTSIZE_UNKNOWN ? unpacked_size(rest.substr(0, size)) : bytes;
    at += size;
  }
  return at;
}

std::vector<std::uint64_t> frame_cuts(std::string_view file, std::uint64_t least,
                                      std::uint64_t range_bytes) {
  std::vector<std::uint64_t> out;
  std::uint64_t want = std::max(least, range_bytes);
  std::size_t at = 0;
  while (at < file.size()) {
    if (at >= want) {
      out.push_back(at);
      want = at + range_bytes;
    }
    std::size_t size =
        ZSTD_findFrameCompressedSize(file.data() + at, std::min(file.size() - at, kMostFrame));
    if (ZSTD_isError(size) != 0) break;  // its end is not near, or it is no frame
    // The frame that a sized one announces need not be walked through.
    if (size == 12 && at + 16 <= file.size() && number(file, at, 4) == kSizedMagic &&
        number(file, at + 12, 4) == kZstdMagic) {
      const std::size_t next = at + size + number(file, at + 8, 4);
      if (next == file.size() || (next + 4 <= file.size() && number(file, next, 4) == kSizedMagic))
        size = next - at;
    }
    at += size;
  }
  return out;
}

}  // namespace

Result<std::vector<std::uint64_t>> packed_cuts(const SourceFile& file, std::uint64_t range_bytes) {
  std::vector<std::uint64_t> out;
  range_bytes = std::max<std::uint64_t>(range_bytes, 1);
  if (file.compression.empty() || file.bytes / 2 < range_bytes) return out;
  POLYSOME_ASSIGN(const auto mapped, FileMap::open(file.path));
  const auto text = mapped->text();
  if (file.compression == "gzip" && block_size(text, 0) == 0) return out;
  if (file.compression == "gzip")
    out = block_cuts(text, header_blocks(text, file.data_offset), range_bytes);
  else
    out = frame_cuts(text, header_frames(text, file.data_offset), range_bytes);
  // A short rest goes with the stretch before it.
  if (!out.empty() && text.size() - out.back() < range_bytes / 2) out.pop_back();
  return out;
}

}  // namespace polysome
