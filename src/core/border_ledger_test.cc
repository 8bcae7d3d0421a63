#include "core/border_ledger.h"

#include <gtest/gtest.h>

#include <random>

namespace polysome::core {
namespace {

constexpr BorderEnds kNoQuotes{false, true};  // ends as it started
constexpr BorderEnds kOneQuote{true, false};  // ends the other way round
constexpr BorderEnds kNewFile{false, false};  // the task after begins a file

TEST(BorderLedger, AllRightWhenNothingIsQuoted) {
  BorderLedger ledger(3);
  for (std::uint32_t i : {2U, 0U, 1U}) ledger.note(i, false, kNoQuotes);
  EXPECT_TRUE(ledger.compose().wrong.empty());
  EXPECT_TRUE(ledger.all_right());
}

TEST(BorderLedger, FindsTheTaskThatStartedInsideAQuote) {
  BorderLedger ledger(3);
  ledger.note(0, false, kOneQuote);
  ledger.note(1, false, kOneQuote);
  ledger.note(2, false, kNoQuotes);
  EXPECT_EQ(ledger.compose().wrong, std::vector<std::uint32_t>{1});
  EXPECT_FALSE(ledger.all_right());
  EXPECT_TRUE(ledger.start_of(1));
  EXPECT_FALSE(ledger.start_of(2));
  ledger.note(1, true, kOneQuote);
  EXPECT_TRUE(ledger.compose().wrong.empty());
  EXPECT_TRUE(ledger.all_right());
}

TEST(BorderLedger, ANewFileBeginsOutsideWhateverCameBefore) {
  BorderLedger ledger(3);
  ledger.note(0, false, kOneQuote);
  ledger.note(1, true, kNewFile);
  ledger.note(2, false, kNoQuotes);
  EXPECT_TRUE(ledger.compose().wrong.empty());
  EXPECT_TRUE(ledger.all_right());
}

TEST(BorderLedger, ATaskWhoseStartIsKnownBeginsRight) {
  BorderLedger ledger(2);
  ledger.note(0, false, kOneQuote);
  ledger.compose();
  EXPECT_TRUE(ledger.start_of(1));
}

TEST(BorderLedger, ADisputeUnderTheWrongStartVanishes) {
  BorderLedger ledger(2);
  ledger.note(1, false, kNoQuotes, Error(Code::kUserData, "bad value"));
  ledger.note(0, false, kOneQuote);
  const auto verdict = ledger.compose();
  EXPECT_FALSE(verdict.error);
  EXPECT_EQ(verdict.wrong, std::vector<std::uint32_t>{1});
}

TEST(BorderLedger, ADisputeUnderTheRightStartIsReal) {
  BorderLedger ledger(2);
  ledger.note(1, false, kNoQuotes, Error(Code::kUserData, "bad value"));
  EXPECT_FALSE(ledger.compose().error);
  ledger.note(0, false, kNoQuotes);
  const auto verdict = ledger.compose();
  ASSERT_TRUE(verdict.error);
  EXPECT_EQ(verdict.error->first, 1U);
  EXPECT_EQ(verdict.error->second.message, "bad value");
}

TEST(BorderLedger, EndsAllRightForAnyQuotesInAnyOrder) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const std::uint32_t n = 1 + random() % 20;
    std::vector<BorderEnds> ends(n);
    std::vector<bool> truth(n);
    for (auto& e : ends) e = BorderEnds{random() % 2 == 0, random() % 2 == 0};
    for (std::uint32_t i = 1; i < n; ++i)
      truth[i] = truth[i - 1] ? ends[i - 1].inside_if_inside : ends[i - 1].inside_if_outside;
    BorderLedger ledger(n);
    std::vector<std::uint32_t> open(n);
    for (std::uint32_t i = 0; i < n; ++i) open[i] = i;
    std::vector<bool> last(n);
    for (std::uint32_t runs = 0; !open.empty(); ++runs) {
      ASSERT_LT(runs, 2 * n + 1);
      std::swap(open[random() % open.size()], open.back());
      const std::uint32_t i = open.back();
      open.pop_back();
      last[i] = ledger.start_of(i);
      ledger.note(i, last[i], ends[i]);
      for (const auto wrong : ledger.compose().wrong) open.push_back(wrong);
    }
    EXPECT_TRUE(ledger.all_right());
    EXPECT_EQ(last, truth);
  }
}

}  // namespace
}  // namespace polysome::core
