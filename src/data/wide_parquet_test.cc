// The libraries of Arrow and Parquet, opened at run time: what one writes, the other side reads.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/data_fixture.h"
#include "kernels/arrow_library.h"

namespace polysome {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

class WideParquet : public DataTest {};

TEST_F(WideParquet, ColumnsOfSeveralRowGroupsAreReadBackByDuckDbAndByColumn) {
  const auto library = arrow_library();
  ASSERT_TRUE(library) << library.error().message;
  const std::string file = path("wide.parquet");
  auto writer = (*library)->create_wide_parquet(file, {{"sample", WideType::kText},
                                                       {"x", WideType::kDouble},
                                                       {"y", WideType::kDouble},
                                                       {"n", WideType::kInt64}});
  ASSERT_TRUE(writer) << writer.error().message;
  const std::vector<std::optional<std::string_view>> names{"a", std::nullopt, "ü\n\"c\""};
  ASSERT_TRUE((*writer)->rows(3));
  ASSERT_TRUE((*writer)->texts(names));
  const std::vector<double> both{1.5, kNone, -0.1, 7, 8, 9};  // x, then y
  ASSERT_TRUE((*writer)->doubles(both));
  const std::vector<std::int64_t> wholes{1, kMissingWhole, 9007199254740993};
  ASSERT_TRUE((*writer)->wholes(wholes));
  ASSERT_TRUE((*writer)->rows(1));
  ASSERT_TRUE((*writer)->texts(std::span(names).first(1)));
  ASSERT_TRUE((*writer)->doubles(std::span(both).first(2)));
  ASSERT_TRUE((*writer)->wholes(std::span(wholes).first(1)));
  ASSERT_TRUE((*writer)->close());

  const auto read = rows("SELECT * FROM '" + file + "'");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, (Table{{"a", "1.5", "7.0", "1"},
                          {std::nullopt, std::nullopt, "8.0", std::nullopt},
                          {"ü\n\"c\"", "-0.1", "9.0", "9007199254740993"},
                          {"a", "1.5", std::nullopt, "1"}}));

  auto reader = (*library)->open_wide_parquet(file);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->group_rows(), (std::vector<std::uint64_t>{3, 1}));
  ASSERT_EQ((*reader)->columns().size(), 4U);
  EXPECT_EQ((*reader)->columns()[0].type, "VARCHAR");
  EXPECT_FALSE((*reader)->columns()[0].real);
  EXPECT_TRUE((*reader)->columns()[1].real);
  EXPECT_TRUE((*reader)->columns()[3].whole);
  const auto reals = [&](std::size_t c, std::uint64_t first, std::uint64_t n) {
    const auto read = (*reader)->read_reals(c, first, n);
    EXPECT_TRUE(read) << read.error().message;
    return std::vector<double>(read->begin(), read->end());
  };
  EXPECT_EQ(reals(1, 0, 4), (std::vector{1.5, -0.1, 1.5}));
  EXPECT_EQ(reals(1, 1, 2), (std::vector{-0.1}));
  EXPECT_EQ(reals(2, 2, 2), (std::vector{9.0}));
  const auto whole = (*reader)->read_wholes(3, 2, 2);
  ASSERT_TRUE(whole);
  EXPECT_EQ(std::vector(whole->begin(), whole->end()),
            (std::vector<std::int64_t>{9007199254740993, 1}));
}

TEST_F(WideParquet, ValuesOutOfTurnAreRefusedNotWritten) {
  const auto library = arrow_library();
  ASSERT_TRUE(library) << library.error().message;
  auto writer = (*library)->create_wide_parquet(
      path("wide.parquet"), {{"x", WideType::kDouble}, {"y", WideType::kInt64}});
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->rows(2));
  const std::vector<double> x{1, 2};
  ASSERT_TRUE((*writer)->doubles(x));
  EXPECT_FALSE((*writer)->doubles(x));
  EXPECT_FALSE((*writer)->close());
}

TEST_F(WideParquet, AFileThatIsNoneSaysWhich) {
  const auto library = arrow_library();
  ASSERT_TRUE(library) << library.error().message;
  const auto reader = (*library)->open_wide_parquet(write("no.parquet", "PAR1 this is none"));
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, Code::kUserData);
  EXPECT_NE(reader.error().message.find("no.parquet"), std::string::npos);
}

}  // namespace
}  // namespace polysome
