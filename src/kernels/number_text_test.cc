// What the short ways take, they read as std::from_chars does, to the last bit; what is no number
// they never take.
#include "kernels/number_text.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <charconv>
#include <optional>
#include <random>
#include <string>

namespace polysome {
namespace {

// Between other letters, so that a read beyond the ends would show.
struct Placed {
  explicit Placed(const std::string& text)
      : all("9999999999999999" + text + "9999999999999999"), size(text.size()) {}
  const char* begin() const { return all.data() + 16; }
  const char* end() const { return begin() + size; }
  std::string all;
  std::size_t size;
};

std::optional<double> quick(const std::string& text) {
  const Placed p(text);
  double out = 0;
  if (!quick_double(p.begin(), p.end(), p.all.data(), &out)) return std::nullopt;
  return out;
}
std::optional<std::int64_t> quick_whole(const std::string& text) {
  const Placed p(text);
  std::int64_t out = 0;
  if (!quick_int64(p.begin(), p.end(), p.all.data(), &out)) return std::nullopt;
  return out;
}

TEST(NumberText, DoublesAreTheNearestOnes) {
  std::mt19937_64 random(5);
  int taken = 0;
  for (int i = 0; i < 300'000; ++i) {
    const int digits = 1 + static_cast<int>(random() % 17);
    std::string text;
    for (int k = 0; k < digits; ++k) text += static_cast<char>('0' + random() % 10);
    if (random() % 4 != 0) text.insert(random() % (text.size() + 1), ".");
    if (random() % 3 == 0) text.insert(0, "-");
    const auto got = quick(text);
    if (!got) continue;
    ++taken;
    double expected = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), expected);
    ASSERT_EQ(end, text.data() + text.size()) << text;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(*got), std::bit_cast<std::uint64_t>(expected)) << text;
  }
  EXPECT_GT(taken, 250'000);
}

TEST(NumberText, UsualFormsAreTaken) {
  for (const char* text : {"0", "-0", "7", "-7", "12345678", "5.1234", ".5", "5.", "-0.000001",
                           "123456789.12345", "0.12345678901234", "9007199254740992"})
    EXPECT_TRUE(quick(text)) << text;
  for (const char* text : {"0", "-0", "7", "-12345678", "123456789", "-1234567890123456"})
    EXPECT_TRUE(quick_whole(text)) << text;
}

TEST(NumberText, WholeNumbersAreExact) {
  std::mt19937_64 random(6);
  for (int i = 0; i < 200'000; ++i) {
    const auto v = static_cast<std::int64_t>(random()) >> (random() % 64);
    const std::string text = fmt::format("{}", v);
    const auto got = quick_whole(text);
    EXPECT_EQ(got.has_value(), text.size() - (v < 0 ? 1 : 0) <= 16) << text;
    EXPECT_EQ(got.value_or(v), v) << text;
  }
}

TEST(NumberText, WhatIsNoNumberIsNotTaken) {
  std::mt19937_64 random(7);
  constexpr std::string_view kLetters = "0123456789..--+eE \t,:/xan\x80";
  for (int i = 0; i < 300'000; ++i) {
    std::string text(random() % 20, ' ');
    for (auto& c : text) c = kLetters[random() % kLetters.size()];
    double expected = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), expected);
    const bool number = !text.empty() && ec == std::errc() && end == text.data() + text.size();
    if (const auto got = quick(text)) {
      ASSERT_TRUE(number) << text;
      ASSERT_EQ(*got, expected) << text;
    }
    std::int64_t whole = 0;
    const auto [whole_end, whole_ec] =
        std::from_chars(text.data(), text.data() + text.size(), whole);
    if (const auto got = quick_whole(text)) {
      ASSERT_TRUE(whole_ec == std::errc() && whole_end == text.data() + text.size()) << text;
      ASSERT_EQ(*got, whole) << text;
    }
  }
}

TEST(NumberText, NothingBeforeTheFloorIsRead) {
  // At the very begin of the text there is no room to read eight letters that end with the number.
  const std::string text = "12.5";
  double out = 0;
  EXPECT_FALSE(quick_double(text.data(), text.data() + 4, text.data(), &out));
}

}  // namespace
}  // namespace polysome
