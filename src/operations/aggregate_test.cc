#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "kernels/session.h"
#include "operations/job_driver.h"
#include "operations/study_data.h"
#include "operations/test_folder.h"

namespace polysome {
namespace {

constexpr int kCuts[] = {1, 2, 7, 50};

std::uint64_t size_for(const std::string& path, int parts) {
  return std::filesystem::file_size(path) / static_cast<std::uint64_t>(parts) + 1;
}

// The definitions, worked out plainly.
struct Expected {
  explicit Expected(std::vector<double> v) : values(std::move(v)) { std::ranges::sort(values); }
  double mean() const {
    long double sum = 0;
    for (const double v : values) sum += v;
    return static_cast<double>(sum / static_cast<long double>(values.size()));
  }
  double sum() const { return mean() * static_cast<double>(values.size()); }
  double var() const {
    const long double m = mean();
    long double sum = 0;
    for (const double v : values) sum += (v - m) * (v - m);
    return static_cast<double>(sum / static_cast<long double>(values.size() - 1));
  }
  double quantile(double q) const {
    const double h = static_cast<double>(values.size() - 1) * q;
    const auto low = static_cast<std::size_t>(std::floor(h));
    const auto high = static_cast<std::size_t>(std::ceil(h));
    return values[low] + (values[high] - values[low]) * (h - std::floor(h));
  }
  double mode() const {
    std::map<double, int> counts;
    for (const double v : values) ++counts[v];
    return std::ranges::max_element(counts, {}, [](const auto& p) { return p.second; })->first;
  }
  std::size_t distinct() const { return std::set<double>(values.begin(), values.end()).size(); }
  std::vector<double> values;
};

using Keep = std::function<bool(const StudyRow&)>;

Expected expression_of(const StudyData& data, const Keep& keep = {}) {
  std::vector<double> out;
  for (const auto& r : data.rows())
    if (r.expression && (!keep || keep(r))) out.push_back(*r.expression);
  return Expected(out);
}

Expected reads_of(const StudyData& data, const Keep& keep = {}) {
  std::vector<double> out;
  for (const auto& r : data.rows())
    if (r.reads && (!keep || keep(r))) out.push_back(static_cast<double>(*r.reads));
  return Expected(out);
}

void expect_close(const Json& cell, double expected, const std::string& what) {
  ASSERT_TRUE(cell.is_number()) << what << ": " << cell.dump();
  EXPECT_NEAR(cell.get<double>(), expected, 1e-10 * std::max(1e-12, std::abs(expected))) << what;
}

const Json kEverything = {{"columns", {"expression", "reads"}},
                          {"operation",
                           {"count", "missing", "count_distinct", "sum", "mean", "var", "std",
                            "min", "max", "median", "quantile", "mode"}},
                          {"q", {0.1, 0.25, 0.99}}};

void expect_statistics(const Json& row, const Expected& e, std::size_t rows,
                       const std::string& prefix) {
  const auto at = [&](const std::string& name) { return row.at(prefix + name); };
  EXPECT_EQ(at("count"), e.values.size());
  EXPECT_EQ(at("missing"), rows - e.values.size());
  EXPECT_EQ(at("count_distinct"), e.distinct());
  expect_close(at("sum"), e.sum(), prefix + "sum");
  expect_close(at("mean"), e.mean(), prefix + "mean");
  expect_close(at("var"), e.var(), prefix + "var");
  expect_close(at("std"), std::sqrt(e.var()), prefix + "std");
  EXPECT_EQ(at("min").get<double>(), e.values.front());
  EXPECT_EQ(at("max").get<double>(), e.values.back());
  expect_close(at("median"), e.quantile(0.5), prefix + "median");
  for (const double q : {0.1, 0.25, 0.99})
    expect_close(at(fmt::format("quantile_{}", q)), e.quantile(q), prefix + "quantile");
  EXPECT_EQ(at("mode").get<double>(), e.mode());
}

class AggregateTest : public testing::Test {
 protected:
  Json run(const Json& parameters, const std::string& source) {
    auto result = driver.run("aggregate", parameters, {source});
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result.value_or(Json());
  }
  Error refused(const Json& parameters, const std::string& source) {
    auto result = driver.run("aggregate", parameters, {source});
    EXPECT_FALSE(result.has_value()) << "was not refused";
    return result ? Error{} : result.error();
  }

