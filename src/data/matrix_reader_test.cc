// Text into blocks of a matrix: the same values as ps_scan gives, in any blocks and partitions.
#include "data/matrix_reader.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <random>

#include "data/data_fixture.h"

namespace polysome {
namespace {

using testing::HasSubstr;

class MatrixReading : public DataTest {
 protected:
  struct Block {
    std::vector<double> values;
    std::vector<std::string> labels;
  };
  static Result<Block> read(const TableSource& source, const std::vector<Partition>& partitions,
                            const std::vector<std::uint32_t>& columns, std::size_t rows_at_once) {
    Block out;
    for (const auto& p : partitions) {
      POLYSOME_ASSIGN(const auto scan, make_text_scan(source, {p}, {}));
      MatrixReader reader(scan, {0}, columns);
      std::vector<double> block(rows_at_once * columns.size());
      for (;;) {
        std::vector<MatrixReader::Label> labels;
        POLYSOME_ASSIGN(const std::size_t n, reader.read(rows_at_once, block.data(), &labels));
        for (auto& label : labels) out.labels.push_back(label.value_or("missing"));
        out.values.insert(out.values.end(), block.begin(),
                          block.begin() + static_cast<std::ptrdiff_t>(n * columns.size()));
        if (n < rows_at_once) break;
      }
    }
    return out;
  }
  static bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (!(std::isnan(a[i]) && std::isnan(b[i])) &&
          std::bit_cast<std::uint64_t>(a[i]) != std::bit_cast<std::uint64_t>(b[i]))
        return false;
    return true;
  }
  // What SQL reads.
  std::vector<double> by_sql(const TableSource& source, const std::vector<std::uint32_t>& columns) {
    auto partitions = cut(source, 1'000'000'000);
    EXPECT_TRUE(open_view(*session_, "v", source, *partitions, {}));
    std::string list;
    for (const auto c : columns)
      list += (list.empty() ? "CAST(" : ", CAST(") + sql_identifier(source.columns[c].name) +
              " AS DOUBLE)";
    auto result = session_->query("SELECT " + list + " FROM v");
    EXPECT_TRUE(result) << result.error().message;
    std::vector<double> out;
    while (duckdb_data_chunk chunk = result->fetch())
      for (idx_t r = 0; r < duckdb_data_chunk_get_size(chunk); ++r)
        for (std::size_t c = 0; c < columns.size(); ++c) {
          duckdb_vector v = duckdb_data_chunk_get_vector(chunk, c);
          auto* validity = duckdb_vector_get_validity(v);
          const bool there = validity == nullptr || duckdb_validity_row_is_valid(validity, r);
          out.push_back(there ? static_cast<double*>(duckdb_vector_get_data(v))[r] : std::nan(""));
        }
    return out;
  }
};

// 300 rows x 130 columns of all ways to write numbers.
std::string awkward_matrix() {
  std::mt19937_64 random(11);
  const std::vector<std::string> odd = {
      "NA", "", " 7 ", "1e-3", "\"2.5\"", "-0", "inf", "1234567890.12345678", "-inf", ".", "+4"};
  std::string out = "gene";
  for (int c = 0; c < 130; ++c) out += ",s" + std::to_string(c);
  for (int r = 0; r < 300; ++r) {
    out += "\n\"g\"\"" + std::to_string(r) + (r % 7 == 0 ? "\nx\"" : "\"");
    for (int c = 0; c < 130; ++c) {
      out += ',';
      if (c % 13 == 5)
        out += std::to_string(random() % 1000);  // a column of whole numbers
      else if (random() % 10 == 0)
        out += odd[random() % odd.size()];
      else
        out += std::to_string(static_cast<double>(random() % 100'000'000) / 1000);
    }
    if (r % 3 == 0) out += '\r';
  }
  return out + "\n";
}

TEST_F(MatrixReading, BlocksOfRowsAndColumnsHoldWhatSqlReads) {
  const auto source = look(write("m.csv", awkward_matrix()));
  ASSERT_TRUE(source) << source.error().message;
  ASSERT_EQ(source->columns[6].type, "int64");
  ASSERT_EQ(source->columns[1].type, "double");
  std::vector<std::uint32_t> all, some, few = {3, 77, 101};
  for (std::uint32_t c = 1; c <= 130; ++c) all.push_back(c);
  for (std::uint32_t c = 40; c <= 90; ++c) some.push_back(c);
  const auto partitions = cut(*source, 1'000'000'000);
  ASSERT_TRUE(partitions);
  for (const auto& columns : {all, some, few}) {
    const auto expected = by_sql(*source, columns);
    for (const std::size_t rows : {1UL, 7UL, 300UL, 1000UL}) {
      const auto block = read(*source, *partitions, columns, rows);
      ASSERT_TRUE(block) << block.error().message;
      EXPECT_TRUE(same_bits(block->values, expected))
          << columns.size() << " columns, " << rows << " rows at once";
      ASSERT_EQ(block->labels.size(), 300U);
      EXPECT_EQ(block->labels[0], "g\"0\nx");
      EXPECT_EQ(block->labels[299], "g\"299");
    }
  }
}

TEST_F(MatrixReading, PartitionsOfAnySizeMakeOneMatrix) {
  std::string text = "id\ta\tb\n";
  for (int i = 0; i < 40; ++i)
    text += "r" + std::to_string(i) + "\t" + std::to_string(i) + ".5\t-1\n";
  const auto source = look(write("m.tsv", text));
  ASSERT_TRUE(source);
  const auto expected = by_sql(*source, {1, 2});
  for (std::uint64_t size = 1; size < 60; size += 7) {
    const auto partitions = cut(*source, size);
    ASSERT_TRUE(partitions);
    const auto block = read(*source, *partitions, {1, 2}, 5);
    ASSERT_TRUE(block);
    EXPECT_TRUE(same_bits(block->values, expected)) << "partitions of " << size;
    EXPECT_EQ(block->labels.size(), 40U);
  }
}

TEST_F(MatrixReading, RepairedRowsLackTheirLastValues) {
  const auto source = look(write("m.tsv", "id\ta\tb\nx\t1\t2\ny\t3\nz\n"), {{"ragged", "repair"}});
  ASSERT_TRUE(source) << source.error().message;
  const auto partitions = cut(*source, 1'000'000);
  const auto block = read(*source, *partitions, {1, 2}, 8);
  ASSERT_TRUE(block) << block.error().message;
  const double none = std::nan("");
  EXPECT_TRUE(same_bits(block->values, {1, 2, 3, none, none, none}));
}

TEST_F(MatrixReading, WhatIsNoNumberIsNamedWithItsPlace) {
  Json layout = {{"types", {{"a", "double"}}}};
  const auto source = look(write("m.csv", "id,a\nx,1\ny,oops\n"), layout);
  const auto block = read(*source, *cut(*source, 1'000'000), {1}, 8);
  ASSERT_FALSE(block);
  EXPECT_THAT(block.error().message, HasSubstr("m.csv, line 3, column \"a\": \"oops\""));
}

TEST_F(MatrixReading, WholeNumbersThatNoDoubleHoldsAreRefused) {
  const auto source = look(write("m.csv", "id,a\nx,9007199254740993\n"));
  ASSERT_EQ(source->columns[1].type, "int64");
  const auto block = read(*source, *cut(*source, 1'000'000), {1}, 8);
  ASSERT_FALSE(block);
  EXPECT_THAT(block.error().message, HasSubstr("line 2: column \"a\" holds 9007199254740993"));
}

}  // namespace
}  // namespace polysome
