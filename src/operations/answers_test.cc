#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "kernels/session.h"
#include "operations/job_driver.h"
#include "operations/study_data.h"
#include "operations/test_folder.h"

namespace polysome {
namespace {

class Answers : public testing::Test {
 protected:
  Json filtered(int parts) {
    const std::string source = data.csv(folder / "study.csv");
    driver.description.spec.partition_size =
        std::filesystem::file_size(source) / static_cast<std::uint64_t>(parts) + 1;
    auto result = driver.run("filter", Json::object(), {source});
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result.value_or(Json());
  }
  Json dataset(const std::string& path) {
    DatasetRef ref;
    ref.id = "study";
    ref.source = path;
    return ref.to_json();
  }

  TestFolder folder;
  JobDriver driver{folder.path()};
  StudyData data{1500};
};

TEST_F(Answers, PagesFollowOneAnotherOverFiles) {
  const Json result = filtered(7);
  Json all = Json::array();
  Json offset = 0;
  int pages = 0;
  while (!offset.is_null()) {
    const Json page = driver.answer({{"kind", "result_page"},
                                     {"files", result["tables"][0]["files"]},
                                     {"columns", {"note", "reads"}},
                                     {"offset", offset},
                                     {"limit", 400}});
    EXPECT_EQ(page.at("n_rows"), 1500);
    for (const auto& row : page.at("rows")) all.push_back(row);
    offset = page.at("next_offset");
    ++pages;
  }
  EXPECT_EQ(pages, 4);
  ASSERT_EQ(all.size(), 1500U);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].at("note"), data.rows()[i].note);
    EXPECT_EQ(all[i].size(), 2U);
  }
}

TEST_F(Answers, PageStopsAtItsBytes) {
  const Json result = filtered(1);
  const Json page = driver.answer({{"kind", "result_page"},
                                   {"files", result["tables"][0]["files"]},
                                   {"limit", 1000},
                                   {"max_bytes", 2000}});
  EXPECT_LE(dump(page.at("rows")).size(), 2100U);
  EXPECT_GT(page.at("rows").size(), 3U);
  EXPECT_EQ(page.at("next_offset"), page.at("rows").size());
}

// All rows as text, piece after piece; `pieces`: how many there were.
std::string all_text(JobDriver& driver, const TestFolder& folder, const Json& table,
                     const std::string& format, std::uint64_t max_bytes, int* pieces) {
  std::string out;
  *pieces = 0;
  for (Json offset = 0; !offset.is_null(); ++*pieces) {
    const std::string path = folder / fmt::format("scratch/text-{}-{}", max_bytes, *pieces);
    const Json answer = driver.answer({{"kind", "result_text"},
                                       {"files", table["files"]},
                                       {"n_columns", table["n_columns"]},
                                       {"format", format},
                                       {"offset", offset},
                                       {"max_bytes", max_bytes},
                                       {"path", path}});
    const std::string text = read_file(path).value_or("");
    EXPECT_EQ(answer.at("bytes"), text.size());
    out += text;
    offset = answer.at("next_offset");
    EXPECT_TRUE(std::filesystem::remove(path));
  }
  return out;
}

