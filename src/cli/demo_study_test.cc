#include "cli/demo_study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "base/files.h"

namespace polysome::cli {
namespace {

using ::testing::HasSubstr;

class StudyFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("study-" + std::to_string(::getpid()));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string text(const char* name) { return read_file(folder_ / name).value_or(""); }

  std::filesystem::path folder_;
};

TEST_F(StudyFilesTest, TheSameSeedGivesTheSameBytes) {
  std::map<std::string, std::string> first;
  for (const std::uint64_t seed : {7, 8, 7}) {
    ASSERT_TRUE(write_study({seed, 12, 40}, folder_, {}));
    for (const auto& name : study_file_names()) {
      const std::string content = text(name.c_str());
      const auto [known, fresh] = first.try_emplace(name + std::to_string(seed), content);
      EXPECT_EQ(known->second, content) << name;
      EXPECT_FALSE(content.empty());
    }
  }
  EXPECT_NE(first["counts.tsv7"], first["counts.tsv8"]);
}

TEST_F(StudyFilesTest, BytesAreThoseOfEveryOtherMachine) {
  ASSERT_TRUE(write_study({1, 4, 4}, folder_, {}));
  EXPECT_EQ(text("samples.tsv"),
            "sample_id\tcondition\tbatch\tsex\nS001\tcontrol\tB1\tM\nS002\ttreated\tB1\tM\n"
            "S003\tcontrol\tB2\tM\nS004\ttreated\tB2\tM\n");
  EXPECT_EQ(text("counts.tsv"),
            "gene\tS001\tS002\tS003\tS004\nGENE0001\t84\t17\t79\t114\nGENE0002\t224\t53\t273\t68\n"
            "GENE0003\t574\t266\t303\t1597\nGENE0004\t61\t125\t83\t154\n");
  EXPECT_EQ(
      text("truth.tsv"),
      "gene\tlog2_fold_change\nGENE0001\t-1.5\nGENE0002\t-2.0\nGENE0003\t2.0\nGENE0004\t1.5\n");
  EXPECT_THAT(text("my_dataset.csv"),
              HasSubstr("\nGENE0001,S001,control,B1,60.886\nGENE0001,S002,treated,B1,18.297\n"));
}

TEST_F(StudyFilesTest, LongTableAndMatrixTellTheSameCounts) {
  const StudySpec spec{3, 6, 20};
  const auto files = write_study(spec, folder_, {});
  ASSERT_TRUE(files);
  const Study study(spec);
  std::istringstream table(text("my_dataset.csv")), matrix(text("counts.tsv"));
  std::string line;
  std::getline(table, line);
  EXPECT_EQ(line, "gene,sample,condition,batch,expression");
  std::getline(matrix, line);
  EXPECT_EQ(line, "gene\tS001\tS002\tS003\tS004\tS005\tS006");
  for (std::uint32_t g = 0; g < spec.genes; ++g) {
    const auto counts = study.counts(g);
    std::string row = study.gene_name(g);
    for (const auto n : counts) row += "\t" + std::to_string(n);
    ASSERT_TRUE(std::getline(matrix, line));
    EXPECT_EQ(line, row);
    for (std::uint32_t s = 0; s < spec.samples; ++s) {
      ASSERT_TRUE(std::getline(table, line));
      EXPECT_THAT(line, HasSubstr(study.gene_name(g) + "," + study.sample_name(s) + "," +
                                  study.condition(s) + ",B"));
      const double value = std::stod(line.substr(line.rfind(',') + 1));
      EXPECT_NEAR(value, counts[s] / study.size_factor(s), 0.001);
    }
  }
  EXPECT_FALSE(std::getline(table, line));
  EXPECT_EQ(files->at(0).rows, 120U);
  EXPECT_EQ(files->at(0).bytes, text("my_dataset.csv").size());
}

TEST(Study, PlantedGenesDifferAsMuchAsTheySay) {
  const Study study({1, 400, 600});
  EXPECT_EQ(study.planted().size(), 6U);
  const auto log2_ratio = [&](std::uint32_t gene) {
    double sums[2] = {0, 0};
    const auto counts = study.counts(gene);
    for (std::uint32_t s = 0; s < counts.size(); ++s)
      sums[std::string(study.condition(s)) == "treated" ? 1 : 0] +=
          counts[s] / study.size_factor(s);
    return std::log2((sums[1] + 1) / (sums[0] + 1));
  };
  std::size_t next = 0;
  for (std::uint32_t gene = 0; gene < 600; ++gene) {
    const bool planted = next < study.planted().size() && study.planted()[next].gene == gene;
    const double expected = planted ? study.planted()[next++].log2_fold_change : 0;
    EXPECT_NEAR(log2_ratio(gene), expected, 0.5) << study.gene_name(gene);
  }
  EXPECT_EQ(next, study.planted().size());
}

TEST(Study, CountsAreOverDispersed) {
  const Study study({2, 2000, 50});
  int over = 0;
  for (std::uint32_t gene = 0; gene < 50; ++gene) {
    const auto counts = study.counts(gene);
    double sum = 0, squares = 0;
    for (const auto n : counts) sum += n;
    const double mean = sum / static_cast<double>(counts.size());
    for (const auto n : counts) squares += (n - mean) * (n - mean);
    if (mean > 10 && squares / static_cast<double>(counts.size()) > 2 * mean) ++over;
  }
  EXPECT_GT(over, 20);
}

TEST(Study, NamesHaveOneWidth) {
  const Study small({1, 10, 10}), large({1, 2000, 20'000});
  EXPECT_EQ(small.gene_name(6), "GENE0007");
  EXPECT_EQ(small.sample_name(0), "S001");
  EXPECT_EQ(large.gene_name(6), "GENE00007");
  EXPECT_EQ(large.sample_name(0), "S0001");
}

}  // namespace
}  // namespace polysome::cli
