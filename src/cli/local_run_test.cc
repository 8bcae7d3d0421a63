#include "cli/local_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>

namespace polysome::cli {
namespace {

using ::testing::HasSubstr;

class MachineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / ("machine-" + std::to_string(::getpid()));
    put("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:  1 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  MachineShare look() {
    return look_at_machine([this](const std::string& name) { return variables_[name]; }, root_);
  }

  std::filesystem::path root_;
  std::map<std::string, std::string> variables_;
};

TEST_F(MachineTest, WithoutLimitsIsTheWholeMachine) {
  const auto m = look();
  EXPECT_EQ(m.memory, 16'000'000ULL * 1024);
  EXPECT_EQ(m.memory_by, "this machine");
  EXPECT_GE(m.cores, 1);
}

TEST_F(MachineTest, TheTightestGroupOnTheWayUpCounts) {
  put("proc/self/cgroup", "0::/slice/job\n");
  put("sys/fs/cgroup/slice/job/memory.max", "max\n");
  put("sys/fs/cgroup/slice/memory.max", "8000000000\n");
  put("sys/fs/cgroup/slice/job/cpu.max", "50000 100000\n");
  const auto m = look();
  EXPECT_EQ(m.memory, 8'000'000'000U);
  EXPECT_EQ(m.memory_by, "cgroup");
  EXPECT_EQ(m.cores, 1);
}

TEST_F(MachineTest, OldControlGroupsCountToo) {
  put("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n");
  put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000000000\n");
  EXPECT_EQ(look().memory, 3'000'000'000U);
  put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(look().memory_by, "this machine");
}

TEST_F(MachineTest, SlurmsShareCounts) {
  variables_ = {{"SLURM_CPUS_PER_TASK", "1"}, {"SLURM_MEM_PER_CPU", "2048"}};
  const auto m = look();
  EXPECT_EQ(m.cores, 1);
  EXPECT_EQ(m.memory, 2048ULL << 20);
  EXPECT_EQ(m.memory_by, "Slurm");
}

std::string nothing(const std::string&) { return ""; }

TEST(Share, TakesAllCoresAndFourFifthsOfMemory) {
  const MachineShare machine{8, "this machine", 10'000'000'000, "this machine"};
  const auto s = share_of(machine, 0, 0, "", nothing);
  EXPECT_EQ(s.cluster, (ClusterSpec{1, 8, 8'000'000'000}));
  EXPECT_EQ(s.line, "8 cores, 8GB memory (80 % of 10GB)");
}

TEST(Share, FollowsFlagsAndNamesWhatLimits) {
  const MachineShare machine{8, "Slurm", 10'000'000'000, "cgroup"};
  const auto s = share_of(machine, 4, 4'000'000'000, "/fast", nothing);
  EXPECT_EQ(s.cluster, (ClusterSpec{4, 2, 1'000'000'000}));
  EXPECT_EQ(s.line, "8 cores (Slurm), 4GB memory, 4 workers, scratch /fast");
  const auto env = [](const std::string& name) {
    return name == "SLURM_TMPDIR" ? "/slurm" : "/tmp";
  };
  EXPECT_THAT(share_of(machine, 0, 0, "", env).scratch, "/slurm");
}

TEST(Share, KeepsThreadsFewWhenMemoryIsShort) {
  const auto s = share_of({64, "this machine", 1'000'000'000, "cgroup"}, 0, 0, "", nothing);
  EXPECT_EQ(s.cluster.threads_per_worker, 3);
  const auto large =
      share_of({200, "this machine", 1'000'000'000'000, "this machine"}, 0, 0, "", nothing);
  EXPECT_EQ(large.cluster.n_workers, 4);
  EXPECT_EQ(large.cluster.threads_per_worker, 50);
}

TEST(WorkFolder, IsTheSameForTheSameJobOnly) {
  const Json a = {{"operation", "x"}, {"parameters", {{"p", 1}, {"q", 2}}}};
  const Json b = {{"parameters", {{"q", 2}, {"p", 1}}}, {"operation", "x"}};
  EXPECT_EQ(work_folder_of(a, {"/f"}), work_folder_of(b, {"/f"}));
  EXPECT_NE(work_folder_of(a, {"/f"}), work_folder_of(a, {"/g"}));
  EXPECT_NE(work_folder_of(a, {"/f", "/g"}), work_folder_of(a, {"/f/g"}));
  EXPECT_EQ(work_folder_of(a, {}).size(), std::string(".polysome/").size() + 16);
}

TEST(Sources, MistypedFilesGetTheNearest) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("sources-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "counts.tsv") << "x";
  const auto good =
      absolute_sources({(folder / "counts.tsv").string(), (folder / "*.csv").string()});
  ASSERT_TRUE(good);
  EXPECT_EQ(good->at(0), (folder / "counts.tsv").string());
  const auto bad = absolute_sources({(folder / "count.tsv").string()});
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr("did you mean \"" + (folder / "counts.tsv").string()));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace polysome::cli
