#include "daemon/dataset_catalog.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace polysome {
namespace {
namespace fs = std::filesystem;

class Catalog : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::canonical(fs::temp_directory_path()) /
            ("catalog-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "-" +
             std::to_string(reinterpret_cast<std::uintptr_t>(this)));
    fs::create_directories(root_ / "data/liver");
    fs::create_directories(root_ / "elsewhere");
    for (const char* name :
         {"data/my_dataset.csv", "data/salmon.merged.gene_counts.tsv.gz", "data/two.csv",
          "data/two.parquet", "data/liver/counts.tsv", "elsewhere/secret.csv", "data/notes.pdf"})
      std::ofstream(root_ / name) << "a\n1\n";
    fs::create_symlink(root_ / "elsewhere/secret.csv", root_ / "data/link.csv");
  }
  void TearDown() override { fs::remove_all(root_); }

  DatasetCatalog catalog() { return DatasetCatalog({(root_ / "data").string()}, false); }
  std::string source(const std::string& id) {
    const auto r = catalog().resolve(id, "/dataset_id");
    return r ? fs::path(r->source).lexically_relative(root_ / "data").string() : r.error().message;
  }

  fs::path root_;
};

TEST_F(Catalog, NamesStandForFilesWithoutTheirEndings) {
  EXPECT_EQ(source("my_dataset"), "my_dataset.csv");
  EXPECT_EQ(source("my_dataset.csv"), "my_dataset.csv");
  EXPECT_EQ(source("salmon.merged.gene_counts"), "salmon.merged.gene_counts.tsv.gz");
}

TEST_F(Catalog, PathsAndGlobsLieBelowADataFolder) {
  EXPECT_EQ(source("liver/counts.tsv"), "liver/counts.tsv");
  EXPECT_EQ(source((root_ / "data/liver/counts.tsv").string()), "liver/counts.tsv");
  EXPECT_EQ(source("liver/*.tsv"), "liver/*.tsv");
  EXPECT_EQ(source("liver"), "liver");
}

TEST_F(Catalog, WhatLiesElsewhereIsRefusedAlsoThroughLinks) {
  for (const std::string& id :
       {std::string("../elsewhere/secret.csv"), (root_ / "elsewhere/secret.csv").string(),
        std::string("link"), std::string("link.csv"), std::string("../elsewhere/*.csv")}) {
    const auto r = catalog().resolve(id, "/dataset_id");
    ASSERT_FALSE(r) << id;
    EXPECT_NE(r.error().message.find("not below a data folder"), std::string::npos)
        << r.error().message;
  }
}

TEST_F(Catalog, TwoCandidatesAreNamedBoth) {
  const auto r = catalog().resolve("two", "/dataset_id");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kConflict);
  EXPECT_NE(r.error().message.find("two.csv"), std::string::npos);
  EXPECT_NE(r.error().message.find("two.parquet"), std::string::npos);
}

TEST_F(Catalog, AMistypedNameGetsTheNearest) {
  const auto r = catalog().resolve("my_datset", "/dataset_id");
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().message.find("Did you mean \"my_dataset\"?"), std::string::npos)
      << r.error().message;
  EXPECT_EQ(r.error().errors.at(0).pointer, "/dataset_id");
}

}  // namespace
}  // namespace polysome