  TestFolder folder;
  JobDriver driver{folder.path()};
  StudyData data{3000};
};

TEST_F(AggregateTest, MeanOfOneColumnIsTheValue) {
  const Json result =
      run({{"column", "expression"}, {"operation", "mean"}}, data.csv(folder / "my_dataset.csv"));
  expect_close(result.at("value"), expression_of(data).mean(), "value");
  EXPECT_EQ(result.at("table"), "result");
  EXPECT_EQ(result.at("rows"), 1);
  EXPECT_EQ(result.at("definitions").at("operation"), "aggregate/1");
  EXPECT_EQ(result.at("tables")[0].at("preview")[0].at("column"), "expression");
}

TEST_F(AggregateTest, EveryStatisticIsThatOfTheDefinition) {
  const Json rows = driver.rows(run(kEverything, data.csv(folder / "study.csv")));
  ASSERT_EQ(rows.size(), 2U);
  expect_statistics(rows[0], expression_of(data), data.rows().size(), "");
  expect_statistics(rows[1], reads_of(data), data.rows().size(), "");
  EXPECT_EQ(rows[0].at("column"), "expression");
  EXPECT_EQ(rows[1].at("column"), "reads");
}

TEST_F(AggregateTest, SameBitsForEveryPartitioning) {
  const std::string source = data.csv(folder / "study.csv");
  std::string whole;
  for (const int parts : kCuts) {
    driver.description.spec.partition_size = size_for(source, parts);
    const std::string rows = dump(driver.rows(run(kEverything, source)));
    if (parts == 1) whole = rows;
    EXPECT_EQ(rows, whole) << parts << " partitions";
    EXPECT_NEAR(driver.stages[1].tasks, parts, parts == 1 ? 0 : 1);
  }
}

TEST_F(AggregateTest, SameBitsWhenValuesAreShuffledByRange) {
  const std::string source = data.csv(folder / "study.csv");
  const std::string whole = dump(driver.rows(run(kEverything, source)));
  for (const int parts : kCuts) {
    driver.description.spec.partition_size = size_for(source, parts);
    driver.description.bucket_size = size_for(source, 5);
    EXPECT_EQ(dump(driver.rows(run(kEverything, source))), whole) << parts << " partitions";
    EXPECT_EQ(driver.stages[2].name, "reduce");
    EXPECT_EQ(driver.stages[2].tasks, 10U);
  }
}

TEST_F(AggregateTest, GroupsAreOrderedWithTheMissingKeyLast) {
  Json parameters = kEverything;
  parameters["group_by"] = "batch";
  const Json rows = driver.rows(run(parameters, data.csv(folder / "study.csv")));
  ASSERT_EQ(rows.size(), 4U);
  const std::vector<Json> keys = {"A", "B", "C", nullptr};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("batch"), keys[i]);
    const Keep in_group = [&](const StudyRow& r) {
      return (r.batch ? Json(*r.batch) : Json()) == keys[i];
    };
    const auto n = static_cast<std::size_t>(std::ranges::count_if(data.rows(), in_group));
    expect_statistics(rows[i], expression_of(data, in_group), n, "expression_");
    expect_statistics(rows[i], reads_of(data, in_group), n, "reads_");
  }
}

TEST_F(AggregateTest, GroupsAreTheSameForEveryPartitioningAndShuffle) {
  Json parameters = kEverything;
  parameters["group_by"] = {"sample", "batch"};
  const std::string source = data.csv(folder / "study.csv");
  const std::string whole = dump(driver.rows(run(parameters, source)));
  for (const int parts : kCuts)
    for (const int buckets : {1, 4}) {
      driver.description.spec.partition_size = size_for(source, parts);
      driver.description.bucket_size = size_for(source, buckets);
      EXPECT_EQ(dump(driver.rows(run(parameters, source))), whole) << parts << "/" << buckets;
    }
}

TEST_F(AggregateTest, SameBitsWhenTasksCutTheirWork) {
  const std::string source = data.csv(folder / "study.csv");
  Json grouped = kEverything;
  grouped["group_by"] = {"sample", "batch"};
  for (const Json& parameters : {kEverything, grouped}) {
    driver.split = 1;
    driver.description.spec.partition_size = size_for(source, 1);
    driver.description.bucket_size = size_for(source, 1);
    const std::string whole = dump(driver.rows(run(parameters, source)));
    struct Cut {
      std::uint32_t split;
      int parts, buckets;
    };
    for (const auto& [split, parts, buckets] : {Cut{8, 1, 1}, Cut{8, 7, 4}, Cut{64, 1, 4}}) {
      driver.split = split;
      driver.description.spec.partition_size = size_for(source, parts);
      driver.description.bucket_size = size_for(source, buckets);
      EXPECT_EQ(dump(driver.rows(run(parameters, source))), whole)
          << split << " pieces of " << parts << " partitions, " << buckets << " buckets";
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder / "scratch")) << "pieces are left behind";
}

