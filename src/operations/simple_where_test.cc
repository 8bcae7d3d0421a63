// A simple WHERE is evaluated by the reader of text: with the answer that SQL gives, also for what
// is missing, quoted, short, or cannot be read.
#include "operations/simple_where.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "operations/job_driver.h"
#include "operations/test_folder.h"

namespace polysome {
namespace {

// Numbers of both kinds, texts, missing values, quotes, and rows that end early.
std::string table(unsigned seed) {
  std::mt19937 random(seed);
  std::string out = "i,d,t,v\n";
  const std::vector<std::string> whole{"", "NA", "-3", "0", "7", "7", "\"8\"", "123456789012"};
  const std::vector<std::string> number{"", ".", "0.1", "-2.5", "1e3", "\"0.30\"", "inf", "7"};
  const std::vector<std::string> text{"", "A", "B", "b", "\"A,\"\"x\"\"\"", "é", "\"A\"", "AA"};
  for (int r = 0; r < 700; ++r) {
    out += whole[random() % whole.size()] + "," + number[random() % number.size()] + "," +
           text[random() % text.size()];
    if (random() % 10 != 0) out += "," + std::to_string(random() % 1000);
    out += random() % 5 == 0 ? "\r\n" : "\n";
  }
  return out;
}

class SimpleWhere : public testing::Test {
 protected:
  TestFolder folder;
  JobDriver driver{folder.path()};
};

const std::vector<std::string> kExpressions{
    "i > 0",
    "7 = i",
    "i <> 7",
    "i BETWEEN -3 AND 7",
    "i IN (0, 8)",
    "i NOT IN (7, 8)",
    "i IS NULL",
    "i IS NOT NULL",
    "d <= 0.1",
    "d > 0.3",
    "d = 0.3",
    "d >= 1e3",
    "d < 7",
    "d BETWEEN -2.5 AND 0.10",
    "t = 'A'",
    "t <> 'A'",
    "t < 'B'",
    "t >= 'é'",
    "t IN ('A,\"x\"', 'b')",
    "t NOT IN ('A')",
    "t IS NULL",
    "\"T\" = 'A' AND I >= 7",
    "i > 5 AND (d < 1 OR t = 'B' OR t IS NULL)",
    "NOT (i = 7) AND d IS NOT NULL",
    "NOT (i < 7)",
};

TEST_F(SimpleWhere, AnswersWhatSqlAnswers) {
  const std::string source = folder.path() + "/t.csv";
  std::ofstream(source) << table(11);
  driver.layout = {{"ragged", "repair"}};
  const std::vector<Json> keys = {Json(), Json("t"), Json::array({"i", "t"})};
  for (std::size_t n = 0; n < kExpressions.size(); ++n) {
    const std::string& where = kExpressions[n];
    Json p = {{"columns", {"v", "d"}}, {"operation", {"count", "sum", "max"}}, {"where", where}};
    if (!keys[n % 3].is_null()) p["group_by"] = keys[n % 3];
    Json sql = p;
    sql["where"] = "(" + where + ") AND true";
    driver.description.spec.partition_size = 100'000;
    const auto expected = driver.run("aggregate", sql, {source});
    ASSERT_TRUE(expected) << expected.error().message;
    driver.description.spec.partition_size = 3000;
    const auto found = driver.run("aggregate", p, {source});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(dump(driver.rows(*found)), dump(driver.rows(*expected))) << where;
  }
}

TEST_F(SimpleWhere, FilterKeepsTheRowsThatSqlKeeps) {
  const std::string source = folder.path() + "/t.csv";
  std::ofstream(source) << table(12);
  driver.layout = {{"ragged", "repair"}};
  for (const auto& where : kExpressions) {
    const auto sql = driver.run("filter", {{"where", "(" + where + ") AND true"}}, {source});
    const auto found =
        driver.run("filter", {{"where", where}, {"columns", {"v", "t", "d", "i"}}}, {source});
    ASSERT_TRUE(sql && found) << where;
    Json expected = Json::array();
    for (const auto& row : driver.rows(*sql))
      expected.push_back({{"v", row["v"]}, {"t", row["t"]}, {"d", row["d"]}, {"i", row["i"]}});
    EXPECT_EQ(driver.rows(*found), expected) << where;
  }
}

TEST_F(SimpleWhere, EveryExpressionAboveIsSimpleAndOthersAreNot) {
  auto session = Session::open(SessionConfig());
  ASSERT_TRUE(session);
  TableSource source;
  source.format = "csv";
  source.columns = {{"i", "int64", "guessed"},
                    {"d", "double", "guessed"},
                    {"t", "string", "guessed"},
                    {"day", "date", "guessed"}};
  for (const auto& where : kExpressions)
    EXPECT_FALSE(simple_where(**session, source, where).is_null()) << where;
  for (const char* where :
       {"i > 0.5", "i = '7'", "t = 7", "d > i", "i + 1 > 2", "lower(t) = 'a'", "t LIKE 'A%'",
        "day = '2024-01-01'", "true", "i > 0 AND true", "d IN (1, NULL)", "(i > 0) IS NULL",
        "d = 12345678901234567890.5", "i > 0 OR day IS NULL"})
    EXPECT_TRUE(simple_where(**session, source, where).is_null()) << where;
  source.format = "parquet";
  EXPECT_TRUE(simple_where(**session, source, "i > 0").is_null());
}

// The values of rows that are left out are not looked at; what is tested is.
TEST_F(SimpleWhere, BadValuesCountInRowsThatStayAndInWhatIsTested) {
  const std::string source = folder.path() + "/t.csv";
  std::ofstream(source) << "g,x,y\na,1,1\nb,oops,2\na,3,bad\na,4,4\n";
  driver.layout = {{"types", {{"x", "double"}, {"y", "double"}}}};
  const Json p = {{"column", "x"}, {"operation", "sum"}, {"where", "g = 'a'"}};
  auto done = driver.run("aggregate", p, {source});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->at("value"), 8.0);
  done = driver.run("filter", {{"where", "g = 'a'"}, {"columns", {"x"}}}, {source});
  ASSERT_TRUE(done) << done.error().message;
  Json by_y = p;
  by_y["where"] = "y > 0";
  done = driver.run("aggregate", by_y, {source});
  ASSERT_FALSE(done);
  driver.description.spec.on_bad_value = "null";
  done = driver.run("aggregate", by_y, {source});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->at("value"), 5.0);
  EXPECT_EQ(done->at("warnings").at(0).at("count"), 2) << "oops of a row that stays, and bad";
}

}  // namespace
}  // namespace polysome
