// Parquet files joined from chunks: DuckDB reads back what was written.
#include "data/flat_parquet.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "data/data_fixture.h"

namespace polysome {
namespace {

using testing::ElementsAre;

class FlatParquet : public DataTest {
 protected:
  // A text column and number columns, each cut into row groups at `group`.
  std::string file(const std::vector<std::string>& texts,
                   const std::vector<std::vector<double>>& numbers, bool whole, std::size_t group) {
    std::string bytes(kParquetMagic);
    std::vector<ParquetFooter::Column> columns = {{"label", ParquetFooter::Type::kText}};
    for (std::size_t c = 0; c < numbers.size(); ++c)
      columns.push_back({"c" + std::to_string(c),
                         whole ? ParquetFooter::Type::kInt64 : ParquetFooter::Type::kDouble});
    ParquetFooter footer(columns, texts.size(), (texts.size() + group - 1) / group);
    std::string tail;
    ChunkEncoder encoder;
    for (std::size_t at = 0; at < texts.size(); at += group) {
      const std::size_t n = std::min(group, texts.size() - at);
      std::uint64_t offset = bytes.size();
      std::vector<ColumnChunk> chunks;
      const std::vector<std::optional<std::string>> some(
          texts.begin() + static_cast<std::ptrdiff_t>(at),
          texts.begin() + static_cast<std::ptrdiff_t>(at + n));
      auto chunk = encoder.texts(some, &bytes);
      EXPECT_TRUE(chunk);
      chunks.push_back(*chunk);
      for (const auto& column : numbers) {
        chunk = encoder.numbers(std::span(column).subspan(at, n), whole, &bytes);
        EXPECT_TRUE(chunk);
        chunks.push_back(*chunk);
      }
      footer.add_group(n, chunks, &offset);
      EXPECT_EQ(offset, bytes.size());
      if (at % 2 == 0) tail += footer.take();
    }
    footer.end();
    return write("t.parquet", bytes + tail + footer.take());
  }
};

TEST_F(FlatParquet, EveryDoubleComesBackInAnyRowGroups) {
  const std::vector<std::string> texts = {"a", "", "ü\n", "d", "e"};
  const std::vector<std::vector<double>> numbers = {{1.5, -2, 1e300, 5e-324, 0.1},
                                                    {NAN, 1, NAN, INFINITY, -INFINITY},
                                                    {NAN, NAN, NAN, NAN, NAN},
                                                    {0.0, -0.0, 1, 2, 3}};
  for (const std::size_t group : {1UL, 2UL, 5UL}) {
    const auto table =
        rows("SELECT * FROM read_parquet(" + sql_text(file(texts, numbers, false, group)) + ")");
    ASSERT_TRUE(table) << table.error().message;
    ASSERT_EQ(table->size(), 5U) << group;
    EXPECT_THAT((*table)[0], ElementsAre("a", "1.5", std::nullopt, std::nullopt, "0.0"));
    EXPECT_THAT((*table)[1], ElementsAre("", "-2.0", "1.0", std::nullopt, "-0.0"));
    EXPECT_THAT((*table)[2], ElementsAre("ü\n", "1e+300", std::nullopt, std::nullopt, "1.0"));
    EXPECT_THAT((*table)[3], ElementsAre("d", "5e-324", "inf", std::nullopt, "2.0"));
    EXPECT_THAT((*table)[4], ElementsAre("e", "0.1", "-inf", std::nullopt, "3.0"));
  }
}

TEST_F(FlatParquet, WholeNumbersStayWholeNumbers) {
  const std::string path = file({"a", "b", "c"}, {{1, NAN, -9007199254740992.0}}, true, 3);
  const auto table = rows("SELECT typeof(c0), c0 FROM read_parquet(" + sql_text(path) + ")");
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_THAT((*table)[0], ElementsAre("BIGINT", "1"));
  EXPECT_THAT((*table)[1], ElementsAre("BIGINT", std::nullopt));
  EXPECT_THAT((*table)[2], ElementsAre("BIGINT", "-9007199254740992"));
}

TEST_F(FlatParquet, BoundsOfChunksAreThoseOfTheirValues) {
  const std::string path = file({"a", "b", "c", "d"}, {{3, -1, NAN, 7}, {0, 0, 0, 0}}, false, 2);
  const auto table =
      rows("SELECT stats_min_value, stats_max_value, stats_null_count FROM parquet_metadata(" +
           sql_text(path) + ") WHERE path_in_schema = 'c0' ORDER BY row_group_id");
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_THAT((*table)[0], ElementsAre("-1.0", "3.0", "0"));
  EXPECT_THAT((*table)[1], ElementsAre("7.0", "7.0", "1"));
  // And they are believed: rows outside of them are found, none is lost.
  for (const char* where :
       {"c0 = 7", "c0 < 0", "c1 = 0 AND c0 = 3", "c1 >= -0.0 AND label = 'a'"}) {
    const auto found =
        rows("SELECT label FROM read_parquet(" + sql_text(path) + ") WHERE " + where);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->size(), 1U) << where;
  }
}

TEST_F(FlatParquet, ManyColumnsAndLongOnes) {
  std::vector<std::vector<double>> numbers(3000);
  for (std::size_t c = 0; c < numbers.size(); ++c)
    for (std::size_t r = 0; r < 20; ++r) numbers[c].push_back(static_cast<double>(c * r) / 7);
  const std::vector<std::string> texts(20, "x");
  const std::string path = file(texts, numbers, false, 20);
  const auto table =
      rows("SELECT c2999, c0, c1234 FROM read_parquet(" + sql_text(path) + ") LIMIT 1 OFFSET 19");
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(std::stod(*(*table)[0][0]), 2999.0 * 19 / 7);
  EXPECT_EQ(std::stod(*(*table)[0][2]), 1234.0 * 19 / 7);
}

// Chunks that zstd hardly makes smaller are packed otherwise, or not at all.
TEST_F(FlatParquet, NoisyDigitsComeBackToo) {
  std::mt19937_64 random(9);
  constexpr std::size_t kRows = 900;
  std::vector<std::vector<double>> numbers(60);
  for (std::size_t c = 0; c < numbers.size(); ++c)
    for (std::size_t r = 0; r < kRows; ++r) {
      const double digits = static_cast<double>(random() % 300'000) / 1e4;
      const double noise = std::ldexp(static_cast<double>(random()), -60);
      numbers[c].push_back(c % 3 == 2 && r % 7 == 0 ? NAN : c % 2 == 0 ? digits : noise);
    }
  const std::vector<std::string> texts(kRows, "x");
  const std::string path = file(texts, numbers, false, kRows);
  const auto codecs =
      rows("SELECT DISTINCT compression FROM parquet_metadata(" + sql_text(path) + ") ORDER BY 1");
  ASSERT_TRUE(codecs) << codecs.error().message;
  EXPECT_THAT(*codecs,
              ElementsAre(ElementsAre("SNAPPY"), ElementsAre("UNCOMPRESSED"), ElementsAre("ZSTD")));
  std::string list;
  for (std::size_t c = 0; c < numbers.size(); ++c) list += fmt::format(", c{}", c);
  const auto table = rows("SELECT label" + list + " FROM read_parquet(" + sql_text(path) + ")");
  ASSERT_TRUE(table) << table.error().message;
  for (std::size_t c = 0; c < numbers.size(); ++c)
    for (std::size_t r = 0; r < kRows; ++r) {
      const auto& cell = (*table)[r][c + 1];
      if (std::isnan(numbers[c][r]))
        EXPECT_FALSE(cell.has_value());
      else
        ASSERT_EQ(std::stod(*cell), numbers[c][r]) << c << " " << r;
    }
}

}  // namespace
}  // namespace polysome
