// Tables of many columns on small grants: columns are worked on block by block, with the same
// answers as all at once.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "base/files.h"
#include "operations/job_driver.h"
#include "operations/test_folder.h"

namespace polysome {
namespace {

class WideTable : public testing::Test {
 protected:
  WideTable() : driver_(folder_.path()) {
    std::mt19937_64 random(5);
    std::string text = "id";
    for (int c = 0; c < kColumns; ++c) text += fmt::format(",c{}", c);
    for (int r = 0; r < 60; ++r) {
      text += fmt::format("\ns{}", r);
      for (int c = 0; c < kColumns; ++c)
        text += random() % 9 == 0 ? std::string(",")
                : c % 3 == 0      ? fmt::format(",{}", random() % 50)
                : c % 3 == 1      ? fmt::format(",{}.25", random() % 1000)
                                  : fmt::format(",t{}", random() % 4);
    }
    source_ = folder_ / "wide.csv";
    EXPECT_TRUE(write_file(source_, text + "\n", false));
  }
  std::string answer(const std::string& operation, const Json& parameters, std::uint64_t memory,
                     std::uint32_t split = 1) {
    driver_.task_memory = memory;
    driver_.split = split;
    const auto result = driver_.run(operation, parameters, {source_});
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result ? dump(driver_.rows(*result)) : "";
  }

