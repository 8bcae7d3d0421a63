#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "base/files.h"
#include "operations/job_driver.h"
#include "operations/study_data.h"
#include "operations/test_folder.h"

namespace polysome {
namespace {

constexpr int kCuts[] = {1, 2, 7, 50};

class TableOperations : public testing::Test {
 protected:
  void SetUp() override { source = data.csv(folder / "study.csv"); }
  Json run(const std::string& operation, const Json& parameters) {
    auto result = driver.run(operation, parameters, {source});
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result.value_or(Json());
  }
  void cut_into(int parts) {
    driver.description.spec.partition_size =
        std::filesystem::file_size(source) / static_cast<std::uint64_t>(parts) + 1;
  }
  std::string text(const std::string& path) { return read_file(path).value_or(""); }
  std::string output(const std::string& name) { return folder / ("results/" + name); }

  TestFolder folder;
  JobDriver driver{folder.path()};
  StudyData data{2000};
  std::string source;
};

// --- filter ---

TEST_F(TableOperations, FilterKeepsOrderAndColumns) {
  std::vector<std::string> expected;
  for (const auto& r : data.rows())
    if (r.expression && *r.expression > 2) expected.push_back(r.note);
  for (const int parts : kCuts) {
    cut_into(parts);
    const Json rows =
        driver.rows(run("filter", {{"where", "expression > 2"}, {"columns", {"note", "sample"}}}));
    std::vector<std::string> notes;
    for (const auto& row : rows) notes.push_back(row.at("note").get<std::string>());
    EXPECT_EQ(notes, expected) << parts << " partitions";
    EXPECT_EQ(rows[0].size(), 2U);
  }
}

TEST_F(TableOperations, FilterLimitIsExactOverPartitions) {
  for (const int parts : kCuts)
    for (const int limit : {0, 1, 777, 5000}) {
      cut_into(parts);
      const Json result = run("filter", {{"limit", limit}});
      const auto expected = std::min<std::size_t>(static_cast<std::size_t>(limit), 2000);
      EXPECT_EQ(result.at("rows"), expected);
      const Json rows = driver.rows(result);
      ASSERT_EQ(rows.size(), expected);
      if (expected > 0) {
        EXPECT_EQ(rows[expected - 1].at("note"), data.rows()[expected - 1].note);
      }
    }
}

TEST_F(TableOperations, FilterThatKeepsNothingHasTheColumns) {
  cut_into(7);
  const Json result = run("filter", {{"where", "reads > 1000000"}});
  EXPECT_EQ(result.at("rows"), 0);
  EXPECT_EQ(result.at("columns"), 6);
  EXPECT_EQ(result["tables"][0].at("columns")[2],
            (Json{{"name", "expression"}, {"type", "double"}}));
}

TEST_F(TableOperations, FilterUnknownColumnIsRefused) {
  auto result = driver.run("filter", {{"columns", {"sampel"}}}, {source});
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message.find("did you mean \"sample\""), std::string::npos);
  EXPECT_EQ(result.error().errors.at(0).pointer, "/parameters/columns");
}

// --- output ---

TEST_F(TableOperations, OutputIsOneFileWithOneHeader) {
  std::string whole;
  for (const int parts : kCuts) {
    cut_into(parts);
    const std::string name = fmt::format("kept{}.csv", parts);
    driver.description.spec.output = {{"path", name}};
    const Json result = run("filter", {{"where", "expression > 0"}});
    EXPECT_EQ(result.at("output")[0].at("path"), output(name));
    EXPECT_EQ(result["output"][0].at("bytes"), std::filesystem::file_size(output(name)));
    const std::string content = text(output(name));
    EXPECT_TRUE(content.starts_with("sample,batch,expression,reads,day,note\n"));
    EXPECT_EQ(content.find("sample,batch", 1), std::string::npos);
    if (parts == 1) whole = content;
    EXPECT_EQ(content, whole) << parts << " partitions";
  }
}

TEST_F(TableOperations, OutputThatExistsIsKeptUnlessReplaced) {
  std::filesystem::create_directories(folder / "results");
  std::ofstream(output("kept.csv")) << "precious";
  driver.description.spec.output = {{"path", "kept.csv"}};
  auto refused = driver.run("filter", {{"limit", 3}}, {source});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().hint.find("replace"), std::string::npos);
  EXPECT_EQ(text(output("kept.csv")), "precious");
  driver.description.spec.output["if_exists"] = "replace";
  run("filter", {{"limit", 3}});
  EXPECT_NE(text(output("kept.csv")), "precious");
}

