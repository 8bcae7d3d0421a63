// Very wide Parquet by column, through the library that is opened at run time.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "data/data_fixture.h"
#include "kernels/arrow_library.h"

namespace polysome {
namespace {

class WideParquet : public DataTest {};

TEST_F(WideParquet, ColumnsOfSeveralRowGroupsAreRead) {
  const auto library = arrow_library();
  ASSERT_TRUE(library) << library.error().message;
  const std::string file = path("wide.parquet");
  const auto made = session_->run(fmt::format(
      "COPY (SELECT 's' || i AS sample, CASE WHEN i % 3 <> 1 THEN i / 2 END AS x, i::FLOAT AS f, "
      "CASE WHEN i <> 2049 THEN 9007199254740993 + i END AS n, i::INTEGER AS k, DATE '2024-01-01' "
      "AS d "
      "FROM range(3000) t(i)) TO {} (FORMAT parquet, ROW_GROUP_SIZE 2048)",
      sql_text(file)));
  ASSERT_TRUE(made) << made.error().message;

  auto reader = (*library)->open_parquet(file);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->group_rows(), (std::vector<std::uint64_t>{2048, 952}));
  std::string kinds;
  for (const auto& c : (*reader)->columns())
    kinds += fmt::format("{} {}{}{} ", c.type, c.real ? "real" : "", c.whole ? "whole" : "",
                         c.text ? "text" : "");
  EXPECT_EQ(kinds, "VARCHAR text DOUBLE real FLOAT real BIGINT whole INTEGER whole DATE  ");
  const auto reals = [&](std::size_t c, std::uint64_t first, std::uint64_t n) {
    const auto read = (*reader)->read_reals(c, first, n);
    EXPECT_TRUE(read) << read.error().message;
    return std::vector<double>(read->begin(), read->end());
  };
  const auto wholes = [&](std::size_t c, std::uint64_t first, std::uint64_t n) {
    const auto read = (*reader)->read_wholes(c, first, n);
    EXPECT_TRUE(read) << read.error().message;
    return std::vector<std::int64_t>(read->begin(), read->end());
  };
  // Within a group, over its end, back to an earlier one, and all.
  EXPECT_EQ(reals(1, 0, 4), (std::vector{0.0, 1.0, 1.5}));
  EXPECT_EQ(reals(1, 2046, 4), (std::vector{1023.0, 1024.0, 1024.5}));
  EXPECT_EQ(reals(2, 2998, 2), (std::vector{2998.0, 2999.0}));
  EXPECT_EQ(reals(2, 1, 1), (std::vector{1.0}));
  EXPECT_EQ(reals(1, 0, 3000).size(), 2000U);
  EXPECT_EQ(wholes(3, 2048, 3), (std::vector<std::int64_t>{9007199254743041, 9007199254743043}));
  EXPECT_EQ(wholes(4, 2047, 2), (std::vector<std::int64_t>{2047, 2048}));
  EXPECT_TRUE((*reader)->rows_there().empty());
  wholes(3, 2047, 4);
  const auto there = (*reader)->rows_there();
  EXPECT_EQ(std::vector(there.begin(), there.end()), (std::vector<std::uint32_t>{0, 1, 3}));
  const auto texts = (*reader)->read_texts(0, 2046, 3);
  ASSERT_TRUE(texts) << texts.error().message;
  EXPECT_EQ(std::vector<std::string>(texts->begin(), texts->end()),
            (std::vector<std::string>{"s2046", "s2047", "s2048"}));
}

TEST_F(WideParquet, AFileThatIsNoneSaysWhich) {
  const auto library = arrow_library();
  ASSERT_TRUE(library) << library.error().message;
  const auto reader = (*library)->open_parquet(write("no.parquet", "PAR1 this is none"));
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, Code::kUserData);
  EXPECT_NE(reader.error().message.find("no.parquet"), std::string::npos);
}

}  // namespace
}  // namespace polysome