TEST_F(AggregateTest, SameBitsWhenTasksOfAParquetFileCutTheirWork) {
  const std::string source = data.parquet(folder / "study.parquet");
  Json grouped = kEverything;
  grouped["group_by"] = "sample";
  const std::string whole = dump(driver.rows(run(grouped, source)));
  driver.split = 8;
  for (const int parts : {1, 2}) {
    driver.description.spec.partition_size = size_for(source, parts);
    EXPECT_EQ(dump(driver.rows(run(grouped, source))), whole) << parts << " partitions";
  }
}

TEST_F(AggregateTest, ManyPartitionsAreCombinedInATree) {
  const std::string source = data.csv(folder / "study.csv");
  const Json parameters = {{"column", "expression"}, {"operation", "sum"}};
  const std::string whole = dump(driver.rows(run(parameters, source)));
  driver.description.spec.partition_size = size_for(source, 150);
  EXPECT_EQ(dump(driver.rows(run(parameters, source))), whole);
  EXPECT_EQ(driver.stages[2].name, "combine.1");
  EXPECT_EQ(driver.stages[2].tasks, 3U);
}

// Text is aggregated without a table in between unless rows are chosen by SQL: both ways are one.
TEST_F(AggregateTest, StraightFromTextIsWhatSqlSays) {
  const std::string source = data.csv(folder / "study.csv");
  Json parameters = {{"columns", {"expression", "reads"}},
                     {"operation", {"mean", "std", "var", "sum", "count", "missing"}}};
  for (const Json& keys : {Json(), Json("batch"), Json("reads"), Json::array({"sample", "batch"}),
                           Json::array({"reads", "sample"})})
    for (const bool extremes : {false, true}) {
      Json p = parameters;
      if (!keys.is_null()) p["group_by"] = keys;
      if (extremes) p["operation"] = {"min", "max", "mean"};
      Json by_sql = p;
      by_sql["where"] = "true";
      const std::string expected = dump(driver.rows(run(by_sql, source)));
      for (const int parts : kCuts) {
        driver.description.spec.partition_size = size_for(source, parts);
        EXPECT_EQ(dump(driver.rows(run(p, source))), expected) << dump(p) << parts;
      }
    }
}

TEST_F(AggregateTest, GroupsStraightFromParquetAreWhatSqlSays) {
  const std::string source = data.parquet(folder / "study.parquet");
  for (const Json& keys : {Json("batch"), Json("reads"), Json::array({"sample", "batch"}),
                           Json::array({"reads", "sample"})})
    for (const Json& operations : {Json{"mean", "std", "sum", "count", "missing"},
                                   Json{"min", "max", "mean"}, Json{"count"}}) {
      Json p = {
          {"columns", {"expression", "reads"}}, {"operation", operations}, {"group_by", keys}};
      Json by_sql = p;
      by_sql["where"] = "true";
      const std::string expected = dump(driver.rows(run(by_sql, source)));
      for (const int parts : kCuts) {
        driver.description.spec.partition_size = size_for(source, parts);
        EXPECT_EQ(dump(driver.rows(run(p, source))), expected) << dump(p) << parts;
      }
    }
}

// NaN (missing in Parquet), infinities, both zeros, missing values and a column that has only NaN
// or nothing.
std::string odd_numbers(const std::string& file, int columns) {
  std::string list = "i % 3 AS k";
  for (int c = 0; c < columns; ++c)
    list += fmt::format(
        ", CASE WHEN (i + {0}) % 7 = 0 THEN NULL WHEN (i * {0}) % 11 = 5 THEN 'NaN'::DOUBLE "
        "WHEN i = {0} THEN 'Infinity'::DOUBLE WHEN i % 13 = 4 THEN -0.0 "
        "ELSE (i - 50) * 1e{1} / 3 END AS d{0}, CASE WHEN i % 5 = {1} THEN NULL ELSE i * {0} END "
        "AS n{0}, (i / 8)::FLOAT AS f{0}",
        c, c % 5);
  list += ", 'NaN'::DOUBLE AS nothing_else, NULL::DOUBLE AS nothing";
  const auto session = Session::open({});
  EXPECT_TRUE(session);
  const auto done = (*session)->run(
      fmt::format("COPY (SELECT {} FROM range(2500) t(i)) TO {} (FORMAT parquet, ROW_GROUP_SIZE "
                  "2048)",
                  list, sql_text(file)));
  EXPECT_TRUE(done) << done.error().message;
  return file;
}