TEST_F(TableOperations, OutputOutsideTheOutputFoldersIsRefused) {
  for (const char* path : {"/etc/x.csv", "../x.csv", "a/../../x.csv"}) {
    driver.description.spec.output = {{"path", path}};
    auto refused = driver.run("filter", {{"limit", 3}}, {source});
    ASSERT_FALSE(refused.has_value()) << path;
    EXPECT_EQ(refused.error().errors.at(0).pointer, "/output/path");
  }
}

TEST_F(TableOperations, OutputPartsAreAFolderOfFiles) {
  cut_into(7);
  driver.description.spec.output = {{"path", "parts"}, {"format", "csv"}, {"files", "parts"}};
  const Json result = run("filter", Json::object());
  std::size_t rows = 0;
  for (const auto& file : result.at("output")) {
    const std::string content = text(file.at("path").get<std::string>());
    EXPECT_TRUE(content.starts_with("sample,batch,expression"));
    rows += file.at("rows").get<std::size_t>();
  }
  EXPECT_EQ(rows, 2000U);
  EXPECT_GE(result["output"].size(), 6U);
}

// --- convert ---

TEST_F(TableOperations, ConvertIsTheSameTableInEveryFormat) {
  const std::string original = dump(driver.rows(run("filter", Json::object())));
  for (const char* format : {"csv", "tsv", "parquet", "ndjson", "json"})
    for (const char* compression : {"none", "gzip", "zstd"})
      for (const int parts : {1, 7}) {
        cut_into(parts);
        const Json converted = run("convert", {{"format", format}, {"compression", compression}});
        const auto path = converted.at("output")[0].at("path").get<std::string>();
        driver.description.spec.partition_size = 100'000'000;
        auto back = driver.run("filter", Json::object(), {path});
        ASSERT_TRUE(back.has_value()) << path << ": " << back.error().message;
        EXPECT_EQ(dump(driver.rows(*back)), original)
            << format << " " << compression << " " << parts;
      }
}

TEST_F(TableOperations, ConvertBytesDoNotDependOnThePartitions) {
  for (const char* name : {"x.csv", "x.tsv", "x.ndjson", "x.json"}) {
    std::string whole;
    for (const int parts : kCuts) {
      cut_into(parts);
      driver.description.spec.output = {{"path", name}, {"if_exists", "replace"}};
      run("convert", Json::object());
      if (parts == 1) whole = text(output(name));
      EXPECT_EQ(text(output(name)), whole) << name << " " << parts;
    }
    EXPECT_GT(whole.size(), 50'000U);
  }
}

// polysome run: the text is all that is wanted, and says the same.
TEST_F(TableOperations, TextOfWhichNoTableIsKeptIsTheSame) {
  for (const int parts : kCuts)
    for (const char* format : {"csv", "ndjson", "json"}) {
      cut_into(parts);
      const Json parameters = {{"where", "expression > 2 OR sample = 'none'"}};
      std::string texts[2];
      Json results[2];
      for (const bool keep : {true, false}) {
        driver.description.keep_table = keep;
        driver.description.spec.output = {
            {"path", output(fmt::format("{}{}.{}", keep, parts, format))},
            {"if_exists", "replace"}};
        results[keep] = run("filter", parameters);
        texts[keep] = text(driver.description.spec.output["path"].get<std::string>());
      }
      EXPECT_TRUE(texts[0] == texts[1]) << parts << " " << format;
      EXPECT_GT(texts[0].size(), 1000U);
      EXPECT_EQ(results[0]["rows"], results[1]["rows"]);
      EXPECT_EQ(results[0]["tables"][0]["preview"], results[1]["tables"][0]["preview"]);
      EXPECT_EQ(results[0]["tables"][0]["n_rows"], results[1]["tables"][0]["n_rows"]);
    }
}

TEST_F(TableOperations, ConvertNeedsAFormat) {
  auto refused = driver.run("convert", Json::object(), {source});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().errors.at(0).pointer, "/parameters/format");
}

