// sort and join against plain loops over the same rows, in any cut.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "base/files.h"
#include "operations/job_driver.h"
#include "operations/study_data.h"
#include "operations/test_folder.h"

namespace polysome {
namespace {

class Ordering : public testing::Test {
 protected:
  void SetUp() override { source = data.csv(folder / "study.csv"); }
  Json run(const std::string& operation, const Json& parameters,
           const std::vector<std::string>& sources) {
    auto result = driver.run(operation, parameters, sources);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result.value_or(Json());
  }
  void cut_into(int parts) {
    driver.description.spec.partition_size =
        std::filesystem::file_size(source) / static_cast<std::uint64_t>(parts) + 1;
    driver.description.spec.partition_size_given = true;
    // As many reduce tasks.
    driver.description.bucket_size = driver.description.spec.partition_size;
  }

  TestFolder folder;
  JobDriver driver{folder.path()};
  StudyData data{2000};
  std::string source;
};

// --- sort ---

TEST_F(Ordering, SortIsStableWithMissingValuesLast) {
  std::vector<const StudyRow*> expected;
  for (const auto& r : data.rows()) expected.push_back(&r);
  std::ranges::stable_sort(expected, [](const StudyRow* a, const StudyRow* b) {
    if (a->batch != b->batch) return !b->batch || (a->batch && *a->batch < *b->batch);
    if (a->expression == b->expression || !a->expression) return false;
    return !b->expression || *a->expression > *b->expression;
  });
  std::string first;
  for (const int parts : {1, 7, 30})
    for (const std::uint32_t split : {1U, 8U}) {
      cut_into(parts);
      driver.split = split;
      const Json rows = driver.rows(run("sort", {{"by", {"batch", "-expression"}}}, {source}));
      ASSERT_EQ(rows.size(), expected.size());
      for (std::size_t i = 0; i < rows.size(); ++i)
        ASSERT_EQ(rows[i].at("note"), expected[i]->note) << "row " << i << " of " << parts;
      if (first.empty()) first = dump(rows);
      EXPECT_EQ(dump(rows), first);
    }
}

TEST_F(Ordering, SortDescendingTurnsEveryColumn) {
  cut_into(7);
  const Json down =
      driver.rows(run("sort", {{"by", {"sample", "-reads"}}, {"descending", true}}, {source}));
  const Json same = driver.rows(run("sort", {{"by", {"-sample", "reads"}}}, {source}));
  EXPECT_EQ(down, same);
  EXPECT_GT(down.front().at("sample"), down.back().at("sample"));
}

TEST_F(Ordering, SortLimitIsTheBeginOfTheWhole) {
  cut_into(1);
  const Json whole = driver.rows(run("sort", {{"by", "expression"}}, {source}));
  for (const int parts : {2, 7})
    for (const std::size_t limit : {0, 1, 777, 5000}) {
      cut_into(parts);
      const Json rows =
          driver.rows(run("sort", {{"by", "expression"}, {"limit", limit}}, {source}));
      ASSERT_EQ(rows.size(), std::min<std::size_t>(limit, 2000));
      for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(rows[i], whole[i]);
    }
}

TEST_F(Ordering, SortOfOneValueIsTheTableItself) {
  cut_into(50);
  const std::string path = folder / "same.csv";
  std::string text = "x,n\n";
  for (int i = 0; i < 3000; ++i) text += fmt::format("1,{}\n", i);
  std::ofstream(path) << text;
  driver.description.bucket_size = 1000;
  driver.description.spec.output = {{"path", "same_sorted.csv"}};
  run("sort", {{"by", "x"}}, {path});
  EXPECT_EQ(read_file(folder / "results/same_sorted.csv").value_or(""), text);
}

TEST_F(Ordering, SortOfAnEmptyTableHasItsColumns) {
  const std::string path = folder / "empty.csv";
  std::ofstream(path) << "a,b\n";
  const Json result = run("sort", {{"by", "a"}}, {path});
  EXPECT_EQ(result.at("rows"), 0);
  EXPECT_EQ(result.at("columns"), 2);
}

TEST_F(Ordering, SortNamesTheNearestColumn) {
  auto refused = driver.run("sort", {{"by", {"-expresion"}}}, {source});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("did you mean \"expression\""), std::string::npos);
  EXPECT_EQ(refused.error().errors.at(0).pointer, "/parameters/by");
}

// --- join ---

struct SheetRow {
  std::string sample;  // empty: missing
  std::string batch;
  int age = 0;
};

class Joining : public Ordering {
 protected:
  void SetUp() override {
    Ordering::SetUp();
    std::mt19937 random(3);
    for (int i = 0; i < 300; ++i) {
      SheetRow row;
      // Some samples twice or more, some that the study lacks, some missing.
      row.sample = i % 11 == 0  ? ""
                   : i % 7 == 0 ? fmt::format("x{}", i)
                                : data.rows()[random() % 2000].sample;
      row.batch = fmt::format("b{}", i % 4);
      row.age = i;
      sheet.push_back(row);
    }
    path = folder / "sheet.csv";
    std::ofstream out(path);
    out << "age,sample,batch\n";
    for (const auto& r : sheet) out << fmt::format("{},{},{}\n", r.age, r.sample, r.batch);
  }
  // Pairs (row of the study or -1, row of the sheet or -1), in the order that is promised.
  std::vector<std::pair<int, int>> expected(const std::string& how) const {
    std::vector<std::pair<int, int>> out;
    std::vector<bool> used(sheet.size());
    for (int i = 0; i < 2000; ++i) {
      bool any = false;
      for (int j = 0; j < static_cast<int>(sheet.size()); ++j) {
        const auto at = static_cast<std::size_t>(j);
        if (sheet[at].sample != data.rows()[static_cast<std::size_t>(i)].sample) continue;
        used[at] = true;
        if (how != "semi" && how != "anti") out.emplace_back(i, j);
        any = true;
      }
      if ((how == "semi" && any) || (!any && (how == "left" || how == "outer" || how == "anti")))
        out.emplace_back(i, -1);
    }
    if (how == "outer")
      for (int j = 0; j < static_cast<int>(sheet.size()); ++j)
        if (!used[static_cast<std::size_t>(j)]) out.emplace_back(-1, j);
    return out;
  }
  void check(const Json& rows, const std::string& how) {
    const auto pairs = expected(how);
    ASSERT_EQ(rows.size(), pairs.size());
    const bool both = how != "semi" && how != "anti";
    for (std::size_t n = 0; n < pairs.size(); ++n) {
      const auto [i, j] = pairs[n];
      const Json& row = rows[n];
      if (i >= 0) {
        const auto& left = data.rows()[static_cast<std::size_t>(i)];
        ASSERT_EQ(row.at("note"), left.note) << "row " << n;
        ASSERT_EQ(row.at("sample"), left.sample);
        ASSERT_EQ(row.at(both ? "batch_x" : "batch").is_null(), !left.batch.has_value());
      } else {
        const auto& right = sheet[static_cast<std::size_t>(j)];
        ASSERT_TRUE(row.at("note").is_null());
        ASSERT_EQ(row.at("sample").is_null(), right.sample.empty());
        if (!right.sample.empty()) {
          ASSERT_EQ(row.at("sample"), right.sample);
        }
      }
      if (!both) continue;
      if (j >= 0) {
        ASSERT_EQ(row.at("age"), sheet[static_cast<std::size_t>(j)].age);
        ASSERT_EQ(row.at("batch_y"), sheet[static_cast<std::size_t>(j)].batch);
      } else {
        ASSERT_TRUE(row.at("age").is_null());
      }
    }
  }