TEST_F(Answers, TextIsThatOfThePagesInAnyPieces) {
  const Json table = filtered(5)["tables"][0];
  const Json page =
      driver.answer({{"kind", "result_page"}, {"files", table["files"]}, {"limit", 5000}});
  std::string lines;
  for (const auto& row : page.at("rows")) lines += dump(row) + "\n";
  int pieces = 0;
  EXPECT_EQ(all_text(driver, folder, table, "ndjson", 1'000'000'000, &pieces), lines);
  EXPECT_EQ(pieces, 1);
  EXPECT_EQ(all_text(driver, folder, table, "ndjson", 10'000, &pieces), lines);
  EXPECT_GT(pieces, 5);
  const std::string csv = all_text(driver, folder, table, "csv", 1'000'000'000, &pieces);
  EXPECT_TRUE(csv.starts_with("sample,"));
  EXPECT_EQ(all_text(driver, folder, table, "csv", 10'000, &pieces), csv);
}

TEST_F(Answers, TextOfAVeryWideTableIsThatOfANarrowOne) {
  // Of two files with several row groups, numbers and texts that are missing in places.
  std::string select;
  for (int c = 0; c < 2500; ++c) {
    const std::string value =
        c % 3 == 0   ? fmt::format("CASE WHEN (i + {0}) % 7 > 0 THEN i::DOUBLE / {0} END", c + 1)
        : c % 3 == 1 ? fmt::format("CASE WHEN (i + {0}) % 5 > 0 THEN i * {0} END", c + 1)
                     : fmt::format("CASE WHEN (i + {0}) % 4 > 0 THEN 'a,' || i END", c);
    select += fmt::format("{}{} AS c{}", c > 0 ? ", " : "", value, c);
  }
  SessionConfig config;
  config.temp_folder = folder / "scratch";
  config.allowed_directories = {folder.path()};
  auto session = Session::open(config);
  ASSERT_TRUE(session);
  Json table = {{"n_columns", 2500}, {"files", Json::array()}};
  for (const auto& [first, end] : {std::pair(0, 70), std::pair(70, 90)}) {
    const std::string path = folder / fmt::format("wide{}.parquet", first);
    const auto made = (*session)->run(
        fmt::format("COPY (SELECT {} FROM range({}, {}) t(i)) TO {} (FORMAT parquet)", select,
                    first, end, sql_text(path)));
    ASSERT_TRUE(made) << made.error().message;
    table["files"].push_back({{"path", path}, {"n_rows", end - first}});
  }
  Json as_narrow = table;
  as_narrow["n_columns"] = 1;  // then DuckDB reads it
  int pieces = 0;
  for (const std::string format : {"csv", "ndjson"}) {
    const std::string narrow = all_text(driver, folder, as_narrow, format, 1'000'000'000, &pieces);
    EXPECT_EQ(all_text(driver, folder, table, format, 1'000'000'000, &pieces), narrow);
    EXPECT_EQ(all_text(driver, folder, table, format, 300'000, &pieces), narrow);
    EXPECT_GT(pieces, 1);
  }
}

TEST_F(Answers, TextIsOfTwoFormatsOnly) {
  const Json table = filtered(1)["tables"][0];
  const auto answer = driver.try_answer({{"kind", "result_text"},
                                         {"files", table["files"]},
                                         {"format", "xlsx"},
                                         {"max_bytes", 1},
                                         {"path", folder / "scratch/x"}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kInvalid);
}

TEST_F(Answers, UnknownColumnOfAResultNamesTheNearest) {
  const Json result = filtered(1);
  const auto page = driver.try_answer({{"kind", "result_page"},
                                       {"files", result["tables"][0]["files"]},
                                       {"columns", {"note", "redas"}}});
  ASSERT_FALSE(page.has_value());
  EXPECT_NE(page.error().message.find("did you mean \"reads\""), std::string::npos);
}

TEST_F(Answers, ResultFileIsWrittenInTheFormatAskedFor) {
  const Json result = filtered(3);
  const Json answer = driver.answer({{"kind", "result_file"},
                                     {"files", result["tables"][0]["files"]},
                                     {"format", "tsv"},
                                     {"columns", {"sample", "reads"}},
                                     {"limit", 2},
                                     {"path", folder / "scratch/out.tsv"}});
  const std::string text = read_file(folder / "scratch/out.tsv").value_or("");
  EXPECT_EQ(answer.at("bytes"), text.size());
  EXPECT_EQ(answer.at("rows"), 2);
  EXPECT_TRUE(text.starts_with("sample\treads\n" + data.rows()[0].sample + "\t"));
}

TEST_F(Answers, AnUnknownFormatIsRefusedNamingThoseThereAre) {
  const auto answer = driver.try_answer({{"kind", "result_file"}, {"format", "xlsx"}});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Code::kNotAcceptable);
  EXPECT_NE(answer.error().hint.find("parquet"), std::string::npos);
}

TEST_F(Answers, LostResultFilesAreGone) {
  const auto answer =
      driver.try_answer({{"kind", "result_page"}, {"files", {folder / "no.parquet"}}});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Code::kGone);
}

TEST_F(Answers, InspectTellsColumnsAndRows) {
  for (const auto& path :
       {data.csv(folder / "a.csv"), data.parquet(folder / "b.parquet"),
        data.compressed(folder / "c.csv.gz", "gzip"), data.ndjson(folder / "d.ndjson")}) {
    const Json answer = driver.answer({{"kind", "inspect"}, {"dataset", dataset(path)}});
    EXPECT_EQ(answer.at("n_rows"), 1500) << path;
    EXPECT_TRUE(answer.at("n_rows_exact").get<bool>());
    ASSERT_EQ(answer.at("columns").size(), 6U);
    EXPECT_EQ(answer["columns"][2].at("name"), "expression");
    EXPECT_EQ(answer["columns"][2].at("type"), "double");
    EXPECT_EQ(answer.at("files").size(), 1U);
  }
}

TEST_F(Answers, PartitionListsByteRangesWithoutGap) {
  const std::string path = data.csv(folder / "study.csv");
  const auto size = std::filesystem::file_size(path);
  const Json answer = driver.answer({{"kind", "partition"},
                                     {"dataset", dataset(path)},
                                     {"partition_size", size / 10},
                                     {"offset", 2},
                                     {"limit", 3}});
  EXPECT_EQ(answer.at("strategy"), "byte_ranges");
  EXPECT_GE(answer.at("n_partitions").get<int>(), 10);
  EXPECT_EQ(answer.at("total_size_bytes"), size);
  ASSERT_EQ(answer.at("partitions").size(), 3U);
  EXPECT_EQ(answer["partitions"][0].at("index"), 2);
  EXPECT_EQ(answer["partitions"][0].at("offset").get<std::uint64_t>() +
                answer["partitions"][0].at("length").get<std::uint64_t>(),
            answer["partitions"][1].at("offset").get<std::uint64_t>());
}

TEST_F(Answers, UnknownQuestionIsRefused) {
  EXPECT_FALSE(driver.try_answer({{"kind", "guess"}}).has_value());
}

}  // namespace
}  // namespace polysome
