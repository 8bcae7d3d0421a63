// Arrow IPC files as tables: what SQL writes comes back by batches, row ranges and columns.
#include "data/arrow_source.h"

#include "data/data_fixture.h"
#include "kernels/arrow_scan.h"

namespace polysome {
namespace {

class ArrowSource : public DataTest {
 protected:
  std::string write_query(const std::string& name, const std::string& select,
                          const std::string& compression = "none") {
    const auto rows = write_arrow(*session_, select, path(name), compression);
    EXPECT_TRUE(rows) << rows.error().message;
    return path(name);
  }
};

constexpr const char* kAllTypes =
    "SELECT i::BIGINT AS whole, i / 3 AS real, i % 2 = 0 AS flag, DATE '2020-02-28' + i::INTEGER "
    "AS day, TIMESTAMP '2020-02-28 23:59:59.123456' + INTERVAL (i) HOUR AS moment, "
    "CASE WHEN i % 7 = 3 THEN NULL WHEN i % 7 = 4 THEN '' ELSE 'ü\"' || chr(10) || i END AS text, "
    "(['low', 'high'])[1 + i % 2]::ENUM('low', 'high') AS level, (i + 0.25)::DECIMAL(9, 2) AS "
    "exact "
    "FROM range(5000) r(i)";

TEST_F(ArrowSource, EveryTypeComesBackInAnyCut) {
  for (const char* compression : {"none", "zstd"}) {
    const auto file = write_query("all.arrow", kAllTypes, compression);
    const auto source = look(file);
    ASSERT_TRUE(source) << source.error().message;
    EXPECT_EQ(source->format, "arrow");
    EXPECT_EQ(source->files[0].rows, 5000U);
    std::vector<std::string> types;
    for (const auto& c : source->columns) types.push_back(c.type);
    types.resize(6);
    EXPECT_EQ(types,
              (std::vector<std::string>{"int64", "double", "bool", "date", "timestamp", "string"}));
    const auto expected = rows(kAllTypes);
    ASSERT_TRUE(expected);
    for (const std::uint64_t size : {1'000'000'000U, 40'000U, 7'001U}) {
      const auto read = read_all(*source, size);
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_EQ(*read, *expected) << size;
    }
  }
}

TEST_F(ArrowSource, OnlyColumnsAskedForAreReadInAnyOrder) {
  const auto file = write_query("all.feather", kAllTypes);
  const auto source = look(file, {{"columns", {"text", "whole"}}});
  ASSERT_TRUE(source) << source.error().message;
  const auto partitions = cut(*source, 30'000);
  ASSERT_TRUE(partitions);
  ASSERT_GT(partitions->size(), 2U);
  const auto report = open_view(*session_, "v", *source, {(*partitions)[1]}, {});
  ASSERT_TRUE(report) << report.error().message;
  const auto first = (*partitions)[1].offset;
  const auto read = rows("SELECT whole FROM v LIMIT 1");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, (Table{{std::to_string(first)}}));
  EXPECT_EQ(rows("SELECT count(*) FROM v")->at(0)[0], std::to_string((*partitions)[1].length));
}

TEST_F(ArrowSource, NanIsMissingAndInfinityANumber) {
  const auto file = write_query(
      "reals.ipc", "SELECT unnest(['nan'::DOUBLE, 'inf', '-inf', NULL, 0.1, 5e-324]) AS x");
  const auto source = look(file);
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(*read_all(*source),
            (Table{{std::nullopt}, {"inf"}, {"-inf"}, {std::nullopt}, {"0.1"}, {"5e-324"}}));
}

TEST_F(ArrowSource, AFileWithoutRowsIsATable) {
  const auto source = look(write_query("none.arrow", "SELECT 1 AS a, 'x' AS b WHERE false"));
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(source->columns.size(), 2U);
  EXPECT_EQ(*read_all(*source), Table{});
}

TEST_F(ArrowSource, WhatIsNoArrowOrCutShortIsNamed) {
  const auto whole = write_query("whole.arrow", kAllTypes);
  std::ifstream in(whole, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (const auto& [name, content] :
       {std::pair<std::string, std::string>{"short.arrow", bytes.substr(0, bytes.size() / 2)},
        {"old.feather", "FEA1....................FEA1"},
        {"text.ipc", "gene,expression\nA,1\n"}}) {
    const auto source = look(write(name, content));
    ASSERT_FALSE(source) << name;
    EXPECT_EQ(source.error().code, Code::kUserData) << source.error().message;
    EXPECT_NE(source.error().message.find(name), std::string::npos) << source.error().message;
  }
}

TEST_F(ArrowSource, AnErrorOnTheWayIsToldNotATableCutShort) {
  const auto rows = write_arrow(*session_,
                                "SELECT CASE WHEN i < 900000 THEN i ELSE ('x' || i)::BIGINT END AS "
                                "a FROM range(1000000) r(i)",
                                path("broken.arrow"), "none");
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Code::kUserData) << rows.error().message;
}

}  // namespace
}  // namespace polysome