TEST_F(AggregateTest, OddNumbersOfParquetByGroupsAndByColumnAreWhatSqlSays) {
  const std::string narrow = odd_numbers(folder / "narrow.parquet", 2);
  const std::string wide = odd_numbers(folder / "wide.parquet", 22);
  for (const Json& operations :
       {Json{"min", "max", "count", "missing"}, Json{"sum", "mean", "std"}})
    for (const auto& [source, group] : {std::pair(narrow, "k"), std::pair(wide, "")}) {
      Json p = {{"columns", "*"}, {"operation", operations}};
      if (*group != '\0') p["group_by"] = group;
      Json by_sql = p;
      by_sql["where"] = "true";
      const std::string expected = dump(driver.rows(run(by_sql, source)));
      for (const int parts : {1, 7}) {
        driver.description.spec.partition_size = size_for(source, parts);
        EXPECT_EQ(dump(driver.rows(run(p, source))), expected) << dump(p) << parts;
      }
    }
}

TEST_F(AggregateTest, AKeyThatIsOneNulIsNotAMissingOne) {
  const std::string source = folder / "nul.parquet";
  const auto session = Session::open({});
  ASSERT_TRUE(session);
  ASSERT_TRUE((*session)->run(
      fmt::format("COPY (SELECT * FROM (VALUES (chr(0), 1.0::DOUBLE), (NULL, 2), (chr(0), 3)) "
                  "t(k, x)) TO {} (FORMAT parquet)",
                  sql_text(source))));
  const Json rows =
      driver.rows(run({{"column", "x"}, {"operation", "sum"}, {"group_by", "k"}}, source));
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0]["x_sum"], 4.0);
  EXPECT_EQ(rows[1]["x_sum"], 2.0);
}

TEST_F(AggregateTest, BadValuesStraightFromTextAreToldAsSqlTellsThem) {
  const std::string source = folder / "bad.csv";
  std::ofstream(source) << "gene,x\na,1\nb,2\n\"c\",3\na,oops\n\"\",5\n";
  Json p = {{"column", "x"}, {"operation", "mean"}, {"group_by", "gene"}};
  Json by_sql = p;
  by_sql["where"] = "true";
  // Said to be numbers, as a sample of a larger file would have it.
  driver.layout = {{"types", {{"x", "double"}}}};
  const Error direct = refused(p, source), sql = refused(by_sql, source);
  EXPECT_EQ(direct.message, sql.message);
  EXPECT_THAT(direct.message, testing::HasSubstr("bad.csv, line 5, column \"x\": \"oops\""));
  driver.description.spec.on_bad_value = "null";
  EXPECT_EQ(dump(driver.rows(run(p, source))), dump(driver.rows(run(by_sql, source))));
}

