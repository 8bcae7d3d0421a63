// Rows that are shorter or longer than the header, refused or repaired; numbers with thousands; a
// delimiter that only later rows tell.
#include <gmock/gmock.h>

#include "data/data_fixture.h"
#include "data/values.h"

namespace polysome {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TextRepair : public DataTest {
 protected:
  TableSource good(const std::string& text, Json layout = Json::object()) {
    auto source = look(write("t.csv", text), std::move(layout));
    EXPECT_TRUE(source) << (source ? "" : source.error().message);
    return source.value_or(TableSource{});
  }
  static std::vector<std::string> types(const TableSource& s) {
    std::vector<std::string> out;
    for (const auto& c : s.columns) out.push_back(c.type);
    return out;
  }
};

const Json kRepair = {{"ragged", "repair"}};

TEST_F(TextRepair, StrictRefusesWithLineAndCountsAndNamesTheWayOut) {
  const auto s = good("a,b,c\n1,2,3\n4,5\n");
  const auto table = read_all(s);
  ASSERT_FALSE(table);
  EXPECT_THAT(table.error().message, HasSubstr("t.csv, line 3: 2 fields where the header has 3"));
  EXPECT_THAT(table.error().hint, HasSubstr("layout.ragged \"repair\""));
}

TEST_F(TextRepair, ShortRowsAreFilledAndLongOnesCutAndBothCounted) {
  const auto s = good("a,b,c\n1,2,3\n4,5\n6\n7,8,9,10,11\n", kRepair);
  EXPECT_THAT(types(s), ElementsAre("int64", "int64", "int64"));
  auto partitions = cut(s, 1'000'000);
  ASSERT_TRUE(partitions);
  const auto report = open_view(*session_, "v", s, *partitions, {});
  ASSERT_TRUE(report);
  const auto table = rows("SELECT * FROM v");
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_THAT(*table, ElementsAre(ElementsAre("1", "2", "3"), ElementsAre("4", "5", std::nullopt),
                                  ElementsAre("6", std::nullopt, std::nullopt),
                                  ElementsAre("7", "8", "9")));
  EXPECT_EQ((*report)->total().short_rows, 2);
  EXPECT_EQ((*report)->total().long_rows, 1);
}

TEST_F(TextRepair, WhatAShortRowLacksIsMissingWhateverIsDeclaredToBe) {
  Json layout = kRepair;
  layout["null_values"] = Json::array({"none"});
  const auto s = good("a,b\nnone,x\ny\nz,\n", layout);
  const auto table = read_all(s);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_THAT(*table, ElementsAre(ElementsAre(std::nullopt, "x"), ElementsAre("y", std::nullopt),
                                  ElementsAre("z", "")));
}

// Wide enough that only the wanted separators of a row are kept (row_cutter.h).
TEST_F(TextRepair, WideRowsOfManyLengthsInEveryCut) {
  constexpr int kColumns = 70;
  std::string text;
  for (int c = 0; c < kColumns; ++c) text += (c == 0 ? "c" : ",c") + std::to_string(c);
  text += "\n";
  for (int r = 1; r <= 80; ++r) {
    for (int c = 0; c < r; ++c) text += (c == 0 ? "" : ",") + std::to_string(r * 100 + c);
    text += r % 3 == 0 ? "\r\n" : "\n";
  }
  const auto s = good(text, kRepair);
  for (const std::uint64_t size : {1'000'000, 1000, 50}) {
    ASSERT_TRUE(read_in_parts(s, size));
    const auto partitions = cut(s, size);
    ASSERT_TRUE(partitions && open_view(*session_, "v", s, *partitions, {}));
    for (const int c : {0, 1, 35, 69}) {
      std::int64_t expected = 0;
      for (int r = c + 1; r <= 80; ++r) expected += r * 100 + c;
      const auto sum = session_->integer("SELECT sum(c" + std::to_string(c) + ")::BIGINT FROM v");
      ASSERT_TRUE(sum) << sum.error().message;
      EXPECT_EQ(*sum, expected) << "column " << c << ", partitions of " << size;
    }
  }
}

TEST_F(TextRepair, ThousandsStandInGroupsOfThreeOrTheTextIsNoNumber) {
  const NumberStyle english{'.', ','}, german{',', '.'}, french{',', ' '};
  EXPECT_EQ(parse_int64("1,234,567", english), 1'234'567);
  EXPECT_EQ(parse_int64("-12,345", english), -12'345);
  EXPECT_EQ(parse_int64("999", english), 999);
  EXPECT_EQ(parse_int64("1234567", english), 1'234'567);
  EXPECT_EQ(parse_double("1,234.5", english), 1234.5);
  EXPECT_EQ(parse_double("1.234,5", german), 1234.5);
  EXPECT_EQ(parse_double("-1.234.567", german), -1234567.0);
  EXPECT_EQ(parse_double("12 345,25", french), 12345.25);
  EXPECT_EQ(parse_double("1,234e2", english), 123400.0);
  for (const char* text : {"1,23", "12,3456", "1234,567", ",123", "1,,234", "1,234,", "1,234.567,8",
                           "1,", ",", "-,123", "1.5,000"}) {
    EXPECT_EQ(parse_int64(text, english), std::nullopt) << text;
    EXPECT_EQ(parse_double(text, english), std::nullopt) << text;
  }
}

TEST_F(TextRepair, ColumnsWithThousandsAreNumbers) {
  const auto s = good("n;x;t\n1.234;1.234,5;1.2\n12;0,25;a\n-1.000.000;7;b\n",
                      {{"decimal", ","}, {"thousands", "."}});
  EXPECT_THAT(types(s), ElementsAre("int64", "double", "string"));
  const auto table = read_all(s);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_THAT(*table,
              ElementsAre(ElementsAre("1234", "1234.5", "1.2"), ElementsAre("12", "0.25", "a"),
                          ElementsAre("-1000000", "7.0", "b")));
  const auto quoted = good("n,t\n\"1,234\",x\n56,y\n", {{"thousands", ","}});
  EXPECT_THAT(types(quoted), ElementsAre("int64", "string"));
}

TEST_F(TextRepair, ADecimalCommaInEveryRowIsNoDelimiter) {
  const auto s = good("k;v\nx;1,5\ny;2,5\n");
  EXPECT_EQ(s.dialect["delimiter"], ";");
  // But R's header, one field short, is known where nothing else is as good.
  const auto r = good("a,b\nrow 1,1,2\nrow 2,3,4\n");
  EXPECT_EQ(r.dialect["delimiter"], ",");
  EXPECT_EQ(r.columns.front().name, "row_name");
}

TEST_F(TextRepair, TextsThatWouldBeNumbersAreTold) {
  const auto told = [&](const std::string& text, Json layout = Json::object()) {
    const auto s = good(text, std::move(layout));
    const Json warnings = s.dialect.value("warnings", Json::array());
    return warnings.empty() ? std::string() : warnings[0]["message"].get<std::string>();
  };
  EXPECT_THAT(told("k;v\nx;1,5\ny;NA\nz;2\n"),
              HasSubstr("column \"v\" holds numbers written with "
                        "commas and is read as text: layout.decimal"));
  EXPECT_THAT(told("k;v\nx;1.234,5\n"), HasSubstr("layout.decimal \",\" reads"));
  EXPECT_THAT(told("k;v;w\nx;1,234.5;1\ny;2.5;1\n"), HasSubstr("layout.thousands \",\" reads"));
  EXPECT_THAT(told("k;v\nx;1,234\n"), HasSubstr("whichever it is"));
  EXPECT_EQ(told("k;v\nx;1,5\ny;a,b\n"), "");
  EXPECT_EQ(told("k;v\nx;007\n"), "");
  EXPECT_EQ(told("k;v\nx;1,5\n", {{"decimal", ","}}), "");
}

TEST_F(TextRepair, ATimeMayTellItsOffset) {
  const auto utc = parse_timestamp("2024-01-02 01:04:05");
  EXPECT_EQ(parse_timestamp("2024-01-02T03:04:05+02:00"), utc);
  EXPECT_EQ(parse_timestamp("2024-01-02T03:04:05.0+0200"), utc);
  EXPECT_EQ(parse_timestamp("2024-01-01T20:34:05-04:30"), utc);
  EXPECT_EQ(parse_timestamp("2024-01-02 03:04:05+02"), utc);
  for (const char* text :
       {"2024-01-02 03:04+", "2024-01-02 03:04+2", "2024-01-02 03:04+02:", "2024-01-02 03:04+02:0",
        "2024-01-02 03:04+02:000", "2024-01-02 03:04+16:00", "2024-01-02 03:04+02:60"})
    EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
}

TEST_F(TextRepair, LinesThatEndWithCarriageReturnsAloneAreNamed) {
  const auto source = look(write("mac.csv", "a,b\r1,2\r3,4\r"));
  ASSERT_FALSE(source);
  EXPECT_THAT(source.error().message, HasSubstr("mac.csv: the header's line ends with a carriage"));
  EXPECT_TRUE(look(write("quoted.csv", "\"a\rb\",c\r\n1,2\r\n")));
}

// The head's rows agree on a comma, by chance; all that comes behind it does not.
TEST_F(TextRepair, TheDelimiterIsToldFromSeveralPlacesOfALargeFile) {
  std::string text = "a,1;b\n";
  for (int i = 0; i < 150; ++i) text += i % 2 == 0 ? "x,y;1\n" : "x,y\n";
  EXPECT_EQ(good(text).dialect["delimiter"], ",");
  for (int i = 0; i < 300'000; ++i) text += "x y;" + std::to_string(i) + "\n";
  EXPECT_EQ(good(text).dialect["delimiter"], ";");
}

}  // namespace
}  // namespace polysome
