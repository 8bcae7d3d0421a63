#include "data/unpack_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/files.h"
#include "data/decompress.h"
#include "data/part_writer.h"
#include "data/text_pieces.h"
#include "data/text_source.h"
#include "kernels/text_marks.h"

namespace polysome {
namespace {

constexpr std::uint64_t kMostRatio = 1000;
// A small file may be more redundant than that without being a bomb.
constexpr std::uint64_t kFreeBytes = 100'000'000;

// Finds the first line that does not begin with a quote, in a stream.
class BorderSeeker {
 public:
  explicit BorderSeeker(char quote) : quote_(quote) {}
  // Where it begins in the block, which goes on from the last one; npos when not yet.
  std::size_t find(std::string_view block) {
    std::size_t i = 0;
    while (i < block.size()) {
      if (behind_newline_ && (block[i] != quote_ || quote_ == '\0')) return i;
      const auto newline = block.find('\n', i);
      behind_newline_ = newline != std::string_view::npos;
      if (!behind_newline_) break;
      i = newline + 1;
    }
    return std::string_view::npos;
  }

 private:
  char quote_;
  bool behind_newline_ = false;
};

// Takes the unpacked bytes of a stretch, then those behind it until its last row ends.
class RangeWriter {
 public:
  RangeWriter(TextShape shape, bool first, bool inside, PartWriter* writer)
      : writer_(writer), begun_(first), dropping_(inside), begin_(shape.quote), end_(shape.quote) {
    if (!first) other_.emplace(shape, !inside);
    inside_ = inside;
  }

  Status within(std::string_view block) {
    if (!begun_) {
      const std::size_t at = begin_.find(block);
      if (at == std::string_view::npos) return {};
      begun_ = true;
      block.remove_prefix(at);
    }
    return feed(block);
  }

  // False: nothing more is wanted.
  Result<bool> beyond(std::string_view block) {
    if (block.empty()) return true;
    if (!begun_) {
      // The stretch may end with the line feed that makes its border.
      if (begin_.find(block.substr(0, 1)) != 0) return false;
      begun_ = true;
    }
    if (!bordered_) {
      const std::size_t at = end_.find(block);
      POLYSOME_TRY(feed(block.substr(0, at)));
      if (at == std::string_view::npos) return true;
      note_border();
      block.remove_prefix(at);
      if (dropping_ || writer_->machine().at_row_start()) return false;
    }
    bool ended = false;
    POLYSOME_TRY(writer_->write_to_row_end(block, &ended));
    return !ended;
  }

  // What it comes to. `at_end`: the file ended before another border; the next one begins anew.
  void tell(bool at_end, UnpackedRange* out) const {
    out->lines = lines_;
    if (at_end && !bordered_) return;
    out->ends_inside_if_outside = bordered_ && if_outside_;
    out->ends_inside_if_inside = bordered_ ? if_inside_ : true;
  }

 private:
  Status feed(std::string_view block) {
    lines_ += count_newlines(block);
    if (other_) other_->run(block);
    if (dropping_) {
      bool ended = false;
      block.remove_prefix(writer_->drop_to_row_end(block, &ended));
      if (!ended) return {};
      dropping_ = false;
    }
    POLYSOME_TRY(writer_->write(block));
    if (other_ && *other_ == writer_->machine()) other_.reset();
    return {};
  }
  void note_border() {
    bordered_ = true;
    const bool own = writer_->machine().inside();
    const bool other = other_ ? other_->inside() : own;
    if_outside_ = inside_ ? other : own;
    if_inside_ = inside_ ? own : other;
  }

  PartWriter* writer_;
  std::optional<QuoteMachine> other_;  // started in the other state, until the two are the same
  bool inside_ = false;
  bool begun_;
  bool dropping_;  // inside a row that began before the border
  bool bordered_ = false;
  bool if_outside_ = false, if_inside_ = false;
  BorderSeeker begin_, end_;
  std::uint64_t lines_ = 0;
};

}  // namespace

Result<UnpackedRange> unpack_range(const TableSource& source, std::uint32_t file_index,
                                   const PackedRange& range, std::uint64_t part_bytes,
                                   const std::string& prefix, const ScanOptions& options) {
  const SourceFile& file = source.files.at(file_index);
  const TextShape shape =
      source.format == "ndjson" ? TextShape{'\n', '\0', '\0'} : shape_of(source.dialect);
  const bool first = range.begin == 0;
  const bool inside = options.start_inside_quotes && !first;
  PartWriter writer(shape, part_bytes, prefix, file_index, inside);
  RangeWriter rows(shape, first, inside, &writer);
  const std::uint64_t packed = std::min(range.end, file.bytes) - range.begin;
  std::uint64_t skip = first ? file.data_offset : 0;  // mark, comments and header
  std::uint64_t skipped_lines = 0, written = 0;
  const auto check = [&](std::size_t bytes) -> Status {
    if (options.cancelled != nullptr && options.cancelled->load(std::memory_order_relaxed))
      return fail(Code::kCancelled, "cancelled");
    written += bytes;
    if (written > kFreeBytes && written / kMostRatio > packed)
      return fail(Code::kUserData,
                  fmt::format("{} unpacks to more than {} times its size: refused as a "
                              "decompression bomb",
                              file_label(file.path), kMostRatio),
                  "unpack it by hand if it is what it should be");
    return {};
  };
  POLYSOME_TRY(decompress(
      file.path, file.compression,
      [&](std::string_view block) -> Result<bool> {
        POLYSOME_TRY(check(block.size()));
        const std::size_t drop =
            static_cast<std::size_t>(std::min<std::uint64_t>(skip, block.size()));
        skip -= drop;
        if (drop > 0) {
          writer.skip(block.substr(0, drop));
          skipped_lines += count_newlines(block.substr(0, drop));
        }
        POLYSOME_TRY(rows.within(block.substr(drop)));
        return true;
      },
      options.progress, range.begin, range.end));
  bool at_end = true;
  if (range.end < file.bytes)
    POLYSOME_TRY(decompress(
        file.path, file.compression,
        [&](std::string_view block) -> Result<bool> {
          POLYSOME_TRY(check(block.size()));
          POLYSOME_ASSIGN(const bool more, rows.beyond(block));
          at_end = at_end && more;
          return more;
        },
        {}, range.end));
  POLYSOME_TRY(writer.close());
  UnpackedRange out;
  rows.tell(at_end, &out);
  out.lines += skipped_lines;
  out.parts = writer.take();
  if (out.parts.empty() && first) {
    // A header only: a table without rows is one empty part.
    out.parts.push_back({part_name(prefix, 0, file_index, 1), 0, 0});
    POLYSOME_TRY(write_file(out.parts.back().path, "", false));
  }
  return out;
}

}  // namespace polysome
