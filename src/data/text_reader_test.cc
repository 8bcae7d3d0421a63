// Reading delimited text: types, missing values, headers, and what is said when data are wrong.
#include <gmock/gmock.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <random>

#include "data/data_fixture.h"
#include "data/values.h"

namespace polysome {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class TextReader : public DataTest {
 protected:
  TableSource good(const std::string& text, Json layout = Json::object(),
                   const std::string& bad = "fail") {
    auto source = look(write("t.csv", text), std::move(layout), bad);
    EXPECT_TRUE(source) << (source ? "" : source.error().message);
    return source.value_or(TableSource{});
  }
  Error error_of(const TableSource& source) {
    const auto table = read_all(source);
    EXPECT_FALSE(table);
    return table ? Error() : table.error();
  }
  static std::vector<std::string> types(const TableSource& s) {
    std::vector<std::string> out;
    for (const auto& c : s.columns) out.push_back(c.type);
    return out;
  }
  static std::vector<std::string> names(const TableSource& s) {
    std::vector<std::string> out;
    for (const auto& c : s.columns) out.push_back(c.name);
    return out;
  }
};

TEST_F(TextReader, TypesAreTheNarrowestThatFitAllValues) {
  const auto s = good(
      "i,d,b,day,time,text,mixed\n"
      "1,1.5,true,2026-01-31,2026-01-31 12:34:56,x,1\n"
      "-2,2,FALSE,1999-12-01,2026-01-31T00:00,7,2.5\n"
      "NA,1e-3,,,2026-01-31 12:34:56.789,z,3\n");
  EXPECT_THAT(types(s),
              ElementsAre("int64", "double", "bool", "date", "timestamp", "string", "double"));
  const auto table = read_all(s);
  ASSERT_TRUE(table);
  EXPECT_THAT((*table)[0],
              ElementsAre("1", "1.5", "true", "2026-01-31", "2026-01-31 12:34:56", "x", "1.0"));
  EXPECT_THAT((*table)[2], ElementsAre(std::nullopt, "0.001", std::nullopt, std::nullopt,
                                       "2026-01-31 12:34:56.789", "z", "3.0"));
}

TEST_F(TextReader, MissingNumbersAreThoseOfTheContract) {
  const auto s = good(
      "x,y\n,1\n.,1\n-,1\nNA,1\nn/a,1\n#N/A,1\nNaN,1\nNULL,1\nNone,1\n#DIV/0!,1\n#VALUE!,1\n 4 "
      ",1\n");
  EXPECT_THAT(types(s), ElementsAre("int64", "int64"));
  EXPECT_EQ(session_->integer("SELECT 0"), 0);
  ASSERT_TRUE(read_all(s));
  EXPECT_EQ(session_->integer("SELECT count(x) FROM v"), 1);
  EXPECT_EQ(session_->integer("SELECT count(*) FROM v"), 12);
}

TEST_F(TextReader, InTextOnlyEmptyIsMissingAsAGeneMayBeCalledNA) {
  const auto s = good("gene,x\nNA,1\nnan,2\n,3\nTP53,4\n");
  const auto table = read_all(s);
  ASSERT_TRUE(table);
  EXPECT_THAT(*table, ElementsAre(ElementsAre("NA", "1"), ElementsAre("nan", "2"),
                                  ElementsAre(std::nullopt, "3"), ElementsAre("TP53", "4")));
}

TEST_F(TextReader, NullValuesReplaceTheListForAllOrOneColumn) {
  const auto all = good("g,x\nmissing,1\na,missing\n", {{"null_values", {"missing"}}});
  EXPECT_THAT(types(all), ElementsAre("string", "int64"));
  EXPECT_THAT(*read_all(all),
              ElementsAre(ElementsAre(std::nullopt, "1"), ElementsAre("a", std::nullopt)));
  const auto one = good("g,x\n-9,-9\na,1\n", {{"null_values", {{"x", {"-9"}}}}});
  EXPECT_THAT(*read_all(one), ElementsAre(ElementsAre("-9", std::nullopt), ElementsAre("a", "1")));
  const auto none = good("Group,x\n,1\nb,2\n", {{"null_values", {{"Group", Json::array()}}}});
  EXPECT_THAT(*read_all(none), ElementsAre(ElementsAre("", "1"), ElementsAre("b", "2")));
}

TEST_F(TextReader, InfinitiesAreNumbersAndDoublesAreExact) {
  const auto s = good("x\ninf\n-inf\n+1e5\n1.7976931348623157e308\n5e-324\n0.1\n");
  ASSERT_THAT(types(s), ElementsAre("double"));
  EXPECT_THAT(*read_all(s),
              ElementsAre(ElementsAre("inf"), ElementsAre("-inf"), ElementsAre("100000.0"),
                          ElementsAre("1.7976931348623157e+308"), ElementsAre("5e-324"),
                          ElementsAre("0.1")));
}

TEST(Values, DoublesSurviveTheRoundTripThroughText) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 200'000; ++i) {
    const auto x = std::bit_cast<double>(random());
    if (!std::isfinite(x)) continue;
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", x);
    EXPECT_EQ(parse_double(text), x) << text;
    const double small = static_cast<double>(random() % 10'000'000) / 1000;
    std::snprintf(text, sizeof text, "%.3f", small);
    EXPECT_EQ(parse_double(text), std::strtod(text, nullptr)) << text;
  }
}