// --- describe ---

TEST_F(TableOperations, DescribeHasARowPerColumn) {
  std::string whole;
  for (const int parts : kCuts) {
    cut_into(parts);
    const Json rows = driver.rows(run("describe", Json::object()));
    ASSERT_EQ(rows.size(), 6U);
    if (parts == 1) whole = dump(rows);
    EXPECT_EQ(dump(rows), whole) << parts << " partitions";
  }
  const Json rows = driver.rows(run("describe", Json::object()));
  std::vector<double> values;
  std::map<std::string, int> samples;
  for (const auto& r : data.rows()) {
    if (r.expression) values.push_back(*r.expression);
    ++samples[r.sample];
  }
  std::ranges::sort(values);
  const Json& e = rows[2];
  EXPECT_EQ(e.at("column"), "expression");
  EXPECT_EQ(e.at("type"), "double");
  EXPECT_EQ(e.at("count"), values.size());
  EXPECT_EQ(e.at("missing"), 2000 - values.size());
  EXPECT_EQ(e.at("min"), values.front());
  EXPECT_EQ(e.at("max"), values.back());
  EXPECT_EQ(e.at("distinct"), std::set<double>(values.begin(), values.end()).size());
  const Json& s = rows[0];
  EXPECT_EQ(s.at("distinct"), samples.size());
  EXPECT_TRUE(s.at("mean").is_null());
  const auto top = std::ranges::max_element(samples, {}, [](const auto& p) { return p.second; });
  EXPECT_EQ(s.at("top"), top->first);
  EXPECT_EQ(s.at("freq"), top->second);
}

TEST_F(TableOperations, DescribeOfAWideTable) {
  std::ofstream wide(folder / "wide.tsv");
  constexpr int kColumns = 600;
  wide << "id";
  for (int c = 0; c < kColumns; ++c) wide << "\tg" << c;
  for (int r = 0; r < 20; ++r) {
    wide << "\nr" << r;
    for (int c = 0; c < kColumns; ++c) wide << "\t" << (r * c) % 17 + 0.5;
  }
  wide << "\n";
  wide.close();
  auto result = driver.run("describe", Json::object(), {folder / "wide.tsv"});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  const Json rows = driver.rows(*result);
  ASSERT_EQ(rows.size(), 601U);
  for (const int c : {0, 1, 250, 599}) {
    std::vector<double> v;
    for (int r = 0; r < 20; ++r) v.push_back((r * c) % 17 + 0.5);
    double sum = 0;
    for (const double x : v) sum += x;
    std::ranges::sort(v);
    EXPECT_EQ(rows[static_cast<std::size_t>(c) + 1].at("median"), (v[9] + v[10]) / 2);
    EXPECT_DOUBLE_EQ(rows[static_cast<std::size_t>(c) + 1].at("mean").get<double>(), sum / 20);
  }
}

TEST_F(TableOperations, DescribeOfThousandsOfGenes) {
  const char* folder_name = std::getenv("POLYSOME_TEST_DATA");
  const std::string gene = std::string(folder_name != nullptr ? folder_name : "../shared/data") +
                           "/liver-toxicity/gene.tsv";
  if (!std::filesystem::exists(gene)) GTEST_SKIP() << "no test data at " << gene;
  auto result = driver.run("describe", Json::object(), {gene});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_GT(result->at("rows"), 3000);
  for (const auto& row : driver.rows(*result))
    EXPECT_EQ(row.at("count").get<int>() + row.at("missing").get<int>(), 64) << row.dump();
}

