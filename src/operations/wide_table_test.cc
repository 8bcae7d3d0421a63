// Tables of many columns on small grants: columns are worked on block by block, with the same
// answers as all at once.
#include <fmt/format.h>
#include <gmock/gmock.h>

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

}  // namespace
}  // namespace polysome
