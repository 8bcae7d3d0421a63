// convert with `orientation`: rows become columns, whatever the format, the cut and the grant.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <random>

#include "base/files.h"
#include "operations/job_driver.h"
#include "operations/test_folder.h"

namespace polysome {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Transpose : public testing::Test {
 protected:
  Transpose() : driver_(folder_.path()) { driver_.layout = {{"orientation", "features_as_rows"}}; }
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_.path() + "/" + name;
    EXPECT_TRUE(write_file(path, text, false));
    return path;
  }
  Json turned(const std::string& source, const std::string& format,
              const std::string& to = "samples_as_rows") {
    auto result = driver_.run("convert", {{"format", format}, {"orientation", to}}, {source});
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result.value_or(Json());
  }
  Error refused(const std::string& source) {
    const auto result =
        driver_.run("convert", {{"format", "csv"}, {"orientation", "samples_as_rows"}}, {source});
    EXPECT_FALSE(result);
    return result ? Error() : result.error();
  }
  std::string text_of(const Json& result) {
    return read_file(result["output"][0]["path"].get<std::string>()).value_or("");
  }
  static std::vector<std::string> codes(const Json& result) {
    std::vector<std::string> out;
    for (const auto& w : result["warnings"]) out.push_back(w["code"].get<std::string>());
    return out;
  }

  TestFolder folder_;
  JobDriver driver_;
};

TEST_F(Transpose, RowsBecomeColumns) {
  const auto source =
      write("m.tsv", "gene\tname\tS1\tS2\tS,3\nTP53\tx\t1.5\tNA\t3\nEGFR\ty\t-4\tinf\t1e-7\n");
  const Json result = turned(source, "csv");
  EXPECT_EQ(text_of(result), "sample,TP53,EGFR\nS1,1.5,-4.0\nS2,,inf\n\"S,3\",3.0,1e-07\n");
  EXPECT_EQ(result["rows"], 3);
  EXPECT_EQ(result["columns"], 3);
  EXPECT_EQ(result["summary"]["orientation"], "samples_as_rows");
  EXPECT_THAT(codes(result), ElementsAre("label_left_out"));
  const Json rows = driver_.rows(result);
  EXPECT_EQ(dump(rows[1]), R"({"sample":"S2","TP53":null,"EGFR":"Infinity"})");
  EXPECT_EQ(dump(result["tables"][0]["preview"]), dump(rows));
}

TEST_F(Transpose, JsonHasTheSameValues) {
  const auto source = write("m.tsv", "gene\tS1\tS2\na\"\t1\t2\nb\t3\tNA\n");
  EXPECT_EQ(
      text_of(turned(source, "ndjson")),
      "{\"sample\":\"S1\",\"a\\\"\":1,\"b\":3}\n{\"sample\":\"S2\",\"a\\\"\":2,\"b\":null}\n");
  const auto array = parse_trusted_json(text_of(turned(source, "json")));
  ASSERT_TRUE(array);
  EXPECT_EQ(array->size(), 2U);
}

TEST_F(Transpose, WholeNumbersStayWhole) {
  const auto source = write("m.csv", "gene,S1,S2\na,1,20\nb,,4\n");
  EXPECT_EQ(text_of(turned(source, "tsv")), "sample\ta\tb\nS1\t1\t\nS2\t20\t4\n");
}

TEST_F(Transpose, TwiceGivesTheSameMatrixInAnyCut) {
  std::mt19937_64 random(3);
  std::string text = "feature";
  for (int c = 0; c < 37; ++c) text += ",s" + std::to_string(c);
  text += "\n";
  for (int r = 0; r < 101; ++r) {
    text += "\"f," + std::to_string(r) + "\"";
    for (int c = 0; c < 37; ++c)
      text += random() % 11 == 0 ? std::string(",") : fmt::format(",{}.5", random() % 1000);
    text += "\n";
  }
  const auto source = write("m.csv", text);
  std::string first;
  for (const std::uint64_t size : {100'000'000UL, 5000UL, 700UL}) {
    driver_.description.spec.partition_size = size;
    driver_.description.spec.partition_size_given = true;
    for (const char* through : {"csv", "parquet", "ndjson"}) {
      driver_.layout = {{"orientation", "features_as_rows"}};
      const Json once = turned(source, through);
      driver_.layout = {{"orientation", "samples_as_rows"}, {"label_columns", {"sample"}}};
      const Json twice =
          turned(once["output"][0]["path"].get<std::string>(), "csv", "features_as_rows");
      EXPECT_EQ(text_of(twice), text) << through << ", partitions of " << size;
    }
  }
}

TEST_F(Transpose, AMatrixThatLiesRightIsOnlyConverted) {
  const auto source = write("m.csv", "gene,S1\na,1\n");
  EXPECT_EQ(text_of(turned(source, "tsv", "features_as_rows")), "gene\tS1\na\t1\n");
  EXPECT_EQ(driver_.stages[1].name, "scan");
}

TEST_F(Transpose, RepeatedAndEmptyNamesAreCompletedAndToldOf) {
  const auto source = write("m.csv", "gene,S1\na,1\na,2\n,3\nsample,4\n");
  const Json result = turned(source, "csv");
  EXPECT_EQ(text_of(result), "sample,a,a_1,column_4,sample_1\nS1,1,2,3,4\n");
  EXPECT_THAT(codes(result), ElementsAre("repeated_column_names", "empty_column_names"));
}

TEST_F(Transpose, WhatCannotBeTurnedIsRefusedWithTheWayOut) {
  driver_.layout = Json::object();
  EXPECT_THAT(refused(write("m.csv", "gene,S1,S2\na,1,2\nb,3,4\n")).message,
              HasSubstr("2 rows and 2 numeric columns. Say which way it lies"));
  driver_.layout = {{"orientation", "features_as_rows"}};
  EXPECT_THAT(refused(write("t.csv", "gene,S1,note\na,1,x\n")).message,
              HasSubstr("\"note\" (string) is neither label nor number"));
  EXPECT_THAT(refused(write("n.csv", "S1,S2\n1,2\n")).message,
              HasSubstr("no column is a label of its rows"));
}

TEST_F(Transpose, EveryTaskSaysBeforehandWhatMemoryItNeeds) {
  const auto source = write("m.csv", "gene,S1\na,1\n");
  turned(source, "csv");
  std::size_t fragments = 0;
  for (const auto& entry : std::filesystem::directory_iterator(driver_.job_folder() + "/plan")) {
    if (!entry.path().string().ends_with("fragment.json")) continue;
    const auto fragment = parse_trusted_json(read_file(entry.path()).value_or(""));
    ASSERT_TRUE(fragment);
    ++fragments;
    for (const auto& stage : (*fragment)["stages"])
      EXPECT_GT(stage.value("grant", 0), 40'000'000) << stage["name"];
  }
  EXPECT_EQ(fragments, 1U);
}

}  // namespace
}  // namespace polysome
