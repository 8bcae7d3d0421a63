// How datasets are cut and what their files may differ in.
#include "data/partitioner.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <random>

#include "data/data_fixture.h"
#include "data/file_look.h"

namespace polysome {
namespace {

using testing::HasSubstr;

class Partitioner : public DataTest {
 protected:
  Result<PartitionTable> made(const TableSource& source, std::uint64_t size, bool given = true,
                              std::uint32_t slots = 1) {
    CutRules rules;
    rules.partition_size = size;
    rules.size_given = given;
    rules.slots = slots;
    return make_partitions(source, rules);
  }
  // All partitions one by one, put together.
  Table read(const TableSource& source, const PartitionTable& table,
             const std::string& select = "SELECT * FROM v") {
    Table out;
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      const auto ranges = table.of(i);
      const auto report =
          open_view(*session_, "v", source, {ranges.begin(), ranges.end()}, ScanOptions());
      EXPECT_TRUE(report) << report.error().message;
      if (!report) return out;
      const auto part = rows(select);
      EXPECT_TRUE(part) << part.error().message;
      if (!part) return out;
      out.insert(out.end(), part->begin(), part->end());
    }
    return out;
  }
  TableSource good(Result<TableSource> source) {
    EXPECT_TRUE(source) << source.error().message;
    return source.value_or(TableSource());
  }
  // A source of files that are not there, for what needs only their sizes.
  static TableSource sized(const std::vector<std::uint64_t>& bytes) {
    TableSource out;
    out.format = "parquet";
    for (const auto b : bytes) {
      SourceFile f;
      f.bytes = b;
      f.rows = b / 10;
      out.files.push_back(f);
    }
    return out;
  }
};

TEST_F(Partitioner, TinyFilesAreReadTogetherAndLargeOnesSplit) {
  const auto table = made(sized({50, 60, 1'000'000, 70, 2'500'000, 10}), 1'000'000);
  ASSERT_TRUE(table);
  std::vector<std::size_t> ranges;
  for (std::uint32_t i = 0; i < table->size(); ++i) ranges.push_back(table->of(i).size());
  std::uint64_t total = 0;
  for (const auto& r : table->ranges) total += r.bytes;
  EXPECT_EQ(total, 3'500'190U);
  for (std::uint32_t i = 0; i < table->size(); ++i) {
    std::uint64_t bytes = 0;
    for (const auto& r : table->of(i)) bytes += r.bytes;
    EXPECT_LE(bytes, 1'000'000U) << i;
  }
  EXPECT_LE(table->size(), 8U);
  EXPECT_EQ(table->of(0).size(), 2U) << "the two small ones before the first large one";
}

TEST_F(Partitioner, AHundredThousandTinyFilesMakeFewPartitions) {
  const auto table = made(sized(std::vector<std::uint64_t>(100'000, 1000)), 100'000'000, false, 8);
  ASSERT_TRUE(table);
  EXPECT_GE(table->size(), 8U);
  EXPECT_LE(table->size(), 200U);
}

TEST_F(Partitioner, SlotsGetTheSameNumberOfPartitions) {
  // 150 MB are 2 partitions of 100 MB, but 8 slots can each have one of 19 MB.
  EXPECT_EQ(made(sized({150'000'000}), 100'000'000, false, 8)->size(), 8U);
  EXPECT_EQ(made(sized({876'000'000}), 100'000'000, false, 4)->size(), 12U);
  EXPECT_EQ(made(sized({20'000'000}), 100'000'000, false, 8)->size(), 2U)
      << "8 MB are worth a task";
  EXPECT_EQ(made(sized({1'000'000}), 100'000'000, false, 8)->size(), 1U);
  EXPECT_EQ(made(sized({150'000'000}), 100'000'000, true, 8)->size(), 2U)
      << "a given size is kept to";
  EXPECT_EQ(made(sized({10'000'000'000}), 100'000'000, false, 8)->size(), 104U);
}

TEST_F(Partitioner, PartitionsAreBalanced) {
  std::string text = "a,b\n";
  for (int i = 0; i < 50'000; ++i) text += std::to_string(i) + ",xyz\n";
  const auto source = good(look(write("t.csv", text)));
  const auto table = made(source, 100'000);
  ASSERT_TRUE(table);
  std::uint64_t least = UINT64_MAX, most = 0;
  for (const auto& r : table->ranges) {
    least = std::min(least, r.bytes);
    most = std::max(most, r.bytes);
  }
  EXPECT_LE(most, 100'000U);
  EXPECT_LE(most - least, 64U);
  EXPECT_TRUE(has_open_borders(source, *table));
}

TEST_F(Partitioner, FoldersNamedAfterValuesAreColumns) {
  write("d/year=2023/sex=f/a.csv", "x,y\n1,p\n");
  write("d/year=2023/sex=m/b.csv", "x,y\n2,q\n3,r\n");
  write("d/year=2024/sex=__HIVE_DEFAULT_PARTITION__/c.csv", "x,y\n4,s\n");
  write("d/year=2024/sex=a%2Fb/d.csv", "x,y\n5,t\n");
  const auto source = good(look(path("d")));
  ASSERT_EQ(source.columns.size(), 4U);
  EXPECT_EQ(source.columns[2].name, "year");
  EXPECT_EQ(source.columns[2].type, "int64");
  EXPECT_EQ(source.columns[3].type, "string");
  const Table expected = {{"1", "p", "2023", "f"},
                          {"2", "q", "2023", "m"},
                          {"3", "r", "2023", "m"},
                          {"4", "s", "2024", std::nullopt},
                          {"5", "t", "2024", "a/b"}};
  for (const std::uint64_t size : {1, 6, 1000}) {
    const auto table = made(source, size);
    ASSERT_TRUE(table);
    EXPECT_EQ(read(source, *table), expected) << size;
  }
  const auto table = made(source, 1000);
  EXPECT_EQ(read(source, *table, "SELECT x FROM v WHERE year = 2024"), (Table{{"4"}, {"5"}}));
  EXPECT_EQ(read(source, *table, "SELECT sex FROM v WHERE y = 'q'"), (Table{{"m"}}));
  // A glob names the same.
  EXPECT_EQ(read_all(good(look(path("d/year=2023/*/*.csv"))))->size(), 3U);
  const auto by_glob = good(look(path("d/year=*")));
  EXPECT_EQ(by_glob.columns.size(), 4U);
  // It survives the way through the plan.
  const auto again = TableSource::from_json(source.to_json());
  ASSERT_TRUE(again);
  EXPECT_EQ(read(*again, *table), expected);
}

TEST_F(Partitioner, FoldersOfDifferentKeysAreRefused) {
  write("d/year=2023/a.csv", "x\n1\n");
  write("d/month=1/b.csv", "x\n1\n");
  const auto source = look(path("d"));
  ASSERT_FALSE(source);
  EXPECT_THAT(source.error().message, HasSubstr("month"));
  EXPECT_THAT(source.error().message, HasSubstr("year"));
}

TEST_F(Partitioner, OnlyTheFolderColumnCanBeAskedFor) {
  write("d/k=7/a.csv", "x,y\n1,2\n3,4\n");
  const auto source = good(look(path("d"), {{"columns", {"k"}}}));
  EXPECT_EQ(read(source, *made(source, 100)), (Table{{"7"}, {"7"}}));
}

TEST_F(Partitioner, FilesThatLackColumnsReadThemAsMissing) {
  write("u/a.csv", "x,y\n1,2\n");
  write("u/b.csv", "z,x\nu,3\n");
  write("u/c.csv", "y,x\n5,6\n");
  const auto source = good(look(path("u")));
  const Table expected = {
      {"1", "2", std::nullopt}, {"3", std::nullopt, "u"}, {"6", "5", std::nullopt}};
  for (const std::uint64_t size : {1, 10, 1000})
    EXPECT_EQ(read(source, *made(source, size)), expected) << size;
  ASSERT_TRUE(source.dialect.contains("warnings"));
  EXPECT_EQ(source.dialect["warnings"][0]["code"], "columns_differ");
  EXPECT_EQ(source.dialect["warnings"][0]["count"], 3);
  EXPECT_EQ(read(source, *made(source, 1000), "SELECT z FROM v WHERE x = 3"), (Table{{"u"}}));
}

TEST_F(Partitioner, AColumnThatIsTextInOneFileIsToldOf) {
  write("t/a.csv", "x,n\na,1\n");
  write("t/b.csv", "x,n\nb,none so far\n");
  const auto source = good(look(path("t")));
  EXPECT_EQ(source.columns[1].type, "string");
  ASSERT_TRUE(source.dialect.contains("warnings"));
  const auto& w = source.dialect["warnings"][0];
  EXPECT_EQ(w["code"], "mixed_types");
  EXPECT_THAT(w["message"].get<std::string>(), HasSubstr("\"n\" is int64 in a.csv"));
  EXPECT_THAT(w["message"].get<std::string>(), HasSubstr("b.csv"));
}

TEST_F(Partitioner, ParquetFilesOfDifferentSchemasComeTogetherOrSayWhyNot) {
  const auto parquet = [&](const std::string& name, const std::string& select) {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    ASSERT_TRUE(session_->run("COPY (" + select + ") TO '" + path(name) + "' (FORMAT parquet)"));
  };
  parquet("p/a.parquet", "SELECT 1::INTEGER AS x, 'u' AS s");
  parquet("p/b.parquet", "SELECT 2.5::DOUBLE AS x, 3::BIGINT AS extra");
  parquet("p/c.parquet", "SELECT 'v' AS s, 7::TINYINT AS x");
  const auto source = good(look(path("p")));
  ASSERT_EQ(source.columns.size(), 3U);
  EXPECT_EQ(source.columns[0].type, "double");
  const Table expected = {
      {"1.0", "u", std::nullopt}, {"2.5", std::nullopt, "3"}, {"7.0", "v", std::nullopt}};
  EXPECT_EQ(read(source, *made(source, 1)), expected);
  EXPECT_EQ(read(source, *made(source, 1'000'000)), expected);

  parquet("w/a.parquet", "SELECT 1::BIGINT AS x");
  parquet("w/b.parquet", "SELECT 2.5::DOUBLE AS x");
  const auto wide = good(look(path("w")));
  EXPECT_EQ(read(wide, *made(wide, 1'000'000)), (Table{{"1.0"}, {"2.5"}}))
      << "the second file is not read by the types of the first";

  parquet("q/a.parquet", "SELECT 1::BIGINT AS x");
  parquet("q/b.parquet", "SELECT 'one' AS x");
  const auto clash = look(path("q"));
  ASSERT_FALSE(clash);
  EXPECT_EQ(clash.error().message, "column \"x\" is int64 in a.parquet and string in b.parquet");
  EXPECT_THAT(clash.error().hint, HasSubstr("layout"));
  const auto declared = good(look(path("q"), {{"types", {{"x", "string"}}}}));
  EXPECT_EQ(read(declared, *made(declared, 1'000'000)), (Table{{"1"}, {"one"}}));

  parquet("h/k=1/a.parquet", "SELECT 1 AS x");
  parquet("h/k=2/a.parquet", "SELECT 2 AS x");
  const auto hive = good(look(path("h")));
  EXPECT_EQ(read(hive, *made(hive, 1'000'000)), (Table{{"1", "1"}, {"2", "2"}}));
}

TEST_F(Partitioner, AChangedFileIsNoticedAlsoWhenSizeAndTimeAreTheSame) {
  const std::string file = write("t.csv", "a,b\n1,2\n");
  const auto source = good(look(file));
  const auto before = source.fingerprint();
  struct stat st{};
  ASSERT_EQ(::stat(file.c_str(), &st), 0);
  write("t.csv", "a,b\n1,3\n");
  const timespec times[2] = {st.st_atim, st.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  const auto view = open_view(*session_, "v", source, {{0, 4, 4, 4, 0}}, {});
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().code, Code::kIo);
  EXPECT_THAT(view.error().message, HasSubstr("t.csv was changed"));
  EXPECT_NE(good(look(file)).fingerprint(), before);
}

TEST_F(Partitioner, TablesOfPartitionsComeBackAsWritten) {
  PartitionTable made;
  for (std::uint32_t i = 0; i < 300; ++i) {
    std::vector<Partition> ranges;
    for (std::uint32_t k = 0; k <= i % 3; ++k)
      ranges.push_back({i % 7, i * 1'000'000'007ULL + k, i + 1ULL, i + 2ULL, i * 5ULL});
    made.add(std::move(ranges));
  }
  ASSERT_TRUE(write_partitions(path("p.bin"), made));
  const auto all = read_partitions(path("p.bin"));
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->ends, made.ends);
  for (std::uint32_t i = 0; i < 300; ++i) {
    const auto one = read_partition(path("p.bin"), i);
    ASSERT_TRUE(one);
    ASSERT_EQ(one->size(), made.of(i).size());
    EXPECT_EQ(one->back().offset, made.of(i).back().offset);
    EXPECT_EQ(one->back().rows, all->of(i).back().rows);
  }
  EXPECT_FALSE(read_partition(path("p.bin"), 300));
  const auto bytes = std::filesystem::file_size(path("p.bin"));
  std::filesystem::resize_file(path("p.bin"), bytes - 1);
  EXPECT_FALSE(read_partitions(path("p.bin")));
  EXPECT_FALSE(read_partition(path("p.bin"), 299));
}

}  // namespace
}  // namespace polysome
