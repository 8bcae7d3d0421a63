// The fast cutter gives the rows and fields that the plain scanner gives, on generated nasty texts,
// for every begin and end, whatever fields are wanted.
#include "data/row_cutter.h"

#include <gmock/gmock.h>

#include <random>
#include <string>

namespace polysome {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string text_of(const Field& f) {
  return std::string(f.begin, f.end) + (f.quoted ? "|quoted" : "");
}

// The wanted fields of every row; a row of another width gives its number of fields, an unclosed
// one "unclosed".
Rows plainly(std::string_view text, std::size_t begin, std::size_t limit, TextShape shape,
             std::size_t fields, const std::vector<std::uint32_t>& wanted) {
  Rows out;
  RowScanner rows(text, begin, shape);
  while (rows.next_row() < std::min(limit, text.size())) {
    if (!rows.read_row()) {
      out.push_back({"unclosed"});
      break;
    }
    std::vector<std::string> row;
    if (rows.fields().size() != fields) {
      row.push_back(std::to_string(rows.fields().size()));
    } else {
      for (const auto w : wanted) row.push_back(text_of(rows.fields()[w]));
    }
    out.push_back(std::move(row));
  }
  return out;
}

// False: that was the last one.
bool add_next(RowCutter* cutter, std::size_t fields, std::size_t wanted, Rows* out) {
  RowCutter::Row row;
  const auto next = cutter->next(&row);
  if (next == RowCutter::Next::kEnd) return false;
  if (next != RowCutter::Next::kRow) {
    out->push_back({"unclosed"});
    return false;
  }
  std::vector<std::string> cells;
  if (row.fields != fields) {
    cells.push_back(std::to_string(row.fields));
  } else {
    for (std::size_t i = 0; i < wanted; ++i) cells.push_back(text_of(cutter->field(row, i)));
  }
  out->push_back(std::move(cells));
  return true;
}

Rows quickly(std::string_view text, std::size_t begin, std::size_t limit, TextShape shape,
             std::size_t fields, const std::vector<std::uint32_t>& wanted) {
  Rows out;
  RowCutter cutter(text, begin, limit, shape, fields, wanted);
  while (add_next(&cutter, fields, wanted.size(), &out)) {
  }
  return out;
}

// The same, with rows taken several at a time wherever the cutter gives them so; *taken counts
// those.
Rows in_batches(std::string_view text, std::size_t begin, std::size_t limit, TextShape shape,
                std::size_t fields, const std::vector<std::uint32_t>& wanted, std::size_t* taken) {
  Rows out;
  RowCutter cutter(text, begin, limit, shape, fields, wanted);
  for (std::size_t turn = 0;; ++turn) {
    const auto some = cutter.take_rows(1 + turn % 3);
    for (std::size_t r = 0; r < some.n; ++r) {
      std::vector<std::string> cells;
      for (const auto w : wanted) {
        const std::uint32_t* const mark = some.marks + r * fields + w;
        const char* const from = r == 0 && w == 0 ? some.begin : some.base + mark[-1] + 1;
        const char* to = some.base + *mark;
        if (w + 1 == fields && to != from && to[-1] == '\r') --to;
        cells.emplace_back(from, to);
      }
      out.push_back(std::move(cells));
    }
    *taken += some.n;
    if (some.n > 0 && turn % 4 != 0) continue;
    if (!add_next(&cutter, fields, wanted.size(), &out)) return out;
  }
}

std::string nasty(std::mt19937_64& random, std::size_t size) {
  constexpr std::string_view kPieces[] = {"a",   "bc",   ",",  ",",     "\n",   "\n",   "\r\n",
                                          "\"",  "\"\"", "\r", "\"x\"", ",\"",  "\",",  "#",
                                          "\n#", "é",    "\t", "\n\n",  "\"\n", "\n\"", ""};
  std::string out;
  while (out.size() < size) out += kPieces[random() % std::size(kPieces)];
  return out;
}

TEST(RowCutter, CutsAsThePlainScannerDoesFromEveryRowOfNastyTexts) {
  std::mt19937_64 random(13);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = nasty(random, random() % 400);
    TextShape shape;
    shape.comment = round % 3 == 0 ? '#' : '\0';
    if (round % 7 == 0) shape.quote = '\0';
    const std::size_t fields = 1 + random() % 4;
    std::vector<std::uint32_t> wanted;
    for (std::uint32_t f = 0; f < fields; ++f)
      if (random() % 2 == 0) wanted.push_back(f);
    RowScanner rows(text, 0, shape);
    // From the begin and from behind each row.
    for (std::size_t begin = 0; begin <= text.size(); begin = rows.next_row()) {
      const std::size_t limit = begin + random() % (text.size() + 1);
      ASSERT_EQ(quickly(text, begin, limit, shape, fields, wanted),
                plainly(text, begin, limit, shape, fields, wanted))
          << "round " << round << " begin " << begin << " limit " << limit << "\n"
          << text;
      if (rows.next_row() >= text.size() || !rows.read_row()) break;
    }
  }
}

