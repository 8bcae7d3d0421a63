#include "base/control_groups.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/files.h"

namespace polysome {
namespace {
namespace fs = std::filesystem;

// A folder with the files that the kernel would show.
class ControlGroupsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "polysome-groups-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root = pattern;
    files = {root.string(), (root / "own").string()};
    write("own", "1:name=systemd:/x\n0::/job.slice/polysome.service\n");
    home = root / "job.slice/polysome.service";
    fs::create_directories(home / "service");
    write("job.slice/polysome.service/cgroup.controllers", "cpu memory pids\n");
    write("job.slice/polysome.service/cgroup.subtree_control", "");
    write("job.slice/polysome.service/cgroup.procs", std::to_string(::getpid()) + "\n");
    write("job.slice/polysome.service/service/cgroup.procs", "");
  }
  void TearDown() override { fs::remove_all(root); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(root / name) << text;
  }
  std::string text(const fs::path& path) const { return read_file(path).value_or("(none)"); }

  fs::path root, home;
  ControlGroupFiles files;
};

TEST_F(ControlGroupsTest, TheServiceMovesAsideAndDividesItsGroup) {
  const auto claimed = claim_control_group(files);
  ASSERT_TRUE(claimed) << claimed.error().message;
  EXPECT_EQ(*claimed, home.string());
  EXPECT_EQ(text(home / "service/cgroup.procs"), std::to_string(::getpid()));
  EXPECT_EQ(text(home / "cgroup.subtree_control"), "+memory");
}

TEST_F(ControlGroupsTest, AGroupWithOtherProcessesIsLeftAlone) {
  write("job.slice/polysome.service/cgroup.procs", std::to_string(::getpid()) + "\n1\n");
  const auto claimed = claim_control_group(files);
  ASSERT_FALSE(claimed);
  EXPECT_NE(claimed.error().message.find("other processes"), std::string::npos);
  EXPECT_EQ(text(home / "cgroup.subtree_control"), "");
}

TEST_F(ControlGroupsTest, WithoutTheMemoryControllerNothingIsChanged) {
  write("job.slice/polysome.service/cgroup.controllers", "cpu hugetlb\n");
  EXPECT_FALSE(claim_control_group(files));
  EXPECT_EQ(text(home / "service/cgroup.procs"), "");
  write("own", "4:memory:/x\n");
  EXPECT_FALSE(claim_control_group(files)) << "version 1 alone";
}

TEST_F(ControlGroupsTest, AGroupIsLimitedTellsItsKillsAndIsRemoved) {
  {
    auto group = ControlGroup::make((home / "w1").string());
    ASSERT_TRUE(group);
    // What the kernel would put there.
    for (const char* name : {"memory.max", "cgroup.procs"}) std::ofstream(home / "w1" / name);
    std::ofstream(home / "w1/memory.events") << "low 0\nmax 7\noom 2\noom_kill 1\n";
    EXPECT_TRUE(group->limit_memory(500'000'000));
    EXPECT_TRUE(group->add(4711));
    EXPECT_EQ(text(home / "w1/memory.max"), "500000000");
    EXPECT_EQ(text(home / "w1/cgroup.procs"), "4711");
    EXPECT_EQ(group->oom_kills(), 1U);
    fs::remove(home / "w1/memory.max");
    fs::remove(home / "w1/cgroup.procs");
    fs::remove(home / "w1/memory.events");
  }
  EXPECT_FALSE(fs::exists(home / "w1"));
}

}  // namespace
}  // namespace polysome