TEST(Values, WhatIsNoNumberIsNotTakenForOne) {
  for (const char* text : {"", "+", "-", ".", "1.2.3", "1e", "0x10", "1,5", "--1", "+-1", "1 2",
                           "1_000", "e5", "infinit", "12abc", "nan(1)"})
    EXPECT_FALSE(parse_double(text)) << text;
  for (const char* text : {"9223372036854775808", "1.0", "", "+", "1e3"})
    EXPECT_FALSE(parse_int64(text)) << text;
  EXPECT_EQ(parse_int64("+7"), 7);
  EXPECT_EQ(parse_int64("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(parse_double("1,5", {','}), 1.5);
  EXPECT_FALSE(parse_double("1.5", {','}));
  for (const char* text : {"2026-02-29", "2026-13-01", "2026-1-1", "26-01-01"})
    EXPECT_FALSE(parse_date(text)) << text;
  EXPECT_EQ(parse_date("1970-01-02"), 1);
  EXPECT_EQ(parse_timestamp("1970-01-01 00:00:01.5Z"), 1'500'000);
  EXPECT_FALSE(parse_timestamp("1970-01-01 24:00"));
}

TEST(Values, OnlyTrueUtf8IsText) {
  EXPECT_TRUE(valid_utf8("plain, Grüße, 基因, 🧬"));
  for (const char* text :
       {"\x80", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "ab\xe2\x82"})
    EXPECT_FALSE(valid_utf8(text)) << text;
}

TEST_F(TextReader, DecimalCommasAreReadWhenDeclared) {
  const auto s = good("a;b\n1,5;2\n-0,25;3\n", {{"delimiter", ";"}, {"decimal", ","}});
  EXPECT_THAT(types(s), ElementsAre("double", "int64"));
  EXPECT_THAT(*read_all(s), ElementsAre(ElementsAre("1.5", "2"), ElementsAre("-0.25", "3")));
}

TEST_F(TextReader, DelimitersAreToldFromTheRows) {
  for (const std::string d : {",", "\t", ";", "|"}) {
    const auto s = look(write(
        "some.txt", "a" + d + "b c" + d + "e\n1" + d + "x y" + d + "2\n3" + d + "z" + d + "4\n"));
    ASSERT_TRUE(s);
    EXPECT_THAT(names(*s), ElementsAre("a", "b c", "e")) << d;
  }
}

TEST_F(TextReader, TheFirstColumnWithoutANameIsRsRowNames) {
  const auto s = good("s1,s2\ng1,1,2\ng2,3,4\n");
  EXPECT_THAT(names(s), ElementsAre("row_name", "s1", "s2"));
  EXPECT_THAT(*read_all(s), ElementsAre(ElementsAre("g1", "1", "2"), ElementsAre("g2", "3", "4")));
}

TEST_F(TextReader, RepeatedAndEmptyNamesAreCompletedAndToldOf) {
  const auto s = good("a,a,,b,a\n1,2,3,4,5\n");
  EXPECT_THAT(names(s), ElementsAre("a", "a_1", "column_3", "b", "a_2"));
  EXPECT_THAT(dump(s.dialect["warnings"]), HasSubstr("repeated_column_names"));
  EXPECT_THAT(*read_all(s), ElementsAre(ElementsAre("1", "2", "3", "4", "5")));
}

// SQL does not tell Abc from ABC: the second would silently read the first's values.
TEST_F(TextReader, NamesThatDifferInCaseOnlyAreNotMixedUp) {
  const auto s = good("Abc,ABC,abc\n1,2,3\n");
  EXPECT_EQ(names(s)[0], "Abc");
  ASSERT_TRUE(read_all(s));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(session_->integer("SELECT " + sql_identifier(names(s)[static_cast<std::size_t>(i)]) +
                                " FROM v"),
              i + 1);
  EXPECT_THAT(dump(s.dialect["warnings"]), HasSubstr("repeated_column_names"));
}

TEST_F(TextReader, WithoutAHeaderColumnsAreNumbered) {
  const auto s = good("1,2\n3,4\n");
  EXPECT_THAT(names(s), ElementsAre("column_1", "column_2"));
  EXPECT_EQ(read_all(s)->size(), 2U);
  const auto declared = good("x,y\nz,w\n", {{"header", false}});
  EXPECT_EQ(read_all(declared)->size(), 2U);
  const auto header = good("1,2\n3,4\n", {{"header", true}});
  EXPECT_THAT(names(header), ElementsAre("1", "2"));
}

TEST_F(TextReader, LeadingCommentsAreToldFromAHeaderThatBeginsWithTheSign) {
  const auto s = good("# made by x\n# on monday, of course\ngene,x\na,1\n");
  EXPECT_THAT(names(s), ElementsAre("gene", "x"));
  const auto vcf = look(write("v.tsv", "#CHROM\tPOS\nchr1\t5\nchr2\t6\n"));
  ASSERT_TRUE(vcf);
  EXPECT_THAT(names(*vcf), ElementsAre("#CHROM", "POS"));
  EXPECT_EQ(read_all(*vcf)->size(), 2U);
  const auto both =
      look(write("w.tsv", "##fileformat\n##source=x\n#CHROM\tPOS\nchr1\t5\nchr2\t6\n"));
  ASSERT_TRUE(both);
  EXPECT_THAT(names(*both), ElementsAre("#CHROM", "POS"));
  EXPECT_EQ(read_all(*both)->size(), 2U);
}

TEST_F(TextReader, ABadValueIsNamedWithFileLineColumnAndValue) {
  std::string text = "gene,S0412\n";
  for (int i = 0; i < 1998; ++i) text += "g,1\n";
  const auto s = good(text + "g,1.2.3\n", {{"types", {{"S0412", "double"}}}});
  const auto e = error_of(s);
  EXPECT_EQ(e.code, Code::kUserData);
  EXPECT_EQ(e.message, "t.csv, line 2,000, column \"S0412\": \"1.2.3\" is not a number");
  EXPECT_THAT(e.hint, HasSubstr("on_bad_value"));
  ASSERT_EQ(e.errors.size(), 1U);
  EXPECT_EQ(e.errors[0].file, "t.csv");
  EXPECT_EQ(e.errors[0].line, 2000U);
  EXPECT_EQ(e.errors[0].column, "S0412");
  EXPECT_EQ(e.errors[0].value, "1.2.3");
}

TEST_F(TextReader, TheLineCountsFromTheFilesStartInEveryPartition) {
  std::string text = "g,x\n";
  for (int i = 0; i < 100; ++i) text += i == 77 ? "\"two\nlines\",bad\n" : "g,1\n";
  const auto s = good(text, {{"types", {{"x", "int64"}}}});
  const auto parts = cut(s, 50);
  ASSERT_TRUE(parts);
  int failed = 0;
  for (const auto& p : *parts) {
    ASSERT_TRUE(open_view(*session_, "v", s, {p}, {}));
    const auto table = rows("SELECT x FROM v");
    if (table) continue;
    ++failed;
    EXPECT_EQ(table.error().errors.at(0).line, 79U);
  }
  EXPECT_EQ(failed, 1);
}

TEST_F(TextReader, AtMostTwentyBadValuesAreListed) {
  std::string text = "x\n";
  for (int i = 0; i < 50; ++i) text += "bad\n";
  const auto e = error_of(good(text, {{"types", {{"x", "double"}}}}));
  EXPECT_EQ(e.errors.size(), 20U);
  EXPECT_EQ(e.errors[19].line, 21U);
}

TEST_F(TextReader, BadValuesAreMissingAndCountedWhenAskedFor) {
  const auto s = good("x,y\n1,1\nbad,2\nworse,3\n", {{"types", {{"x", "double"}}}}, "null");
  const auto report = open_view(*session_, "v", s, *cut(s, 1000), {});
  ASSERT_TRUE(report);
  EXPECT_EQ(session_->integer("SELECT count(x) FROM v"), 1);
  EXPECT_EQ((*report)->bad_values, 2U);
  EXPECT_EQ((*report)->rows, 3U);
}

TEST_F(TextReader, OnlyTheColumnsThatAreAskedForAreConverted) {
  const auto s = good("x,y\n1,bad\n2,bad\n", {{"types", {{"y", "double"}}}});
  ASSERT_TRUE(open_view(*session_, "v", s, *cut(s, 1000), {}));
  EXPECT_EQ(session_->integer("SELECT sum(x) FROM v"), 3);
  EXPECT_EQ(session_->integer("SELECT count(*) FROM v"), 2);
  EXPECT_FALSE(session_->run("SELECT sum(y) FROM v"));
}

TEST_F(TextReader, RaggedRowsAreNamedWithWhatWasExpected) {
  std::string text = "a,b,c\n";
  for (int i = 0; i < 300; ++i) text += "1,2,3\n";
  const auto e = error_of(good(text + "1,2\n"));
  EXPECT_EQ(e.code, Code::kUserData);
  EXPECT_THAT(e.message, HasSubstr("t.csv, line 302"));
  EXPECT_THAT(e.message, HasSubstr("2 fields"));
  EXPECT_THAT(e.message, HasSubstr("3"));
  EXPECT_EQ(e.errors.at(0).line, 302U);
}

TEST_F(TextReader, AnUnclosedQuoteIsNamedByItsLine) {
  std::string text = "a,b\n";
  for (int i = 0; i < 300; ++i) text += "1,2\n";
  const auto e = error_of(good(text + "\"never,2\n3,4\n", {{"types", {{"a", "string"}}}}));
  EXPECT_THAT(e.message, HasSubstr("line 302"));
  EXPECT_THAT(e.message, HasSubstr("never closed"));
}

TEST_F(TextReader, BytesThatAreNoTextAreRefusedWhereTheyAreRead) {
  std::string text = "a,b\n";
  for (int i = 0; i < 300; ++i) text += "x,1\n";
  const auto latin = good(text +
                          "Gr\xfc\xdf"
                          "e,2\n");
  const auto e = error_of(latin);
  EXPECT_EQ(e.code, Code::kUserData);
  EXPECT_THAT(e.message, HasSubstr("line 302"));
  EXPECT_THAT(e.message, HasSubstr("UTF-8"));
  ASSERT_TRUE(open_view(*session_, "v", latin, *cut(latin, 100'000), {}));
  EXPECT_EQ(session_->integer("SELECT sum(b) FROM v"), 302);  // a is not read
  const auto zero = look(write("z.csv", std::string("a,b\nx\0y,1\n", 10)));
  ASSERT_FALSE(zero);
  EXPECT_THAT(zero.error().message, HasSubstr("NUL"));
}

TEST_F(TextReader, NulBytesBehindTheSampleAreRefused) {
  std::string text = "a,b\n";
  for (int i = 0; i < 300'000; ++i) text += "xxxxx,1\n";
  text += std::string("x\0y,2\n", 6);
  const auto e = error_of(good(text));
  EXPECT_EQ(e.code, Code::kUserData);
  EXPECT_THAT(e.message, HasSubstr("line 300,002"));
}

TEST_F(TextReader, AFileThatChangedIsAnInputErrorThatNamesIt) {
  const auto s = good("a\n1\n2\n");
  const auto parts = *cut(s, 100);
  write("t.csv", "a\n1\n2\n3\n");
  const auto view = open_view(*session_, "v", s, parts, {});
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().code, Code::kIo);
  EXPECT_THAT(view.error().message, HasSubstr("t.csv"));
}

TEST_F(TextReader, ACancelledScanEndsSoon) {
  std::string text = "a,b\n";
  for (int i = 0; i < 500'000; ++i) text += "xxxxx,1\n";
  const auto s = good(text);
  std::atomic<bool> cancelled = false;
  std::uint64_t seen = 0;
  ScanOptions options;
  options.cancelled = &cancelled;
  options.progress = [&](std::uint64_t bytes) {
    seen = bytes;
    if (bytes > 1'000'000) cancelled = true;
  };
  ASSERT_TRUE(open_view(*session_, "v", s, *cut(s, 1'000'000'000), options));
  const auto r = session_->integer("SELECT sum(b) FROM v");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kCancelled);
  EXPECT_LT(seen, 3'000'000U);
}

TEST_F(TextReader, ProgressGoesUpToTheBytesOfThePartitions) {
  std::string text = "a,b\n";
  for (int i = 0; i < 100'000; ++i) text += "xxxxx,1\n";
  const auto s = good(text);
  const auto parts = *cut(s, 200'000);
  std::uint64_t total = 0, last = 0;
  for (const auto& p : parts) total += p.bytes;
  ScanOptions options;
  options.progress = [&](std::uint64_t bytes) {
    EXPECT_GE(bytes, last);
    last = bytes;
  };
  const auto report = open_view(*session_, "v", s, parts, options);
  EXPECT_EQ(session_->integer("SELECT count(*) FROM v"), 100'000);
  EXPECT_EQ(last, total);
  EXPECT_EQ((*report)->bytes, total);
}

TEST_F(TextReader, SixtyThousandColumnsWork) {
  constexpr int kColumns = 60'000;
  std::string text = "gene";
  for (int c = 1; c < kColumns; ++c) text += ",S" + std::to_string(c);
  for (int r = 0; r < 5; ++r) {
    text += "\ng" + std::to_string(r);
    for (int c = 1; c < kColumns; ++c) text += "," + std::to_string(r * c % 100);
  }
  const auto s = good(text + "\n");
  ASSERT_EQ(s.columns.size(), static_cast<std::size_t>(kColumns));
  EXPECT_EQ(s.columns.back().type, "int64");
  ASSERT_TRUE(open_view(*session_, "v", s, *cut(s, 100'000'000), {}));
  EXPECT_EQ(session_->integer("SELECT sum(S59999) FROM v"), 99 + 98 + 97 + 96);
}

TEST_F(TextReader, UnknownNamesInTheLayoutAreAnsweredWithTheNearest) {
  const auto s =
      look(write("t.csv", "expression,b\n1,2\n"), {{"types", {{"expresion", "double"}}}});
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kUserData);
  EXPECT_THAT(s.error().message, HasSubstr("did you mean \"expression\""));
}

TEST_F(TextReader, AHeaderAloneIsATableWithoutRows) {
  const auto s = good("a,b\n");
  EXPECT_THAT(*read_all(s), IsEmpty());
  const auto without_end = good("a,b");
  EXPECT_THAT(*read_all(without_end), IsEmpty());
}

TEST_F(TextReader, TheLayoutsOtherKeysAreCarriedAlong) {
  const auto s = good("gene,x\na,1\n", {{"kind", "matrix"},
                                        {"orientation", "features_as_rows"},
                                        {"label_columns", {"gene"}},
                                        {"scale", "raw"}});
  const std::string dialect = dump(s.dialect);
  for (const char* word : {"matrix", "features_as_rows", "label_columns", "raw"})
    EXPECT_THAT(dialect, HasSubstr(word));
}

TEST_F(TextReader, SourcesSurviveJson) {
  const auto s = good("#x\ngene,x\na,1\n", {{"comment", "#"}, {"null_values", {"q"}}});
  const auto back = TableSource::from_json(*parse_trusted_json(dump(s.to_json())));
  ASSERT_TRUE(back);
  EXPECT_EQ(dump(back->to_json()), dump(s.to_json()));
  EXPECT_EQ(*read_all(*back), *read_all(s));
}

}  // namespace
}  // namespace polysome
