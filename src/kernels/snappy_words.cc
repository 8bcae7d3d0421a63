#include "kernels/snappy_words.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace polysome {
namespace {

constexpr std::size_t kWord = 8;
constexpr int kTableBits = 12;
constexpr std::size_t kFarthest = 65'535;  // offsets have two bytes
constexpr std::size_t kLongestCopy = 64;
constexpr int kShared = 40;  // low bits that have to be the same
constexpr std::uint64_t kSharedMask = (std::uint64_t{1} << kShared) - 1;

std::uint64_t load(const char* p) {
  std::uint64_t w = 0;
  std::memcpy(&w, p, sizeof w);
  return w;
}

std::size_t slot_of(std::uint64_t word) {
  return static_cast<std::size_t>((word << (64 - kShared)) * 0x9e3779b97f4a7c15 >>
                                  (64 - kTableBits));
}

// Writes the format's elements. There is room for whatever is written.
class Elements {
 public:
  explicit Elements(char* at) : at_(at) {}

  void length(std::size_t n) {
    for (; n >= 0x80; n >>= 7) put(n | 0x80);
    put(n);
  }
  // `readable`: bytes that may be read from `from` on.
  void literal(const char* from, std::size_t n, std::size_t readable) {
    if (n == 0) return;
    const std::size_t told = n - 1;
    if (told < 60) {
      put(told << 2);
    } else {
      std::size_t more = 1;
      while (told >> (8 * more) != 0) ++more;
      put((59 + more) << 2);
      for (std::size_t i = 0; i < more; ++i) put(told >> (8 * i));
    }
    // Most are short.
    constexpr std::size_t kBlock = 16;
    if (n <= kBlock && readable >= kBlock)
      std::memcpy(at_, from, kBlock);
    else
      std::memcpy(at_, from, n);
    at_ += n;
  }
  void copy(std::size_t offset, std::size_t n) {
    if (n >= 4 && n < 12 && offset < 2048) {
      put(1 | (n - 4) << 2 | offset >> 8 << 5);
      put(offset);
    } else {
      put(2 | (n - 1) << 2);
      put(offset);
      put(offset >> 8);
    }
  }
  char* at() const { return at_; }

 private:
  void put(std::size_t byte) { *at_++ = static_cast<char>(byte); }
  char* at_;
};

}  // namespace

void pack_words(std::string_view bytes, std::size_t head, std::string* out) {
  // A literal takes at most five bytes beside its own, a copy is shorter than what it stands for.
  out->resize(bytes.size() + bytes.size() / 4 + 64);
  Elements elements(out->data());
  elements.length(bytes.size());
  const char* const begin = bytes.data();
  const std::size_t n = bytes.size();
  // Where a word with these low bits lay last, + 1.
  std::array<std::uint32_t, std::size_t{1} << kTableBits> table{};
  std::size_t from = 0;  // of what is not written yet
  std::size_t at = std::min(head, n);
  while (at + kWord <= n) {
    const std::uint64_t word = load(begin + at);
    std::uint32_t& slot = table[slot_of(word)];
    const std::size_t before = slot;
    slot = static_cast<std::uint32_t>(at + 1);
    const std::size_t offset = at + 1 - before;
    const std::uint64_t differs = before == 0 ? ~std::uint64_t{0} : load(begin + before - 1) ^ word;
    if ((differs & kSharedMask) != 0 || offset > kFarthest) {
      at += kWord;
      continue;
    }
    std::size_t same =
        differs == 0 ? kWord : static_cast<std::size_t>(std::countr_zero(differs)) / 8;
    // Equal words may go on.
    while (same % kWord == 0 && same + kWord <= kLongestCopy && at + same + kWord <= n) {
      const std::uint64_t next = load(begin + at + same) ^ load(begin + at + same - offset);
      if (next != 0) break;
      same += kWord;
    }
    elements.literal(begin + from, at - from, n - from);
    elements.copy(offset, same);
    from = at + same;
    at += (same + kWord - 1) / kWord * kWord;
  }
  elements.literal(begin + from, n - from, n - from);
  out->resize(static_cast<std::size_t>(elements.at() - out->data()));
}

}  // namespace polysome
