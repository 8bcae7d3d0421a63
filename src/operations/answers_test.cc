#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
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