// --- sql ---

TEST_F(TableOperations, SqlProjectionIsCutIntoPartitions) {
  cut_into(7);
  const Json result = run(
      "sql",
      {{"query", "SELECT upper(sample) AS s, reads * 2 AS twice FROM {table} WHERE reads > 3"}});
  EXPECT_EQ(driver.stages[1].name, "scan");
  EXPECT_GE(driver.stages[1].tasks, 6U);
  EXPECT_TRUE(
      result.at("summary").at("plan").get<std::string>().starts_with("cut into partitions"));
  const Json rows = driver.rows(result);
  std::size_t at = 0;
  for (const auto& r : data.rows())
    if (r.reads && *r.reads > 3) {
      EXPECT_EQ(rows.at(at).at("twice"), *r.reads * 2);
      ++at;
    }
  EXPECT_EQ(rows.size(), at);
}

// A query inside another one is not taken apart: it runs as one task, by DuckDB's own aggregates.
TEST_F(TableOperations, SqlGroupsAreTheSameCutAndAsOneTask) {
  for (const char* query :
       {"SELECT batch, count(*) AS n, sum(reads) AS reads FROM {table} GROUP BY batch "
        "ORDER BY batch NULLS LAST",
        "SELECT batch AS b, avg(reads), min(sample) AS first, max(reads) + 1 AS top, "
        "count(reads) FILTER (WHERE reads > 3) AS many FROM {table} WHERE reads <> 7 GROUP BY b "
        "HAVING count(*) > 1 ORDER BY b DESC NULLS FIRST",
        "SELECT upper(batch) || '!' AS u, s.batch, round(stddev(reads), 6) AS spread, "
        "round(var_pop(reads), 6) AS v FROM {table} AS s GROUP BY upper(batch), 2 "
        "ORDER BY spread, u NULLS LAST LIMIT 3",
        "SELECT count(*) AS n, sum(reads) / count(reads) AS mean, n * 2 AS twice, "
        "bool_or(reads > 5) AS some FROM {table}",
        "SELECT reads % 3 AS r, count(*) AS \"{n}\" FROM {table} GROUP BY 1 ORDER BY 2 DESC, 1 "
        "LIMIT 2 OFFSET 1",
        "SELECT sum(reads) AS s FROM {table} WHERE reads > 1e9"}) {
    SCOPED_TRACE(query);
    cut_into(1);
    const Json single =
        run("sql", {{"query", fmt::format("SELECT * FROM ({})", std::string_view(query))}});
    ASSERT_TRUE(single.at("summary").at("plan").get<std::string>().starts_with("one task: "));
    const Json expected = driver.rows(single);
    for (const int parts : kCuts) {
      cut_into(parts);
      const Json result = run("sql", {{"query", query}});
      EXPECT_TRUE(result.at("summary").at("plan").get<std::string>().starts_with("cut into"))
          << result.at("summary");
      EXPECT_EQ(driver.rows(result), expected) << parts << " partitions";
    }
  }
}

