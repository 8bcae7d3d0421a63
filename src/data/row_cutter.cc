#include "data/row_cutter.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace polysome {
namespace {

constexpr std::size_t kWindow = 32'768;  // of text scanned at once: masks and marks stay in caches
constexpr std::size_t kLeastWindow = 1024;
constexpr std::size_t kMostRow = 4'000'000'000;  // positions in a row have 32 bits
// In tables wider than this, fewer wanted fields than one in kSparse are looked for one by one.
constexpr std::size_t kWide = 32;
constexpr std::size_t kSparse = 12;

}  // namespace

RowCutter::RowCutter(std::string_view text, std::size_t begin, std::size_t limit, TextShape shape,
                     std::size_t fields, const std::vector<std::uint32_t>& wanted)
    : text_(text),
      shape_(shape),
      limit_(std::min(limit, text.size())),
      start_(begin),
      dense_(fields <= kWide || wanted.size() > fields / kSparse),
      fields_(fields),
      base_(begin),
      scanned_(begin),
      row_begin_(begin),
      next_begin_(begin),
      in_comment_(is_comment(begin)) {
  const auto place = [&](std::uint32_t separator) {
    if (dense_) return static_cast<std::int32_t>(separator);
    if (needs_.empty() || needs_.back() != separator) needs_.push_back(separator);
    return static_cast<std::int32_t>(needs_.size() - 1);
  };
  for (const auto f : wanted) {
    Slot slot;
    if (f > 0) slot.begin = place(f - 1);
    slot.end = place(f);
    slots_.push_back(slot);
  }
  walk_.wanted = needs_;
  masks_.resize(kWindow / kBlockBytes);
}

RowCutter::Next RowCutter::next(Row* row) {
  for (;;) {
    row_begin_ = next_begin_;
    while (!have_row()) {
      if (row_begin_ >= limit_) return Next::kEnd;
      if (scanned_ - row_begin_ > kMostRow) return Next::kTooLong;
      if (refill()) continue;
      if (inside_) return Next::kUnclosed;
      if (row_begin_ >= text_.size()) return Next::kEnd;
      end_text();
    }
    if (row_begin_ >= limit_) return Next::kEnd;
    take_row(row);
    next_begin_ = static_cast<std::size_t>(row->end - text_.data()) + 1;
    const char* const p = row->begin;
    const bool blank = p == row->end || (*p == '\r' && p + 1 == row->end);
    if (!blank && !is_comment(row_begin_)) return Next::kRow;
  }
}

RowCutter::Rows RowCutter::take_rows(std::size_t most) {
  Rows out;
  // A row of one field may be a blank line.
  if (!dense_ || met_quotes_ || fields_ < 2 || next_row_ >= n_rows_ || scanned_ > limit_)
    return out;
  out.base = text_.data() + base_;
  out.begin = text_.data() + next_begin_;
  out.marks = flat_.data() + first_mark_;
  most = std::min(most, n_rows_ - next_row_);
  const std::uint32_t* const ends = row_ends_.data() + next_row_;
  std::size_t end = first_mark_ - 1;  // of the row before
  std::size_t begin = next_begin_ - base_;
  std::size_t last_begin = begin;
  for (; out.n < most && ends[out.n] == end + fields_; ++out.n) {
    if (shape_.comment != '\0' && out.base[begin] == shape_.comment) break;
    last_begin = begin;
    end += fields_;
    begin = std::size_t{flat_[end]} + 1;
  }
  if (out.n == 0) return out;
  next_row_ += out.n;
  first_mark_ = end + 1;
  row_begin_ = base_ + last_begin;
  next_begin_ = base_ + begin;
  return out;
}

void RowCutter::take_row(Row* row) {
  // Kept apart: read as one vector they would have to wait for the stores of the row before.
  std::size_t base = base_, begin = row_begin_, first = first_mark_;
  __asm__("" : "+r"(base), "+r"(begin), "+r"(first));
  row->base = text_.data() + base;
  row->begin = text_.data() + begin;
  if (dense_) {
    const std::uint32_t last = row_ends_[next_row_];
    row->marks = flat_.data() + first;
    row->fields = last + 1 - static_cast<std::uint32_t>(first);
    row->end = row->base + flat_[last];
    first_mark_ = last + 1;
  } else {
    row->marks = walk_.positions.data() + next_row_ * needs_.size();
    row->fields = walk_.rows[next_row_].fields;
    row->end = row->base + walk_.rows[next_row_].end;
  }
  ++next_row_;
}

// What is left of rows already given makes room; positions count from the next row on.
void RowCutter::drop_taken_rows() {
  if (next_begin_ == base_) return;
  const auto moved = static_cast<std::uint32_t>(next_begin_ - base_);
  if (dense_) {
    const std::size_t left = n_flat_ - first_mark_;
    for (std::size_t i = 0; i < left; ++i) flat_[i] = flat_[first_mark_ + i] - moved;
    n_flat_ = left;
    n_rows_ = 0;
    first_mark_ = 0;
  } else {
    const std::size_t taken = walk_.rows.size() * needs_.size();
    const std::size_t left = walk_.positions.size() - taken;
    for (std::size_t i = 0; i < left; ++i) walk_.positions[i] = walk_.positions[taken + i] - moved;
    walk_.positions.resize(left);
    walk_.rows.clear();
  }
  next_row_ = 0;
  base_ = next_begin_;
}

