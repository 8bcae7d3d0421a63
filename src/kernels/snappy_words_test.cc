// What pack_words makes is Snappy: a decoder written from the format's description gives the bytes
// back.
#include "kernels/snappy_words.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <vector>

namespace polysome {
namespace {

std::optional<std::string> unpacked(std::string_view in) {
  std::string out;
  std::size_t at = 0, length = 0;
  const auto byte = [&] { return static_cast<std::size_t>(static_cast<unsigned char>(in[at++])); };
  for (int shift = 0;; shift += 7) {
    const std::size_t b = byte();
    length |= (b & 0x7f) << shift;
    if (b < 0x80) break;
  }
  while (at < in.size()) {
    const std::size_t tag = byte();
    std::size_t n = 0, offset = 0;
    switch (tag & 3) {
      case 0:
        n = tag >> 2;
        if (n >= 60) {
          const std::size_t more = n - 59;
          n = 0;
          for (std::size_t i = 0; i < more; ++i) n |= byte() << (8 * i);
        }
        ++n;
        if (at + n > in.size()) return std::nullopt;
        out += in.substr(at, n);
        at += n;
        continue;
      case 1:
        n = (tag >> 2 & 7) + 4;
        offset = tag >> 5 << 8;
        offset |= byte();
        break;
      case 2:
        n = (tag >> 2) + 1;
        offset = byte();
        offset |= byte() << 8;
        break;
      default: return std::nullopt;
    }
    if (offset == 0 || offset > out.size()) return std::nullopt;
    for (std::size_t i = 0; i < n; ++i) out += out[out.size() - offset];
  }
  return out.size() == length ? std::optional(out) : std::nullopt;
}

void comes_back(const std::string& bytes, std::size_t head, std::size_t most) {
  std::string packed;
  pack_words(bytes, head, &packed);
  EXPECT_LE(packed.size(), most);
  const auto back = unpacked(packed);
  ASSERT_TRUE(back) << bytes.size() << " bytes, head " << head;
  EXPECT_TRUE(*back == bytes) << bytes.size() << " bytes, head " << head;
}

std::string of_doubles(const std::vector<double>& values, std::size_t head) {
  std::string out(head, 'h');
  for (const double v : values) {
    std::uint64_t word = 0;
    std::memcpy(&word, &v, sizeof word);
    for (int i = 0; i < 8; ++i) out += static_cast<char>(word >> (8 * i));
  }
  return out;
}

TEST(SnappyWords, AnyBytesComeBack) {
  std::mt19937_64 random(3);
  for (std::size_t n = 0; n < 700; ++n) {
    std::string bytes(n, '\0');
    for (auto& c : bytes) c = static_cast<char>(random() % (n % 3 == 0 ? 2 : 256));
    comes_back(bytes, n % 11, n + n / 4 + 64);
  }
}

TEST(SnappyWords, DecimalsGetSmaller) {
  std::mt19937_64 random(4);
  for (const std::size_t n : {1000UL, 8192UL, 9000UL, 30'000UL}) {  // also beyond two-byte offsets
    std::vector<double> values;
    for (std::size_t i = 0; i < n; ++i)
      values.push_back(std::round(static_cast<double>(random() % 30'000)) / 1e4);
    const std::string bytes = of_doubles(values, 6);
    comes_back(bytes, 6, bytes.size() * 93 / 100);
  }
}

TEST(SnappyWords, EqualWordsAreRuns) {
  for (const std::size_t n : {1UL, 2UL, 9UL, 10UL, 1000UL, 20'000UL}) {
    const std::string bytes = of_doubles(std::vector<double>(n, 0.1), 3);
    comes_back(bytes, 3, 30 + bytes.size() / 20);
  }
  std::vector<double> mixed;
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i) mixed.push_back(random() % 3 == 0 ? 0.1 : 0.7);
  const std::string bytes = of_doubles(mixed, 0) + "tail";
  comes_back(bytes, 0, bytes.size());
}

TEST(SnappyWords, NoiseHardlyGrows) {
  std::mt19937_64 random(6);
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(random());
  comes_back(bytes, 4, bytes.size() + 64);
}

}  // namespace
}  // namespace polysome
