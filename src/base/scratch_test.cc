#include "base/scratch.h"

#include <gtest/gtest.h>

#include <fstream>
#include <optional>

namespace polysome {
namespace {

namespace fs = std::filesystem;

class Scratch : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "polysome_scratch_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
    for (const char* sub : {"scratch/s0", "out/deep", "other"})
      fs::create_directories(folder / sub);
  }
  void TearDown() override { fs::remove_all(folder); }
  fs::path make(const std::string& name) const {
    std::ofstream(folder / name) << "x";
    return folder / name;
  }
  // Notes that nobody takes back, as those of a process that was killed.
  void note(const fs::path& path) const {
    std::ofstream(folder / "scratch/s0" / (std::to_string(++notes) + ".elsewhere"))
        << path.string();
  }
  void clean() const {
    ASSERT_TRUE(remove_scratch(folder / "scratch", {(folder / "out").string()}));
    EXPECT_FALSE(fs::exists(folder / "scratch"));
  }

  fs::path folder;
  mutable int notes = 0;
};

TEST_F(Scratch, WhatAKilledProcessNotedIsRemoved) {
  const fs::path file = make("out/deep/.t.csv.job.1.2.tmp");
  fs::create_directories(folder / "out/.parts.tmp/inner");
  note(file);
  note(folder / "out/.parts.tmp");
  clean();
  EXPECT_FALSE(fs::exists(file));
  EXPECT_FALSE(fs::exists(folder / "out/.parts.tmp"));
  EXPECT_TRUE(fs::exists(folder / "out/deep"));
}

TEST_F(Scratch, NotesOfAnythingElseAreNotObeyed) {
  const std::vector<fs::path> kept = {make("out/precious.csv"), make("other/.t.tmp"),
                                      make("out/.hidden")};
  for (const auto& path : kept) note(path);
  note(folder / "out/../other/.t.tmp");
  note(folder / "out");
  note("out/.relative.tmp");
  fs::create_directory_symlink(folder / "other", folder / "out/link");
  note(folder / "out/link/.t.tmp");
  clean();
  for (const auto& path : kept) EXPECT_TRUE(fs::exists(path)) << path;
}

TEST_F(Scratch, ANoteGoesWithItsObject) {
  {
    auto mine = NoteOfTemporary::make(folder / "scratch/s0", folder / "out/.a.tmp");
    ASSERT_TRUE(mine);
    EXPECT_FALSE(fs::is_empty(folder / "scratch/s0"));
    const NoteOfTemporary moved = *std::move(mine);
    EXPECT_FALSE(fs::is_empty(folder / "scratch/s0"));
  }
  EXPECT_TRUE(fs::is_empty(folder / "scratch/s0"));
}

}  // namespace
}  // namespace polysome