bool RowCutter::refill() {
  if (scanned_ >= text_.size()) return false;
  drop_taken_rows();
  // Not much more than what is asked for, and more and more while a row does not end.
  const std::size_t ahead = limit_ > scanned_ ? limit_ - scanned_ : scanned_ - base_;
  const std::size_t want =
      std::clamp((ahead / kBlockBytes + 1) * kBlockBytes, kLeastWindow, kWindow);
  const std::size_t whole = std::min(want, text_.size() - scanned_) / kBlockBytes;
  if (whole > 0) {
    scan(text_.data() + scanned_, whole, scanned_);
    return true;
  }
  std::array<char, kBlockBytes> tail{};
  const std::size_t rest = text_.size() - scanned_;
  std::memcpy(tail.data(), text_.data() + scanned_, rest);
  scan(tail.data(), 1, scanned_);
  scanned_ = text_.size();
  return true;
}

void RowCutter::scan(const char* at, std::size_t blocks, std::size_t position) {
  mark_blocks(at, blocks, shape_.delimiter, shape_.quote, &masks_);
  if (masks_.any_quote || inside_)
    resolve_quotes(position, blocks);
  else if (shape_.comment != '\0')
    note_line_begin(position, blocks);
  met_quotes_ = met_quotes_ || masks_.any_quote;
  const auto base = static_cast<std::uint32_t>(position - base_);
  if (dense_) {
    const std::size_t room = n_flat_ + blocks * kBlockBytes + 16;
    if (flat_.size() < room) flat_.resize(room + room / 2);
    if (row_ends_.size() < n_rows_ + blocks * kBlockBytes)
      row_ends_.resize(n_rows_ + blocks * kBlockBytes + 1);
    const Flattened got = flatten_blocks(masks_, blocks, base, static_cast<std::uint32_t>(n_flat_),
                                         flat_.data() + n_flat_, row_ends_.data() + n_rows_);
    n_flat_ += got.separators;
    n_rows_ += got.rows;
  } else {
    walk_blocks(masks_, blocks, base, &walk_);
  }
  scanned_ = position + blocks * kBlockBytes;
}

// Takes out of the masks what lies inside quoted fields.
void RowCutter::resolve_quotes(std::size_t position, std::size_t blocks) {
  for (std::size_t b = 0; b < blocks; ++b, position += kBlockBytes) {
    std::uint64_t special = masks_.quotes[b] | masks_.separators[b];
    if (masks_.quotes[b] == 0 && !inside_ && shape_.comment == '\0') continue;
    for (; special != 0; special &= special - 1) {
      const std::uint64_t bit = special & (0 - special);
      const std::size_t at = position + static_cast<std::size_t>(std::countr_zero(special));
      const bool quote = (masks_.quotes[b] & bit) != 0;
      if (inside_) {
        if (!quote) {
          masks_.separators[b] &= ~bit;
          masks_.newlines[b] &= ~bit;
        } else if (at == skip_quote_) {
          // the second of a pair
        } else if (at + 1 < text_.size() && text_[at + 1] == shape_.quote) {
          skip_quote_ = at + 1;
        } else {
          inside_ = false;
        }
      } else if (quote) {
        // Outside quotes, what stands before is a separator by its letter alone.
        const bool opens =
            at == start_ || text_[at - 1] == shape_.delimiter || text_[at - 1] == '\n';
        inside_ = opens && !in_comment_;
      } else if ((masks_.newlines[b] & bit) != 0) {
        in_comment_ = is_comment(at + 1);
      }
    }
  }
}

void RowCutter::note_line_begin(std::size_t position, std::size_t blocks) {
  for (std::size_t b = blocks; b-- > 0;) {
    const std::uint64_t n = masks_.newlines[b];
    if (n == 0) continue;
    const auto last = static_cast<std::size_t>(63 - std::countl_zero(n));
    in_comment_ = is_comment(position + b * kBlockBytes + last + 1);
    return;
  }
}

// The last line ends with the text, as if a line feed stood there.
void RowCutter::end_text() {
  const auto end = static_cast<std::uint32_t>(text_.size() - base_);
  if (dense_) {
    if (flat_.size() <= n_flat_) flat_.resize(n_flat_ + 1);
    if (row_ends_.size() <= n_rows_) row_ends_.resize(n_rows_ + 1);
    row_ends_[n_rows_++] = static_cast<std::uint32_t>(n_flat_);
    flat_[n_flat_++] = end;
  } else {
    for (; walk_.next < walk_.wanted.size(); ++walk_.next) walk_.positions.push_back(end);
    walk_.rows.push_back({end, walk_.ordinal + 1});
    walk_.ordinal = 0;
    walk_.next = 0;
  }
}

}  // namespace polysome
