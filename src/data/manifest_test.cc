#include "data/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/files.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ManifestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "polysome-manifest-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    job_ = pattern;
    fs::create_directories(job_ / "scan");
  }
  void TearDown() override { (void)polysome::remove_all(job_); }

  TaskSpec attempt(std::uint64_t n, std::uint32_t index = 17) const {
    TaskSpec spec;
    spec.task.index = index;
    spec.attempt = {3, n};
    spec.stage_name = "scan";
    spec.job_folder = job_.string();
    return spec;
  }
  Manifest wrote(const TaskSpec& spec, const std::string& content) const {
    const auto path = output_path(spec, "part.csv");
    std::ofstream(path) << content;
    Manifest m;
    m.attempt = spec.attempt;
    m.files.push_back({path.filename().string(), "part.csv", 0, 2, ""});
    m.result.attempt = spec.attempt;
    m.result.rows = 2;
    return m;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& e : fs::directory_iterator(job_ / "scan"))
      out.push_back(e.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }
  fs::path job_;
};

TEST_F(ManifestTest, FilesCarryTheirAttemptAndTheManifestTheTask) {
  EXPECT_EQ(output_path(attempt(9), "table.parquet"), job_ / "scan" / "17.3.9.table.parquet");
  EXPECT_EQ(manifest_path(job_ / "scan", 17, false), job_ / "scan" / "17.json");
  EXPECT_EQ(manifest_path(job_ / "scan", 17, true), job_ / "scan" / "17.in.json");
}

TEST_F(ManifestTest, TheFirstAttemptWinsAndTheSecondLeavesNothing) {
  const auto first = attempt(1), second = attempt(2);
  EXPECT_TRUE(publish(first, wrote(first, "a\n1\n"), true).value());
  EXPECT_FALSE(publish(second, wrote(second, "a\n2\n"), true).value());
  EXPECT_THAT(names(), ::testing::ElementsAre("17.3.1.part.csv", "17.json"));
  const auto m = read_manifest(job_ / "scan", 17, true);
  ASSERT_TRUE(m) << m.error().message;
  EXPECT_EQ(m->attempt, first.attempt);
  EXPECT_EQ(m->result.rows, 2u);
  ASSERT_EQ(m->files.size(), 1u);
  EXPECT_EQ(m->files[0].bytes, 4u);
  EXPECT_EQ(m->files[0].rows, 2u);
  EXPECT_EQ(m->files[0].xxhash.size(), 16u);
}

TEST_F(ManifestTest, ManyAttemptsAtOnceHaveOneWinner) {
  for (std::uint32_t index = 0; index < 20; ++index) {
    std::atomic<int> wins = 0;
    std::vector<std::thread> threads;
    for (std::uint64_t n = 1; n <= 8; ++n)
      threads.emplace_back([&, n] {
        const auto spec = attempt(n, index);
        const auto won = publish(spec, wrote(spec, "v" + std::to_string(n)), false);
        if (won && *won) ++wins;
      });
    for (auto& t : threads) t.join();
    EXPECT_EQ(wins, 1);
    EXPECT_TRUE(read_manifest(job_ / "scan", index, true));
  }
}

TEST_F(ManifestTest, PublishingTheSameAttemptTwiceKeepsItsFiles) {
  const auto spec = attempt(1);
  const auto manifest = wrote(spec, "a\n1\n");
  EXPECT_TRUE(publish(spec, manifest, false).value());
  EXPECT_TRUE(publish(spec, manifest, false).value());
  EXPECT_TRUE(read_manifest(job_ / "scan", 17, true));
}

TEST_F(ManifestTest, TheRerunInsideQuotesIsPreferred) {
  auto outside = attempt(1), inside = attempt(2);
  inside.start_inside_quotes = true;
  EXPECT_TRUE(publish(outside, wrote(outside, "wrong"), false).value());
  EXPECT_TRUE(publish(inside, wrote(inside, "right"), false).value());
  EXPECT_EQ(read_manifest(job_ / "scan", 17, true)->attempt, inside.attempt);
}

TEST_F(ManifestTest, AnAbsentManifestIsALostOutput) {
  const auto m = read_manifest(job_ / "scan", 17, false);
  ASSERT_FALSE(m);
  EXPECT_EQ(m.error().code, Code::kIo);
  EXPECT_THAT(m.error().message, StartsWith("output lost: scan/17: "));
}

