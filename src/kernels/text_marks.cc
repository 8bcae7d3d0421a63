#include "kernels/text_marks.h"

#include <algorithm>
#include <array>
#include <cstring>

// This file is compiled once for each kind of CPU.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/text_marks.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace polysome::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Bytes = hn::ScalableTag<std::uint8_t>;

struct BlockMasks {
  std::uint64_t delimiters, newlines, quotes;
};

#if HWY_TARGET == HWY_SCALAR

HWY_INLINE BlockMasks mark_block(const std::uint8_t* in, char delimiter, char quote) {
  BlockMasks out{0, 0, 0};
  for (std::size_t i = 0; i < kBlockBytes; ++i) {
    out.delimiters |= std::uint64_t{in[i] == static_cast<std::uint8_t>(delimiter)} << i;
    out.newlines |= std::uint64_t{in[i] == '\n'} << i;
    out.quotes |= std::uint64_t{in[i] == static_cast<std::uint8_t>(quote)} << i;
  }
  return out;
}

#else

HWY_INLINE BlockMasks mark_block(const std::uint8_t* in, char delimiter, char quote) {
  const Bytes d;
  const std::size_t lanes = hn::Lanes(d);
  const auto delimiters = hn::Set(d, static_cast<std::uint8_t>(delimiter));
  const auto newlines = hn::Set(d, std::uint8_t{'\n'});
  const auto quotes = hn::Set(d, static_cast<std::uint8_t>(quote));
  HWY_ALIGN std::uint8_t bits[3][kBlockBytes / 8 + 8];  // a store of a mask may write 8 bytes
  for (std::size_t i = 0; i < kBlockBytes; i += lanes) {
    const auto v = hn::LoadU(d, in + i);
    hn::StoreMaskBits(d, hn::Eq(v, delimiters), bits[0] + i / 8);
    hn::StoreMaskBits(d, hn::Eq(v, newlines), bits[1] + i / 8);
    hn::StoreMaskBits(d, hn::Eq(v, quotes), bits[2] + i / 8);
  }
  BlockMasks out;
  std::memcpy(&out.delimiters, bits[0], 8);
  std::memcpy(&out.newlines, bits[1], 8);
  std::memcpy(&out.quotes, bits[2], 8);
  return out;
}

#endif

void MarkBlocks(const char* text, std::size_t blocks, char delimiter, char quote,
                TextMasks* masks) {
  const std::uint64_t quoting = quote == '\0' ? 0 : ~std::uint64_t{0};
  std::uint64_t* const separators = masks->separators.data();
  std::uint64_t* const newlines = masks->newlines.data();
  std::uint64_t* const quotes = masks->quotes.data();
  std::uint64_t any = 0;
  const auto* in = reinterpret_cast<const std::uint8_t*>(text);
  for (std::size_t b = 0; b < blocks; ++b, in += kBlockBytes) {
    const BlockMasks m = mark_block(in, delimiter, quote);
    separators[b] = m.delimiters | m.newlines;
    newlines[b] = m.newlines;
    quotes[b] = m.quotes & quoting;
    any |= quotes[b];
  }
  masks->any_quote = any != 0;
}

Flattened FlattenBlocks(const TextMasks& masks, std::size_t blocks, std::uint32_t base,
                        std::uint32_t before, std::uint32_t* out, std::uint32_t* row_ends) {
  const std::uint32_t* const begin = out;
  const std::uint32_t* const first_row = row_ends;
  for (std::size_t b = 0; b < blocks; ++b) {
    std::uint64_t m = masks.separators[b];
    const std::uint32_t at = base + static_cast<std::uint32_t>(b * kBlockBytes);
    const auto written = static_cast<std::uint32_t>(out - begin) + before;
    for (std::uint64_t n = masks.newlines[b]; n != 0; n &= n - 1)
      *row_ends++ =
          written + static_cast<std::uint32_t>(__builtin_popcountll(m & (n ^ (n - 1)) & ~(n & -n)));
#if HWY_TARGET <= HWY_AVX3
    // Sixteen bits at a time: the positions that are set, packed together.
    const hn::CappedTag<std::uint32_t, 16> d;
    for (std::uint32_t bit = 0; bit < kBlockBytes; bit += 16, m >>= 16) {
      const auto bits = static_cast<std::uint16_t>(m);
      std::array<std::uint8_t, 8> mask{};
      std::memcpy(mask.data(), &bits, sizeof bits);
      hn::StoreU(hn::Compress(hn::Iota(d, at + bit), hn::LoadMaskBits(d, mask.data())), d, out);
      out += __builtin_popcount(bits);
    }
#else
    // Eight at a time without asking: what is written too much is written over.
    const int count = __builtin_popcountll(m);
    std::uint32_t* to = out;
    for (int done = 0; done < count; done += 8, to += 8)
      for (int i = 0; i < 8; ++i) {
        to[i] = at + static_cast<std::uint32_t>(m == 0 ? 0 : __builtin_ctzll(m));
        m &= m - 1;
      }
    out += count;
#endif
  }
  return {static_cast<std::size_t>(out - begin), static_cast<std::size_t>(row_ends - first_row)};
}