  static constexpr int kColumns = 300;
  TestFolder folder_;
  JobDriver driver_;
  std::string source_;
};

TEST_F(WideTable, DescribeInBlocksOfColumnsIsTheSame) {
  const std::string whole = answer("describe", Json::object(), 2'000'000'000);
  EXPECT_EQ(answer("describe", Json::object(), 64'000'000), whole);
  EXPECT_EQ(answer("describe", Json::object(), 64'000'000, 4), whole);
}

TEST_F(WideTable, SoItIsInPartitionsAndRanges) {
  const Json parameters = {{"columns", "*"}, {"operation", {"mean", "std", "median", "mode"}}};
  const std::string whole = answer("aggregate", parameters, 2'000'000'000);
  driver_.description.spec.partition_size = 9000;
  driver_.description.spec.partition_size_given = true;
  driver_.description.bucket_size = 9000;
  EXPECT_EQ(answer("aggregate", parameters, 64'000'000), whole);
}

// Tables of so many columns that they are written with no SQL (flat_table.h). Their text is as
// convert writes it, so that what comes back can be compared letter by letter.
class FlatTable : public testing::Test {
 protected:
  FlatTable() : driver_(folder_.path()) {
    std::mt19937_64 random(11);
    std::string text = "id,\"a \"\"label\"\"\"";
    for (int c = 0; c < kColumns; ++c) text += fmt::format(",c{}", c);
    text += '\n';
    for (int r = 0; r < kRows; ++r) {
      std::string line = fmt::format("{},", 9'007'199'254'740'993 + r);
      line += r % 5 == 0 ? "" : r % 5 == 1 ? "\"a, \"\"b\"\"\nc\"" : fmt::format("é{}", r);
      for (int c = 0; c < kColumns; ++c)
        line += random() % 9 == 0 ? std::string(",")
                : c % 3 == 0      ? fmt::format(",{}", random() % 50)
                : c == 500        ? fmt::format(",{}", r % 2 == 0 ? -9'007'199'254'740'993 : r)
                : c % 3 == 1      ? fmt::format(",{}", static_cast<double>(random() % 1000) + 0.25)
                                  : fmt::format(",t{}", random() % 4);
      lines_.push_back(line + "\n");
      text += lines_.back();
    }
    source_ = folder_ / "wide.csv";
    EXPECT_TRUE(write_file(source_, text, false));
    text_ = text;
  }
  // The file that the operation makes.
  std::string made(const std::string& from, const std::string& format,
                   const std::string& operation = "convert",
                   const Json& parameters = Json::object()) {
    const std::string path = fmt::format("{}/results/{}.{}", folder_.path(), ++made_, format);
    driver_.description.spec.output = {{"path", path}};
    Json all = parameters;
    if (operation == "convert") all["format"] = format;
    const auto result = driver_.run(operation, all, {from});
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    result_ = result.value_or(Json());
    return path;
  }
  std::string csv(const std::string& from, const std::string& operation = "convert",
                  const Json& parameters = Json::object()) {
    return read_file(made(from, "csv", operation, parameters)).value_or("");
  }
  // Not the texts, which are long: where they differ.
  static void same(const std::string& got, const std::string& wanted) {
    const auto at = std::ranges::mismatch(got, wanted).in1 - got.begin();
    EXPECT_TRUE(got == wanted) << "from byte " << at << ": "
                               << got.substr(static_cast<std::size_t>(at), 40) << " for "
                               << wanted.substr(static_cast<std::size_t>(at), 40);
  }
  void in_partitions() {
    driver_.description.spec.partition_size = text_.size() / 4;
    driver_.description.spec.partition_size_given = true;
  }

  static constexpr int kColumns = 1100;
  static constexpr int kRows = 90;
  TestFolder folder_;
  JobDriver driver_;
  std::string source_, text_;
  std::vector<std::string> lines_;
  Json result_;
  int made_ = 0;
};

TEST_F(FlatTable, ComesBackLetterByLetter) {
  same(csv(source_), text_);
  same(csv(made(source_, "parquet")), text_);
  same(csv(made(source_, "ndjson")), text_);
  same(csv(made(source_, "arrow")), text_);
}

TEST_F(FlatTable, PartsAreJoinedToOneFile) {
  in_partitions();
  driver_.task_memory = 48'000'000;  // several row groups in each
  const std::string joined = made(source_, "parquet");
  const Json& table = result_["tables"][0];
  EXPECT_GE(table["files"].size(), 3U);
  EXPECT_EQ(table["n_rows"], kRows);
  EXPECT_EQ(table["n_columns"], kColumns + 2);
  EXPECT_EQ(table["columns"][0]["type"], "int64");
  EXPECT_EQ(table["columns"][3]["type"], "double");
  EXPECT_EQ(table["preview"].size(), 20U);
  EXPECT_EQ(table["preview"][0]["id"], "9007199254740993");
  EXPECT_EQ(table["preview"][0]["a \"label\""], Json());
  EXPECT_EQ(table["preview"][1]["a \"label\""], "a, \"b\"\nc");
  driver_.task_memory = 1'000'000'000;
  same(csv(joined), text_);
  same(csv(made(source_, "arrow")), text_);
  same(csv(source_), text_);
}

TEST_F(FlatTable, FilterKeepsTheRowsOfASimpleExpression) {
  in_partitions();
  std::string wanted = text_.substr(0, text_.find('\n') + 1);
  for (std::size_t r = 40; r < 60; ++r) wanted += lines_[r];
  const Json parameters = {{"where", "id >= 9007199254741033 AND id < 9007199254741053"}};
  same(csv(source_, "filter", parameters), wanted);
  EXPECT_EQ(result_["rows"], 20);
  same(csv(made(source_, "parquet", "filter", parameters)), wanted);
}

TEST_F(FlatTable, TextOfWhichNoTableIsKeptIsTheSame) {
  in_partitions();
  driver_.description.keep_table = false;
  same(csv(source_), text_);
  EXPECT_EQ(result_["rows"], kRows);
  EXPECT_EQ(result_["tables"][0]["preview"].size(), 20U);
  same(csv(made(source_, "parquet")), text_);
}

TEST_F(FlatTable, AValueThatIsNoNumberIsTold) {
  lines_[70].replace(lines_[70].rfind(','), std::string::npos, ",1\n");
  std::string text = text_.substr(0, text_.find('\n') + 1);
  for (const auto& line : lines_) text += line;
  text.replace(text.rfind("\n9007199254741080") + 1, 16, "x007199254741080");
  EXPECT_TRUE(write_file(source_, text, false));
  driver_.layout = {{"types", {{"id", "int64"}}}};
  const auto result = driver_.run("convert", {{"format", "parquet"}}, {source_});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, testing::HasSubstr("x007199254741080"));
}

}  // namespace
}  // namespace polysome