TEST_F(AggregateTest, EveryFormatGivesTheSameAnswer) {
  const std::string whole = dump(driver.rows(run(kEverything, data.csv(folder / "study.csv"))));
  std::filesystem::create_directory(folder / "parts");
  data.csv(folder / "parts/a.csv", ',', 0, 1000);
  data.csv(folder / "parts/b.csv", ',', 1000, 1700);
  data.csv(folder / "parts/c.csv", ',', 1700);
  const std::vector<std::string> sources = {data.csv(folder / "study.tsv", '\t'),
                                            data.parquet(folder / "study.parquet"),
                                            data.ndjson(folder / "study.ndjson"),
                                            data.json(folder / "study.json"),
                                            data.compressed(folder / "zipped.csv.gz", "gzip"),
                                            data.compressed(folder / "zipped2.csv.zst", "zstd"),
                                            folder / "parts",
                                            folder / "parts/*.csv"};
  for (const auto& source : sources)
    for (const std::uint64_t size : {100'000'000, 20'000}) {
      driver.description.spec.partition_size = size;
      EXPECT_EQ(dump(driver.rows(run(kEverything, source))), whole) << source << " by " << size;
    }
}

TEST_F(AggregateTest, WhereLimitsTheRows) {
  const Json result = run(
      {{"column", "expression"}, {"operation", "count"}, {"where", "batch = 'A' AND reads > 5"}},
      data.csv(folder / "study.csv"));
  const auto kept = expression_of(data, [](const StudyRow& r) {
    return r.batch == std::optional<std::string>("A") && r.reads && *r.reads > 5;
  });
  EXPECT_EQ(result.at("value"), kept.values.size());
}

TEST_F(AggregateTest, CountWithoutColumnCountsRows) {
  const Json result = run({{"operation", "count"}}, data.csv(folder / "study.csv"));
  EXPECT_EQ(result.at("value"), data.rows().size());
  const Json rows =
      driver.rows(run({{"operation", "count"}, {"group_by", "batch"}}, folder / "study.csv"));
  ASSERT_EQ(rows.size(), 4U);
  std::size_t sum = 0;
  for (const auto& row : rows) sum += row.at("count").get<std::size_t>();
  EXPECT_EQ(sum, data.rows().size());
}

TEST_F(AggregateTest, TextAndDatesHaveExtremesCountsAndModes) {
  const Json rows =
      driver.rows(run({{"columns", {"batch", "day"}},
                       {"operation", {"count", "missing", "count_distinct", "min", "max", "mode"}}},
                      data.csv(folder / "study.csv")));
  std::map<std::string, int> days;
  std::size_t batches = 0;
  for (const auto& r : data.rows()) {
    ++days[r.day];
    batches += r.batch.has_value() ? 1 : 0;
  }
  EXPECT_EQ(rows[0].at("count"), batches);
  EXPECT_EQ(rows[0].at("min"), "A");
  EXPECT_EQ(rows[0].at("max"), "C");
  EXPECT_EQ(rows[1].at("count_distinct"), days.size());
  EXPECT_EQ(rows[1].at("min"), days.begin()->first);
  EXPECT_EQ(rows[1].at("mode"),
            std::ranges::max_element(days, {}, [](const auto& p) { return p.second; })->first);
}

TEST_F(AggregateTest, AllColumnsMeansTheNumericOnesAndSaysSo) {
  const Json result =
      run({{"columns", "*"}, {"operation", "mean"}}, data.csv(folder / "study.csv"));
  EXPECT_EQ(result.at("rows"), 2);
  ASSERT_EQ(result.at("warnings").size(), 1U);
  EXPECT_EQ(result["warnings"][0].at("code"), "columns_left_out");
  EXPECT_EQ(result["warnings"][0].at("count"), 4);
}

TEST_F(AggregateTest, ExactSumsOfLargeIntegers) {
  std::string text = "n\n";
  for (int i = 0; i < 3; ++i) text += "9007199254740993\n";
  std::ofstream(folder / "big.csv") << text;
  const Json rows =
      driver.rows(run({{"column", "n"}, {"operation", {"sum", "max"}}}, folder / "big.csv"));
  EXPECT_EQ(rows[0].at("sum"), "27021597764222979");
  EXPECT_EQ(rows[0].at("max"), "9007199254740993");
}

TEST_F(AggregateTest, UnknownColumnNamesTheNearest) {
  const Error error = refused({{"column", "expresion"}, {"operation", "mean"}},
                              data.csv(folder / "my_dataset.csv"));
  EXPECT_EQ(error.message,
            "column \"expresion\" is not in dataset my_dataset; did you mean \"expression\"?");
  EXPECT_EQ(error.code, Code::kUserData);
  ASSERT_EQ(error.errors.size(), 1U);
  EXPECT_EQ(error.errors[0].pointer, "/parameters/column");
}

TEST_F(AggregateTest, MeanOfTextIsRefusedNamingTheNumericColumns) {
  const Error error =
      refused({{"column", "sample"}, {"operation", "mean"}}, data.csv(folder / "study.csv"));
  EXPECT_EQ(error.message,
            "column \"sample\" of dataset study holds string values; mean needs numbers");
  EXPECT_EQ(error.hint, "numeric columns: expression, reads");
}

TEST_F(AggregateTest, QuantileWithoutQIsRefused) {
  const Error error = refused({{"column", "expression"}, {"operation", "quantile"}},
                              data.csv(folder / "study.csv"));
  EXPECT_EQ(error.errors.at(0).pointer, "/parameters/q");
}

TEST_F(AggregateTest, UnsafeAndUnknownWhereIsRefused) {
  const std::string source = data.csv(folder / "study.csv");
  const auto where = [&](const std::string& text) {
    return refused({{"column", "reads"}, {"operation", "sum"}, {"where", text}}, source);
  };
  EXPECT_NE(where("readz > 1").message.find("did you mean \"reads\""), std::string::npos);
  EXPECT_EQ(where("(SELECT 1) = 1").errors.at(0).pointer, "/parameters/where");
  EXPECT_EQ(where("random() < 0.5").errors.at(0).pointer, "/parameters/where");
  EXPECT_EQ(where("day + ").errors.at(0).pointer, "/parameters/where");
}

TEST_F(AggregateTest, HeaderOnlyGivesZeroCounts) {
  std::ofstream(folder / "empty.csv") << "a,b\n";
  const Json rows = driver.rows(
      run({{"columns", {"a", "b"}}, {"operation", {"count", "min"}}}, folder / "empty.csv"));
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].at("count"), 0);
  EXPECT_TRUE(rows[1].at("min").is_null());
}

}  // namespace
}  // namespace polysome
