#include "data/row_scanner.h"

#include <gtest/gtest.h>

#include <random>

#include "data/type_guess.h"

namespace polysome {
namespace {

// The fields of the first row, letter by letter.
std::vector<std::string> plainly(const std::string& text, TextShape shape) {
  std::vector<std::string> out{""};
  bool inside = false, field_start = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (inside) {
      out.back() += c;
      if (c == shape.quote && i + 1 < text.size() && text[i + 1] == shape.quote)
        out.back() += text[++i];
      else if (c == shape.quote)
        inside = false;
      continue;
    }
    if (c == '\n') break;
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') break;
    if (c == shape.delimiter) {
      out.emplace_back();
      field_start = true;
      continue;
    }
    inside = field_start && c == shape.quote;
    field_start = false;
    out.back() += c;
  }
  return out;
}

TEST(RowScanner, CutsRowsOfAnyLengthAsLetterByLetter) {
  std::mt19937 random(3);
  const auto chance = [&](unsigned of) { return random() % of == 0; };
  for (int round = 0; round < 3000; ++round) {
    const bool quotes = round % 2 == 0;
    std::string row;
    const unsigned fields = 1 + random() % 40;
    for (unsigned f = 0; f < fields; ++f) {
      if (f > 0) row += ',';
      if (quotes && chance(6)) {
        row += '"';
        for (unsigned n = random() % 30; n > 0; --n) {
          if (chance(5)) row += "\"\"";
          row += ",\n ab"[random() % 5];
        }
        row += '"';
        continue;
      }
      for (unsigned n = random() % 12; n > 0; --n) row += "0.1a\r"[random() % 5];
    }
    if (row.empty()) row = "a";
    const std::string text = row + (chance(2) ? "\r\n" : "\n") + "next,row,of,the,text\n" +
                             std::string(random() % 200, 'x');
    RowScanner rows(text, 0, {});
    // A blank line in front is passed over: such rows are not asked about.
    if (rows.next_row() != 0) continue;
    ASSERT_TRUE(rows.read_row());
    std::vector<std::string> cut;
    for (const auto& f : rows.fields()) cut.emplace_back(f.begin, f.end);
    ASSERT_EQ(cut, plainly(text, {})) << text;
    EXPECT_EQ(text.compare(rows.next_row(), 5, "next,"), 0);
  }
}

TEST(TypeGuess, TellsNumbersAsTheReadersOfValuesDo) {
  std::mt19937 random(5);
  const auto leading_zero = [](std::string t) {
    if (t[0] == '-' || t[0] == '+') t.erase(0, 1);
    return t.size() > 1 && t[0] == '0' && t[1] >= '0' && t[1] <= '9';
  };
  int whole = 0, real = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string text;
    for (unsigned n = 1 + random() % 18; n > 0; --n) text += "0123456789..-+e"[random() % 15];
    if (round % 2 == 0)
      std::erase_if(text, [](char c) { return c == 'e' || c == '+' || c == '-'; });
    if (text.empty() || is_missing_number(text)) continue;
    TypeGuess guess;
    guess.see(text, {}, {});
    const bool id = leading_zero(text);
    ValueType expected = ValueType::kString;
    if (!id && parse_int64(text))
      expected = ValueType::kInt64;
    else if (!id && parse_double(text))
      expected = ValueType::kDouble;
    else if (parse_date(text) || parse_timestamp(text))
      continue;
    whole += expected == ValueType::kInt64 ? 1 : 0;
    real += expected == ValueType::kDouble ? 1 : 0;
    ASSERT_EQ(guess.type(true), expected) << text;
  }
  EXPECT_GT(whole, 1000);
  EXPECT_GT(real, 1000);
}

}  // namespace
}  // namespace polysome
