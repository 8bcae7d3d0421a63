#include "cli/result_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace polysome::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Json kPage = {
    {"columns",
     Json::array({{{"name", "gene"}, {"type", "string"}}, {{"name", "mean"}, {"type", "double"}}})},
    {"rows",
     Json::array({{{"gene", "TP53"}, {"mean", 11.9353}}, {{"gene", nullptr}, {"mean", "NaN"}}})},
    {"n_rows", 58'302}};

TEST(Preview, AlignsNumbersAndSaysHowMuchMoreThereIs) {
  const auto lines = preview_lines(kPage, {80}, "--out de.csv writes all");
  ASSERT_TRUE(lines);
  EXPECT_THAT(*lines, ElementsAre("gene     mean", "TP53  11.9353", "          NaN",
                                  "2 of 58,302 rows; --out de.csv writes all"));
}

TEST(Preview, OfAWholeTableHasNoFoot) {
  Json page = kPage;
  page["n_rows"] = 2;
  EXPECT_EQ(preview_lines(page, {80}, "hint")->size(), 3U);
  page["rows"] = Json::array();
  page["n_rows"] = 0;
  EXPECT_EQ(preview_lines(page, {80}, "hint")->back(), "no rows");
}

TEST(Preview, OfSomeColumnsSaysHowManyThereAre) {
  Json page = kPage;
  page["n_rows"] = 2;
  page["n_columns"] = 60'000;
  EXPECT_EQ(preview_lines(page, {80}, "hint")->back(), "2 of 60,000 columns; hint");
}

TEST(Preview, NeedsNoMoreColumnsThanMayFit) {
  Json table = {{"columns", Json::array()}, {"n_columns", 200}};
  for (int i = 0; i < 200; ++i)
    table["columns"].push_back({{"name", "c" + std::to_string(i)}, {"type", "int64"}});
  EXPECT_TRUE(columns_to_show(table, {0}).empty());
  EXPECT_TRUE(columns_to_show(table, {400}).empty());
  const auto some = columns_to_show(table, {80});
  ASSERT_EQ(some.size(), most_columns({80}));
  // So many of the narrowest columns do not fit.
  std::vector<TableColumn> columns(some.size(), {"x", Align::kLeft});
  EXPECT_LT(layout_table(columns, {}, {80}).columns_shown, some.size());
  table["n_columns"] = 30;
  EXPECT_TRUE(columns_to_show(table, {80}).empty());
}

TEST(Rows, OfAPageAreCsvWithAHeaderOrObjects) {
  ::testing::internal::CaptureStdout();
  ASSERT_TRUE(write_rows(kPage, Format::kCsv));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "gene,mean\nTP53,11.9353\n,NaN\n");
  ::testing::internal::CaptureStdout();
  ASSERT_TRUE(write_rows(kPage, Format::kNdjson));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(),
            "{\"gene\":\"TP53\",\"mean\":11.9353}\n{\"gene\":null,\"mean\":\"NaN\"}\n");
}

TEST(Summary, OfAJobWithoutTablesIsItsPlainMembers) {
  const auto fields = summary_fields(
      {{"rows", 0}, {"tasks", 1000}, {"summary", {{"slept_ms", 5}}}, {"warnings", Json::array()}});
  EXPECT_THAT(fields, ElementsAre(std::pair("tasks", "1000"), std::pair("slept_ms", "5")));
}

TEST(Errors, SayWhatWhereWhyAndTheNextStep) {
  Error e(Code::kUserData, "\"1.2.3\" is not a number",
          "Count such values as missing: on_bad_value=null");
  e.errors.push_back({"", "", "counts.tsv", 10'482'113, "S0412", "1.2.3"});
  e.errors.push_back({"/parameters/column", "\"1.2.3\" is not a number", "", std::nullopt, "", ""});
  EXPECT_THAT(error_lines(e, false),
              ElementsAre("polysome: \"1.2.3\" is not a number",
                          "  counts.tsv, line 10,482,113, column \"S0412\": \"1.2.3\"",
                          "  Count such values as missing: on_bad_value=null"));
}

TEST(Formats, MistypedOnesGetTheNearest) {
  EXPECT_EQ(format_from_name("ndjson"), Format::kNdjson);
  EXPECT_THAT(format_from_name("jsn").error().message, HasSubstr("did you mean \"json\"?"));
}

}  // namespace
}  // namespace polysome::cli
