#include "cli/table.h"

#include <gtest/gtest.h>

#include "cli/terminal.h"

namespace polysome::cli {
namespace {

const std::vector<TableColumn> kColumns{
    {"gene"}, {"description"}, {"mean", Align::kPoint}, {"n", Align::kRight}};
const std::vector<std::vector<std::string>> kRows{
    {"TP53",
     "tumour protein p53, guardian of the genome, a long and winding description of what it does",
     "11.9353", "48"},
    {"MT-CO1", "cytochrome c oxidase subunit I", "0.5", "7"},
    {"XIST", "", "1034", "12345"}};

TEST(TableLayout, ShowsAllAtWideTerminals) {
  const auto t = layout_table(kColumns, kRows, {200});
  ASSERT_EQ(t.lines.size(), 4U);
  EXPECT_EQ(t.columns_shown, 4U);
  EXPECT_EQ(t.lines[2].substr(0, 8), "MT-CO1  ");
  EXPECT_NE(t.lines[1].find("what it does"), std::string::npos);
  // Decimal points stand under each other, and so do the last digits of whole numbers.
  EXPECT_EQ(t.lines[1].find("11.9353") + 2, t.lines[2].find("0.5") + 1);
  EXPECT_EQ(t.lines[1].size(), t.lines[3].size());
}

TEST(TableLayout, CutsTextsAndNeverNumbersAtEightyColumns) {
  const auto t = layout_table(kColumns, kRows, {80});
  EXPECT_EQ(t.columns_shown, 4U);
  for (const auto& line : t.lines) EXPECT_LE(display_width(line), 80) << line;
  EXPECT_NE(t.lines[1].find("…"), std::string::npos);
  EXPECT_NE(t.lines[1].find("11.9353"), std::string::npos);
  EXPECT_NE(t.lines[3].find("12345"), std::string::npos);
}

TEST(TableLayout, LeavesOutColumnsThatDoNotFitAndMarksIt) {
  std::vector<TableColumn> columns;
  std::vector<std::string> row;
  for (int i = 0; i < 30; ++i) {
    columns.push_back({"c" + std::to_string(i), Align::kPoint});
    row.push_back("123456.7");
  }
  const auto t = layout_table(columns, {row}, {80});
  EXPECT_EQ(t.columns_shown, 7U);
  EXPECT_TRUE(t.lines[0].ends_with("  …"));
  for (const auto& line : t.lines) EXPECT_LE(display_width(line), 80);
}

TEST(TableLayout, KeepsWideAndCombiningCharactersInTheirColumns) {
  const auto t = layout_table({{"a"}, {"b"}}, {{"漢字", "x"}, {"e\xCC\x81", "y"}}, {80});
  EXPECT_EQ(display_width(t.lines[1].substr(0, t.lines[1].find('x'))), 6);
  EXPECT_EQ(display_width(t.lines[2].substr(0, t.lines[2].find('y'))), 6);
}

TEST(TableLayout, NarrowTerminalsStillGetTheFirstColumn) {
  const auto t = layout_table(kColumns, kRows, {10});
  EXPECT_EQ(t.columns_shown, 1U);
  for (const auto& line : t.lines) EXPECT_LE(display_width(line), 10);
}

TEST(RecordLayout, LinesUpValues) {
  const auto lines = layout_record({{"job", "7c1e09aa"}, {"operation", "aggregate"}}, {80});
  EXPECT_EQ(lines[0], "job        7c1e09aa");
  EXPECT_EQ(lines[1], "operation  aggregate");
}

TEST(Csv, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(csv_line({"a", "b c", "d,e", "f\"g", "h\ni", ""}),
            "a,b c,\"d,e\",\"f\"\"g\",\"h\ni\",");
  EXPECT_EQ(csv_cell(Json(0.1)), "0.1");
  EXPECT_EQ(csv_cell(Json(nullptr)), "");
  EXPECT_EQ(csv_cell(Json::array({1, 2})), "[1,2]");
}

TEST(Texts, AreCutByColumnsAndNotByBytes) {
  EXPECT_EQ(cut("abcdef", 6), "abcdef");
  EXPECT_EQ(cut("abcdefg", 6), "abcde…");
  EXPECT_EQ(cut("äöüäöü", 4), "äöü…");
  EXPECT_EQ(cut("漢字漢字", 5), "漢字…");
  EXPECT_EQ(display_width("\xFF"), 1);
}

TEST(Texts, AreWrappedAtSpaces) {
  EXPECT_EQ(wrap("one two three", 8), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(wrap("a\nbc unbreakable", 4), (std::vector<std::string>{"a", "bc", "unbreakable"}));
  EXPECT_EQ(wrap("", 4), std::vector<std::string>{""});
}

}  // namespace
}  // namespace polysome::cli
