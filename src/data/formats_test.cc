// Finding files and the other formats: folders, globs, compression, Parquet, NDJSON, JSON.
#include <gmock/gmock.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdlib>

#include "data/data_fixture.h"

namespace polysome {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string gzipped(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<unsigned>(text.size());
  z.next_out = reinterpret_cast<unsigned char*>(out.data());
  z.avail_out = static_cast<unsigned>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string zstd_packed(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

class Formats : public DataTest {
 protected:
  Result<TableSource> unpacked(const TableSource& source, std::uint64_t partition_size) {
    std::vector<UnpackedPart> parts;
    for (std::uint32_t f = 0; f < source.files.size(); ++f) {
      POLYSOME_ASSIGN(const auto made, unpack(*session_, source, f, partition_size,
                                              path("unpacked." + std::to_string(f) + "."), {}));
      for (const auto& p : made) {
        EXPECT_EQ(p.bytes, std::filesystem::file_size(p.path));
        parts.push_back(p);
      }
    }
    parts_ = parts.size();
    return unpacked_source(source, parts);
  }
  std::size_t parts_ = 0;
};

TEST_F(Formats, CompressedTextIsUnpackedIntoPartsOfWholeRows) {
  std::string text = "# note\ngene,text,x\n";
  for (int i = 0; i < 1000; ++i)
    text += "g" + std::to_string(i) + ",\"a\n\"\"b\"\"," + "\"," + std::to_string(i) + ".5\n";
  const auto plain = look(write("p.csv", text));
  ASSERT_TRUE(plain);
  const Table expected = *read_all(*plain);
  ASSERT_EQ(expected.size(), 1000U);
  for (const auto& [name, bytes] :
       {std::pair("t.csv.gz", gzipped(text)), std::pair("t.csv.zst", zstd_packed(text)),
        std::pair("two.csv.gz", gzipped(text.substr(0, 7000)) + gzipped(text.substr(7000)))}) {
    const auto packed = look(write(name, bytes));
    ASSERT_TRUE(packed) << packed.error().message;
    EXPECT_FALSE(packed->splittable());
    for (const std::uint64_t size : {5'000ULL, 100'000'000ULL}) {
      const auto source = unpacked(*packed, size);
      ASSERT_TRUE(source) << source.error().message;
      EXPECT_TRUE(source->splittable());
      EXPECT_EQ(parts_ > 1, size < text.size());
      EXPECT_EQ(*read_all(*source), expected) << name << " " << size;
      EXPECT_EQ(*read_in_parts(*source, 3001), expected) << name << " " << size;
      const auto back = TableSource::from_json(source->to_json());
      EXPECT_EQ(*read_all(*back), expected);
    }
  }
}

TEST_F(Formats, CompressionIsToldByTheContentNotTheName) {
  const auto s = look(write("t.csv", gzipped("a,b\n1,2\n")));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->files[0].compression, "gzip");
}

TEST_F(Formats, AnErrorInAnUnpackedPartNamesTheFileAndItsOwnLine) {
  std::string text = "g,x\n";
  for (int i = 0; i < 900; ++i) text += "a,1\n";
  const auto packed =
      look(write("t.csv.gz", gzipped(text + "a,bad\n")), {{"types", {{"x", "int64"}}}});
  ASSERT_TRUE(packed);
  const auto source = unpacked(*packed, 1000);
  ASSERT_TRUE(source);
  ASSERT_GT(parts_, 2U);
  const auto back = TableSource::from_json(source->to_json());
  const auto r = read_all(*back);
  ASSERT_FALSE(r);
  EXPECT_THAT(r.error().message, HasSubstr("t.csv.gz, line 902"));
}

TEST_F(Formats, DamagedArchivesAreNamed) {
  std::string bytes = gzipped("a,b\n" + std::string(100'000, '1') + ",2\n");
  const auto s = look(write("cut.csv.gz", bytes.substr(0, bytes.size() / 2)));
  const auto r = s ? unpacked(*s, 1000) : Result<TableSource>(std::unexpected(s.error()));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kUserData);
  EXPECT_THAT(r.error().message, HasSubstr("cut.csv.gz"));
}

TEST_F(Formats, DecompressionBombsAreRefused) {
  std::string text = "a\n" + std::string(130'000'000, '1');
  const std::string bytes = zstd_packed(text);
  ASSERT_LT(bytes.size(), 100'000U);
  const auto s = look(write("bomb.csv.zst", bytes), {{"types", {{"a", "string"}}}});
  const auto r = s ? unpacked(*s, 100'000'000) : Result<TableSource>(std::unexpected(s.error()));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kUserData);
}

TEST_F(Formats, FoldersGlobsAndListsAreReadInTheOrderOfTheirNames) {
  write("f/b.csv", "x,y\n3,4\n");
  write("f/a.csv", "x,y\n1,2\n");
  write("f/c.csv", "y,x\n6,5\n");  // another order of columns
  write("f/.hidden.csv", "q\n9\n");
  write("f/_SUCCESS", "");
  const Table expected = {{"1", "2"}, {"3", "4"}, {"5", "6"}};
  const auto folder = look(path("f"));
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ(*read_all(*folder), expected);
  EXPECT_EQ(*read_in_parts(*folder, 3), expected);
  EXPECT_EQ(*read_all(*look(path("f/*.csv"))), expected);
  DatasetRef list;
  list.id = "l";
  list.files = {path("f/c.csv"), path("f/a.csv")};
  const auto listed = inspect(*session_, list, {}, "fail");
  ASSERT_TRUE(listed);
  EXPECT_EQ(read_all(*listed)->size(), 2U);
}

TEST_F(Formats, FilesWithoutACommonColumnOrOfDifferentKindsAreNoDataset) {
  write("c/a.csv", "x,y\n1,2\n");
  write("c/b.csv", "p,q\n1,2\n");
  const auto columns = look(path("c"));
  ASSERT_FALSE(columns);
  EXPECT_THAT(columns.error().message, HasSubstr("b.csv"));
  EXPECT_THAT(columns.error().message, HasSubstr("x, y"));
  write("k/a.csv", "x\n1\n");
  write("k/b.json", "[]");
  const auto kinds = look(path("k"));
  ASSERT_FALSE(kinds);
  EXPECT_THAT(kinds.error().message, HasSubstr("b.json"));
}

TEST_F(Formats, FilesOutsideTheDataFoldersAreRefusedAlsoThroughLinks) {
  write("in/ok.csv", "x\n1\n");
  write("out/secret.csv", "x\n1\n");
  std::filesystem::create_symlink(path("out/secret.csv"), path("in/link.csv"));
  DatasetRef ref;
  ref.id = "d";
  for (const auto& [file, good] :
       {std::pair("in/ok.csv", true), std::pair("in/link.csv", false),
        std::pair("out/secret.csv", false), std::pair("in/../out/secret.csv", false)}) {
    ref.source = path(file);
    const auto s = inspect(*session_, ref, {path("in")}, "fail");
    EXPECT_EQ(s.has_value(), good) << file;
    if (!s) {
      EXPECT_EQ(s.error().code, Code::kForbidden) << s.error().message;
    }
  }
  std::filesystem::create_directory_symlink(path("in"), path("way"));
  ref.source = path("in/ok.csv");
  EXPECT_TRUE(inspect(*session_, ref, {path("way")}, "fail"))
      << "a data folder may itself be a link";
}

TEST_F(Formats, ParquetIsCutByRowsAndNanIsMissing) {
  const std::string file = path("t.parquet");
  ASSERT_TRUE(session_->run(
      "COPY (SELECT x::INTEGER AS i, CASE WHEN x % 10 = 0 THEN 'nan'::DOUBLE ELSE x / 4 END AS d, "
      "'t' || x AS t, x::FLOAT AS f FROM range(10000) r(x)) TO " +
      sql_text(file) + " (FORMAT parquet, ROW_GROUP_SIZE 2048)"));
  const auto s = look(file);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(s->files[0].rows, 10'000U);
  EXPECT_EQ(s->columns[0].type, "int64");
  EXPECT_EQ(s->columns[3].type, "double");
  const Table expected = *read_all(*s);
  ASSERT_EQ(expected.size(), 10'000U);
  EXPECT_EQ(expected[10][1], std::nullopt);
  EXPECT_EQ(expected[13][1], "3.25");
  for (const std::uint64_t size : {std::uint64_t{700}, s->files[0].bytes / 3, s->files[0].bytes}) {
    const auto parts = *cut(*s, size);
    std::uint64_t rows = 0, bytes = 0;
    for (const auto& p : parts) {
      rows += p.rows;
      bytes += p.bytes;
    }
    EXPECT_EQ(rows, 10'000U);
    EXPECT_NEAR(static_cast<double>(bytes), static_cast<double>(s->files[0].bytes),
                static_cast<double>(parts.size()));
    EXPECT_EQ(*read_in_parts(*s, size), expected) << size;
    EXPECT_EQ(*read_all(*s, size), expected) << size;
  }
}

TEST_F(Formats, NdjsonIsCutAtLinesAndTyped) {
  std::string text;
  Table expected;
  for (int i = 0; i < 200; ++i) {
    text += "{\"id\": " + std::to_string(i) +
            ", \"x\": " + (i % 3 == 0 ? "null" : std::to_string(i) + ".5") +
            ", \"s\": \"a\\n\\\"b\\\" é\", \"list\": [1, 2], \"ok\": true}\n";
    expected.push_back({std::to_string(i),
                        i % 3 == 0 ? std::nullopt : std::optional(std::to_string(i) + ".5"),
                        "a\n\"b\" é", "[1,2]", "true"});
  }
  const auto s = look(write("t.ndjson", text));
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(s->columns[0].type, "int64");
  EXPECT_EQ(s->columns[1].type, "double");
  EXPECT_EQ(s->columns[4].type, "bool");
  EXPECT_EQ(*read_all(*s), expected);
  for (const std::uint64_t size : {37, 1000}) EXPECT_EQ(*read_in_parts(*s, size), expected) << size;
  const auto packed = look(write("z.ndjson.gz", gzipped(text)));
  ASSERT_TRUE(packed);
  EXPECT_EQ(*read_all(*unpacked(*packed, 2000)), expected);
}

TEST_F(Formats, AMalformedNdjsonLineIsNamed) {
  std::string text;
  for (int i = 0; i < 10; ++i) text += "{\"x\": 1}\n";
  const auto s = look(write("t.ndjson", text + "{\"x\": \n"));
  ASSERT_FALSE(s);
  EXPECT_THAT(s.error().message, HasSubstr("t.ndjson, line 11"));
  const auto good = look(write("u.ndjson", text));
  ASSERT_TRUE(good);
  auto changed = *good;
  write("u.ndjson", text.substr(0, text.size() - 9) + "{\"x\": 1,\n");
  changed.files[0] = look(write("u.ndjson", text))->files[0];
  EXPECT_TRUE(read_all(changed));
}

TEST_F(Formats, AJsonArrayIsUnpackedToParquet) {
  const auto s =
      look(write("t.json", R"([{"id": 1, "x": 2.5, "s": "a"}, {"id": 2, "x": null, "s": "b"}])"));
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_FALSE(s->splittable());
  const auto source = unpacked(*s, 1000);
  ASSERT_TRUE(source) << source.error().message;
  const auto table = read_all(*source);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_THAT(*table,
              ElementsAre(ElementsAre("1", "2.5", "a"), ElementsAre("2", std::nullopt, "b")));
}

TEST_F(Formats, WhatIsNotThereOrEmptyIsSaidSo) {
  EXPECT_EQ(look(path("absent.csv")).error().code, Code::kIo);
  EXPECT_THAT(look(write("e.csv", "")).error().message, HasSubstr("empty"));
  EXPECT_FALSE(look(path("*.nothing")));
  EXPECT_FALSE(look(write("x.parquet", "not parquet at all")));
  EXPECT_FALSE(look(write("y.json", "{ not json")));
}

class SharedData : public DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    const char* named = std::getenv("POLYSOME_TEST_DATA");
    data_ = named != nullptr ? named : "../shared/data";
    if (!std::filesystem::exists(data_ / "breast-tcga"))
      GTEST_SKIP() << "real data are not in " << data_ << ": set POLYSOME_TEST_DATA";
  }
  std::filesystem::path data_;
};

TEST_F(SharedData, RealTablesAreTheSameForAnyPartitions) {
  for (const char* name : {"breast-tcga/mirna.tsv", "liver-toxicity/clinic.tsv",
                           "liver-toxicity/features.tsv", "nutrimouse/gene.tsv"}) {
    const auto s = look(std::filesystem::canonical(data_ / name).string());
    ASSERT_TRUE(s) << s.error().message;
    const auto whole = read_all(*s);
    ASSERT_TRUE(whole) << whole.error().message;
    EXPECT_GT(whole->size(), 30U);
    EXPECT_EQ(*read_in_parts(*s, 20'000), *whole) << name;
  }
}

TEST_F(SharedData, ShortRowsOfMaxquantAreRefusedByName) {
  const auto s =
      look(std::filesystem::canonical(data_ / "maxquant-proteingroups/proteinGroups.txt").string());
  const auto r = s ? read_all(*s) : Result<Table>(std::unexpected(s.error()));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kUserData);
  EXPECT_THAT(r.error().message, HasSubstr("proteinGroups.txt, line"));
  EXPECT_THAT(r.error().message, HasSubstr("115"));
}

TEST_F(SharedData, GzippedCsvIsReadThroughItsParts) {
  const auto s = look(std::filesystem::canonical(data_ / "vcf-1000g/covariates.csv.gz").string());
  ASSERT_TRUE(s) << s.error().message;
  const auto parts = unpack(*session_, *s, 0, 20'000, path("part."), {});
  ASSERT_TRUE(parts);
  const auto table = read_all(unpacked_source(*s, *parts));
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_GT(table->size(), 2000U);
}

}  // namespace
}  // namespace polysome