  std::vector<SheetRow> sheet;
  std::string path;
};

TEST_F(Joining, EveryKindInEveryCutAndBothWays) {
  for (const std::string how : {"inner", "left", "outer", "semi", "anti"}) {
    std::string first;
    for (const int parts : {1, how == "outer" ? 20 : 4})
      for (const std::uint64_t memory : {std::uint64_t{1'000'000'000}, std::uint64_t{16'000}}) {
        cut_into(parts);
        driver.description.memory = memory;
        const Json result = run("join", {{"on", "sample"}, {"how", how}}, {source, path});
        const bool held = result.at("summary").at("plan").get<std::string>().contains("held");
        EXPECT_EQ(held, memory > 1'000'000 && how != "outer");
        const Json rows = driver.rows(result);
        check(rows, how);
        if (HasFatalFailure()) FAIL() << how << " in " << parts << " parts, held: " << held;
        if (first.empty()) first = dump(rows);
        EXPECT_EQ(dump(rows), first);
      }
  }
}

TEST_F(Joining, ColumnsAreTheKeysOnceAndBothTablesOwn) {
  const Json result =
      run("join", {{"on", "sample"}, {"suffixes", {"_study", "_sheet"}}}, {source, path});
  std::vector<std::string> names;
  for (const auto& c : result["tables"][0]["columns"]) names.push_back(c["name"]);
  EXPECT_EQ(names, (std::vector<std::string>{"sample", "batch_study", "expression", "reads", "day",
                                             "note", "age", "batch_sheet"}));
}

TEST_F(Joining, KeysMayHaveOtherNamesInTheSecondTable) {
  std::ofstream(folder / "other.csv") << "sample_id,sample,age\n"
                                      << data.rows()[0].sample << ",u,7\n";
  const Json rows = driver.rows(
      run("join", {{"on", "sample"}, {"right_on", "sample_id"}}, {source, folder / "other.csv"}));
  ASSERT_GE(rows.size(), 1U);
  EXPECT_EQ(rows[0].at("sample"), data.rows()[0].sample);
  EXPECT_EQ(rows[0].at("age"), 7);
  EXPECT_EQ(rows[0].at("sample_y"), "u");
  auto refused = driver.run("join", {{"on", "batch"}}, {source, folder / "other.csv"});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().hint.find("right_on"), std::string::npos);
}

TEST_F(Joining, NumbersMatchWhateverTheirType) {
  std::ofstream(folder / "whole.csv") << "k,a\n1,x\n2,y\n,z\n";
  std::ofstream(folder / "real.csv") << "k,b\n2.0,p\n2.5,q\n1.0,r\n";
  const Json rows = driver.rows(
      run("join", {{"on", "k"}, {"how", "outer"}}, {folder / "whole.csv", folder / "real.csv"}));
  EXPECT_EQ(rows, Json::parse(R"([{"k":1.0,"a":"x","b":"r"},{"k":2.0,"a":"y","b":"p"},
                                  {"k":null,"a":"z","b":null},{"k":2.5,"a":null,"b":"q"}])"));
}

TEST_F(Joining, KeysThatCannotMatchAreRefused) {
  std::ofstream(folder / "text.csv") << "k,a\nu,1\n";
  std::ofstream(folder / "number.csv") << "k,b\n2,1\n";
  auto refused = driver.run("join", {{"on", "k"}}, {folder / "text.csv", folder / "number.csv"});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("they never match"), std::string::npos);
  EXPECT_EQ(refused.error().errors.at(0).pointer, "/parameters/on");
  refused = driver.run("join", {{"on", "sampel"}}, {source, path});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("did you mean \"sample\""), std::string::npos);
}

}  // namespace
}  // namespace polysome