// Position of the k-th set bit.
HWY_INLINE std::uint32_t select_bit(std::uint64_t m, std::uint32_t k) {
  while (k-- > 0) m &= m - 1;
  return static_cast<std::uint32_t>(__builtin_ctzll(m));
}

void WalkBlocks(const TextMasks& masks, std::size_t blocks, std::uint32_t base, SparseWalk* walk) {
  const auto wanted = walk->wanted;
  const auto n_wanted = static_cast<std::uint32_t>(wanted.size());
  std::uint32_t ordinal = walk->ordinal, next = walk->next;
  for (std::size_t b = 0; b < blocks; ++b) {
    std::uint64_t m = masks.separators[b];
    std::uint64_t n = masks.newlines[b];
    const std::uint32_t at = base + static_cast<std::uint32_t>(b * kBlockBytes);
    for (;;) {
      // Up to and with the next line feed, or the whole block.
      const std::uint64_t here = n == 0 ? m : m & (n ^ (n - 1));
      const auto count = static_cast<std::uint32_t>(__builtin_popcountll(here));
      for (; next < n_wanted && wanted[next] < ordinal + count; ++next)
        walk->positions.push_back(at + select_bit(here, wanted[next] - ordinal));
      ordinal += count;
      if (n == 0) break;
      const std::uint32_t end = at + static_cast<std::uint32_t>(__builtin_ctzll(n));
      for (; next < n_wanted; ++next) walk->positions.push_back(end);
      walk->rows.push_back({end, ordinal});
      ordinal = 0;
      next = 0;
      m &= ~here;
      n &= n - 1;
    }
  }
  walk->ordinal = ordinal;
  walk->next = next;
}

std::uint64_t CountNewlines(const char* text, std::size_t size) {
  const Bytes d;
  const auto newlines = hn::Set(d, std::uint8_t{'\n'});
  const std::size_t lanes = hn::Lanes(d);
  const auto* in = reinterpret_cast<const std::uint8_t*>(text);
  std::uint64_t out = 0;
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes)
    out += hn::CountTrue(d, hn::Eq(hn::LoadU(d, in + i), newlines));
  for (; i < size; ++i) out += in[i] == '\n' ? 1 : 0;
  return out;
}

}  // namespace polysome::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polysome {

HWY_EXPORT(MarkBlocks);
HWY_EXPORT(FlattenBlocks);
HWY_EXPORT(WalkBlocks);
HWY_EXPORT(CountNewlines);

void mark_blocks(const char* text, std::size_t blocks, char delimiter, char quote,
                 TextMasks* masks) {
  HWY_DYNAMIC_DISPATCH(MarkBlocks)(text, blocks, delimiter, quote, masks);
}

Flattened flatten_blocks(const TextMasks& masks, std::size_t blocks, std::uint32_t base,
                         std::uint32_t before, std::uint32_t* out, std::uint32_t* row_ends) {
  return HWY_DYNAMIC_DISPATCH(FlattenBlocks)(masks, blocks, base, before, out, row_ends);
}

void walk_blocks(const TextMasks& masks, std::size_t blocks, std::uint32_t base, SparseWalk* walk) {
  HWY_DYNAMIC_DISPATCH(WalkBlocks)(masks, blocks, base, walk);
}

std::uint64_t count_newlines(std::string_view text) {
  return HWY_DYNAMIC_DISPATCH(CountNewlines)(text.data(), text.size());
}

std::vector<std::int64_t> vector_targets() { return hwy::SupportedAndGeneratedTargets(); }
std::string_view vector_target_name(std::int64_t target) { return hwy::TargetName(target); }
void use_vector_target(std::int64_t target) { hwy::SetSupportedTargetsForTest(target); }

}  // namespace polysome
#endif  // HWY_ONCE
