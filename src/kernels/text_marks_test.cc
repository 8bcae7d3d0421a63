// Every kind of vector code finds what a loop over the letters finds.
#include "kernels/text_marks.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <string>

namespace polysome {
namespace {

std::string random_text(std::mt19937_64& random, std::size_t size, std::string_view letters) {
  std::string out(size, ' ');
  for (auto& c : out) c = letters[random() % letters.size()];
  return out;
}

class TextMarks : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { use_vector_target(GetParam()); }
  void TearDown() override { use_vector_target(0); }
};

TEST_P(TextMarks, MasksHoldEverySeparatorLineFeedAndQuote) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 50; ++round) {
    const std::string text = random_text(random, 64 * 7, round % 2 == 0 ? ",\"\na\x80\xff" : "a,b");
    TextMasks masks;
    masks.resize(7);
    const char quote = round % 5 == 0 ? '\0' : '"';
    mark_blocks(text.data(), 7, ',', quote, &masks);
    bool any = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto bit = [&](const std::vector<std::uint64_t>& m) {
        return (m[i / 64] >> (i % 64) & 1) != 0;
      };
      const bool is_quote = quote != '\0' && text[i] == quote;
      any = any || is_quote;
      ASSERT_EQ(bit(masks.separators), text[i] == ',' || text[i] == '\n') << i;
      ASSERT_EQ(bit(masks.newlines), text[i] == '\n') << i;
      ASSERT_EQ(bit(masks.quotes), is_quote) << i;
    }
    EXPECT_EQ(masks.any_quote, any);
  }
}

TEST_P(TextMarks, FlatteningGivesPositionsInOrderAndTheSeparatorsBeforeEachLineFeed) {
  std::mt19937_64 random(2);
  for (const char* letters : {",", "\n", "a", "aaaaaaaaa,", "ab,\n", "aaaaaaaaaaaaaaaaaaa\n"}) {
    const std::string text = random_text(random, 64 * 9, letters);
    TextMasks masks;
    masks.resize(9);
    mark_blocks(text.data(), 9, ',', '"', &masks);
    std::vector<std::uint32_t> positions(64 * 9 + 16), ends(64 * 9);
    const Flattened got = flatten_blocks(masks, 9, 1000, 30, positions.data(), ends.data());
    std::vector<std::uint32_t> expected, expected_ends;
    for (std::uint32_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n')
        expected_ends.push_back(30 + static_cast<std::uint32_t>(expected.size()));
      if (text[i] == ',' || text[i] == '\n') expected.push_back(1000 + i);
    }
    positions.resize(got.separators);
    ends.resize(got.rows);
    EXPECT_EQ(positions, expected);
    EXPECT_EQ(ends, expected_ends);
  }
}

TEST_P(TextMarks, AWalkFindsTheWantedSeparatorsOfEachRowAcrossBlocksAndCalls) {
  std::mt19937_64 random(3);
  const std::vector<std::uint32_t> wanted = {0, 3, 4, 70, 150};
  std::string text;
  while (text.size() < 64 * 40) text += random_text(random, random() % 400, "ab,,") + "\n";
  text.resize(64 * 40);
  SparseWalk walk;
  walk.wanted = wanted;
  TextMasks masks;
  masks.resize(1);
  for (std::uint32_t b = 0; b < 40; ++b) {
    mark_blocks(text.data() + std::size_t{b} * 64, 1, ',', '"', &masks);
    walk_blocks(masks, 1, b * 64, &walk);
  }
  std::vector<std::uint32_t> row;
  std::size_t seen = 0;
  for (std::uint32_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',' || text[i] == '\n') row.push_back(i);
    if (text[i] != '\n') continue;
    ASSERT_LT(seen, walk.rows.size());
    EXPECT_EQ(walk.rows[seen].end, i);
    EXPECT_EQ(walk.rows[seen].fields, row.size());
    for (std::size_t w = 0; w < wanted.size(); ++w)
      EXPECT_EQ(walk.positions[seen * wanted.size() + w],
                wanted[w] < row.size() ? row[wanted[w]] : i);
    row.clear();
    ++seen;
  }
  EXPECT_EQ(walk.rows.size(), seen);
}

TEST_P(TextMarks, LineFeedsAreCountedAtEveryLength) {
  std::mt19937_64 random(4);
  const std::string text = random_text(random, 300, "\n\nab");
  for (std::size_t n = 0; n <= text.size(); ++n) {
    const std::string_view part = std::string_view(text).substr(0, n);
    ASSERT_EQ(count_newlines(part),
              static_cast<std::uint64_t>(std::count(part.begin(), part.end(), '\n')));
  }
}

INSTANTIATE_TEST_SUITE_P(EachCpu, TextMarks, testing::ValuesIn(vector_targets()),
                         [](const auto& info) {
                           return std::string(vector_target_name(info.param));
                         });

}  // namespace
}  // namespace polysome