TEST_F(TableOperations, SqlGroupsHaveTheSameBitsInAnyCut) {
  std::ofstream out(folder / "small.csv");
  out << "g,x\n";
  for (int i = 0; i < 30'000; ++i) out << i % 5 << "," << 0.1 * i * (i % 7 == 0 ? -1e6 : 1) << "\n";
  out.close();
  source = folder / "small.csv";
  std::string whole;
  for (const int parts : kCuts) {
    cut_into(parts);
    const std::string rows = dump(driver.rows(run(
        "sql",
        {{"query", "SELECT g, sum(x), avg(x), stddev(x), variance(x) FROM {table} GROUP BY g"}})));
    if (parts == 1) whole = rows;
    EXPECT_EQ(rows, whole) << parts << " partitions";
  }
}

TEST_F(TableOperations, SqlWithoutPartialStatesRunsAsOneTaskAndSaysWhy) {
  for (const auto& [query, why] :
       {std::pair{"SELECT batch, median(reads) FROM {table} GROUP BY batch", "median()"},
        {"SELECT count(DISTINCT batch) FROM {table}", "DISTINCT"},
        {"SELECT batch, count(*) FROM {table} GROUP BY ROLLUP (batch)", "grouping sets"},
        {"SELECT batch, row_number() OVER (ORDER BY batch) FROM {table} GROUP BY batch", "window"},
        {"SELECT DISTINCT batch, count(*) FROM {table} GROUP BY batch", "DISTINCT"}}) {
    const std::string plan = run("sql", {{"query", query}}).at("summary").at("plan");
    EXPECT_TRUE(plan.starts_with("one task: ")) << plan;
    EXPECT_NE(plan.find(why), std::string::npos) << plan;
  }
}

TEST_F(TableOperations, SqlJoinsDatasetsByTheirNames) {
  std::ofstream(folder / "batches.csv") << "batch,site\nA,north\nB,south\n";
  auto result = driver.run("sql",
                           {{"query",
                             "SELECT site, count(*) AS n FROM study JOIN batches USING (batch) "
                             "GROUP BY site ORDER BY site"}},
                           {source, folder / "batches.csv"});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  const Json rows = driver.rows(*result);
  const auto in_a = std::ranges::count_if(
      data.rows(), [](const auto& r) { return r.batch == std::optional<std::string>("A"); });
  EXPECT_EQ(rows, (Json::array({{{"site", "north"}, {"n", in_a}},
                                {{"site", "south"}, {"n", rows[1].at("n")}}})));
}

TEST_F(TableOperations, SqlThatReadsFilesIsRefused) {
  for (const char* query :
       {"SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x'", "SELECT 1; SELECT 2", "SELECT nosuch FROM {table}"}) {
    auto refused = driver.run("sql", {{"query", query}}, {source});
    ASSERT_FALSE(refused.has_value()) << query;
    EXPECT_EQ(refused.error().errors.at(0).pointer, "/parameters/query") << query;
  }
}

// --- borders ---

TEST_F(TableOperations, LineEndsInQuotesAtPartitionBordersAreSettled) {
  std::ofstream out(folder / "notes.csv");
  out << "id,note\n";
  for (int i = 0; i < 300; ++i) {
    out << i << ",\"";
    for (int line = 0; line < 20; ++line) out << "line " << line << ", of note\n";
    out << "\"\n";
  }
  out.close();
  source = folder / "notes.csv";
  std::string whole;
  for (const int parts : kCuts) {
    cut_into(parts);
    const Json result = run("filter", Json::object());
    EXPECT_EQ(result.at("rows"), 300);
    const std::string rows = dump(driver.rows(result));
    if (parts == 1) whole = rows;
    EXPECT_EQ(rows, whole) << parts << " partitions";
  }
  EXPECT_FALSE(driver.reran.empty());
}

TEST_F(TableOperations, BadValueFailsUnlessCountedAsMissing) {
  std::ofstream out(folder / "bad.csv");
  out << "id,x\n";
  for (int i = 0; i < 20'000; ++i) out << i << "," << (i == 19'990 ? "1.2.3" : "4.5") << "\n";
  out.close();
  const Json declared = {{"column", "x"}, {"operation", {"count", "missing"}}};
  source = folder / "bad.csv";
  cut_into(5);
  driver.layout = {{"types", {{"x", "double"}}}};
  driver.description.spec.on_bad_value = "null";
  const Json result = run("aggregate", declared);
  EXPECT_EQ(driver.rows(result)[0].at("missing"), 1);
  ASSERT_EQ(result.at("warnings").size(), 1U);
  EXPECT_EQ(result["warnings"][0].at("code"), "bad_values");
  driver.description.spec.max_bad_values = 0;
  EXPECT_FALSE(driver.run("aggregate", declared, {source}).has_value());
  driver.description.spec.on_bad_value = "fail";
  auto failed = driver.run("aggregate", declared, {source});
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Code::kUserData);
  EXPECT_NE(failed.error().message.find("1.2.3"), std::string::npos);
}

}  // namespace
}  // namespace polysome
