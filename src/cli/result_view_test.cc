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

TEST(Rows, AreAskedForPageByPageUntilAllAreWritten) {
  std::vector<std::uint64_t> asked;
  std::uint64_t at = 0;
  const NextPage next = [&](std::uint64_t limit) -> Result<Json> {
    asked.push_back(limit);
    Json rows = Json::array();
    for (std::uint64_t i = 0; i < 3 && at < 5; ++i, ++at) rows.push_back({{"n", at}});
    return Json{{"columns", Json::array({"n"})}, {"rows", rows}, {"n_rows", 5}};
  };
  ::testing::internal::CaptureStdout();
  ASSERT_TRUE(write_rows(next, Format::kCsv, std::nullopt));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "n\n0\n1\n2\n3\n4\n");
  EXPECT_EQ(asked.size(), 2U);
  at = 0;
  ::testing::internal::CaptureStdout();
  ASSERT_TRUE(write_rows(next, Format::kNdjson, 4));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(),
            "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
  EXPECT_EQ(asked.back(), 1U);
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