TEST_F(ManifestTest, AFileOfAnotherSizeIsALostOutput) {
  const auto spec = attempt(1);
  ASSERT_TRUE(publish(spec, wrote(spec, "a\n1\n"), false).value());
  std::ofstream(output_path(spec, "part.csv")) << "a\n1";
  const auto m = read_manifest(job_ / "scan", 17, false);
  ASSERT_FALSE(m);
  EXPECT_THAT(m.error().message, StartsWith("output lost: scan/17: "));
  EXPECT_THAT(m.error().message, HasSubstr("has 3 bytes; its manifest says 4"));
}

TEST_F(ManifestTest, AChangedFileOfTheSameSizeIsFoundByItsHashOnly) {
  const auto spec = attempt(1);
  ASSERT_TRUE(publish(spec, wrote(spec, "a\n1\n"), false).value());
  std::ofstream(output_path(spec, "part.csv")) << "a\n2\n";
  EXPECT_TRUE(read_manifest(job_ / "scan", 17, false));
  const auto m = read_manifest(job_ / "scan", 17, true);
  ASSERT_FALSE(m);
  EXPECT_THAT(m.error().message, StartsWith("output lost: scan/17: "));
}

TEST_F(ManifestTest, AManifestWhoseFilesAreGoneOrDamagedIsReplaced) {
  const auto first = attempt(1), second = attempt(2), third = attempt(3);
  ASSERT_TRUE(publish(first, wrote(first, "a\n1\n"), false).value());
  fs::remove(output_path(first, "part.csv"));
  EXPECT_TRUE(publish(second, wrote(second, "a\n1\n"), false).value());
  std::ofstream(output_path(second, "part.csv")) << "a\n2\n";
  EXPECT_TRUE(publish(third, wrote(third, "a\n1\n"), false).value());
  EXPECT_EQ(read_manifest(job_ / "scan", 17, true)->attempt, third.attempt);
}

TEST_F(ManifestTest, AnUnreadableManifestIsALostOutputAndIsReplaced) {
  std::ofstream(job_ / "scan" / "17.json") << R"({"attempt":"3-1","files":[{"name":"../x"}]})";
  EXPECT_FALSE(read_manifest(job_ / "scan", 17, false));
  const auto spec = attempt(2);
  EXPECT_TRUE(publish(spec, wrote(spec, "a\n1\n"), false).value());
  EXPECT_TRUE(read_manifest(job_ / "scan", 17, true));
}

TEST_F(ManifestTest, NamesThatLeaveTheFolderAreRefused) {
  const auto j = parse_trusted_json(
      R"({"attempt":"3-1","files":[{"name":"../x","role":"r","bytes":1,"rows":0,"xxhash":""}],)"
      R"("result":{"attempt":"3-1"}})");
  ASSERT_TRUE(j);
  const auto m = Manifest::from_json(*j);
  ASSERT_FALSE(m);
  EXPECT_THAT(m.error().message, HasSubstr("../x"));
}

TEST_F(ManifestTest, AFileThatWasNeverWrittenFailsThePublication) {
  const auto spec = attempt(1);
  auto manifest = wrote(spec, "a\n");
  manifest.files.push_back({"17.3.1.none", "none", 0, 0, ""});
  const auto won = publish(spec, manifest, true);
  ASSERT_FALSE(won);
  EXPECT_EQ(won.error().code, Code::kIo);
  EXPECT_THAT(won.error().message, HasSubstr("17.3.1.none"));
  EXPECT_FALSE(fs::exists(job_ / "scan" / "17.json"));
}

TEST_F(ManifestTest, AManifestThatCannotBeWrittenIsNotPublished) {
  const auto spec = attempt(1);
  const auto manifest = wrote(spec, "a\n");
  // A folder that takes no bytes: every write beyond the limit fails, as on a full disk.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit none{0, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &none);
  const auto won = publish(spec, manifest, false);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(won);
  EXPECT_THAT(won.error().message, HasSubstr("17.json"));
  EXPECT_THAT(names(), ::testing::ElementsAre("17.3.1.part.csv"));
}

TEST_F(ManifestTest, DiscardingTakesTheAttemptsFilesAndNoOthers) {
  const auto one = attempt(1), eleven = attempt(11);
  (void)wrote(one, "x");
  (void)wrote(eleven, "y");
  discard_outputs(one);
  EXPECT_THAT(names(), ::testing::ElementsAre("17.3.11.part.csv"));
}

}  // namespace
}  // namespace polysome