TEST(RowCutter, GivesTheSameRowsSeveralAtATime) {
  std::mt19937_64 random(15);
  std::size_t taken = 0;
  for (int round = 0; round < 3000; ++round) {
    // Some longer than a window.
    std::string text = nasty(random, random() % (round % 100 == 0 ? 150'000 : 300));
    if (round % 5 != 0) std::erase(text, '"');
    TextShape shape;
    shape.comment = round % 3 == 0 ? '#' : '\0';
    const std::size_t fields = 1 + random() % 4;
    std::vector<std::uint32_t> wanted;
    for (std::uint32_t f = 0; f < fields; ++f)
      if (random() % 2 == 0) wanted.push_back(f);
    const std::size_t limit = round % 2 == 0 ? text.size() : random() % (text.size() + 1);
    ASSERT_EQ(in_batches(text, 0, limit, shape, fields, wanted, &taken),
              plainly(text, 0, limit, shape, fields, wanted))
        << "round " << round << " limit " << limit;
  }
  EXPECT_GT(taken, 1000U);
}

TEST(RowCutter, FindsFewFieldsOfManyInRowsLongerThanItsWindows) {
  std::mt19937_64 random(14);
  for (int round = 0; round < 30; ++round) {
    const std::size_t fields = 2000 + random() % 20'000;
    std::string text;
    for (int r = 0; r < 6; ++r) {
      for (std::size_t f = 0; f < fields; ++f) {
        if (f > 0) text += ',';
        const auto kind = random() % 50;
        if (kind == 0)
          text += "\"quoted, \"\"with\"\"\nline\"";
        else if (kind != 1)
          text += std::to_string(random() % 1000);
      }
      if (r == 3 && round % 4 == 0) text += ",one too many";
      text += r == 5 ? "" : round % 2 == 0 ? "\n" : "\r\n";
    }
    std::vector<std::uint32_t> wanted;
    const std::size_t step = round % 3 == 0 ? 1 : 1 + random() % 3000;
    for (std::size_t f = random() % 50; f < fields; f += step)
      wanted.push_back(static_cast<std::uint32_t>(f));
    ASSERT_EQ(quickly(text, 0, text.size(), {}, fields, wanted),
              plainly(text, 0, text.size(), {}, fields, wanted));
  }
}

TEST(RowCutter, KnowsWhetherItMetQuotes) {
  RowCutter::Row row;
  RowCutter without("a,b\nc,d\n", 0, 8, {}, 2, {0});
  while (without.next(&row) == RowCutter::Next::kRow) {
  }
  EXPECT_FALSE(without.met_quotes());
  RowCutter with("a,b\n\"c\",d\n", 0, 10, {}, 2, {0});
  while (with.next(&row) == RowCutter::Next::kRow) {
  }
  EXPECT_TRUE(with.met_quotes());
}

}  // namespace
}  // namespace polysome
