#include "data/file_list.h"

#include <gtest/gtest.h>

#include <utility>

#include "data/data_fixture.h"

namespace polysome {
namespace {

class FileLists : public DataTest {};

SourceFile file(const std::string& path, std::uint64_t bytes) {
  SourceFile out;
  out.path = path;
  out.bytes = bytes;
  out.mtime_ns = 1'700'000'000'123'456'789;
  out.fingerprint = 0xfedcba9876543210;
  return out;
}

TEST_F(FileLists, AreReadAsTheyWereWritten) {
  FileList list;
  for (int i = 0; i < 1000; ++i) {
    SourceFile f = file("/data/k=" + std::to_string(i / 300) + "/f" + std::to_string(i),
                        std::uint64_t{1} << (i % 40));
    f.folder_values = FolderValues({std::to_string(i / 300), std::nullopt});
    f.data_offset = static_cast<std::uint64_t>(i);
    if (i % 7 == 0) f.rows = 0;
    if (i % 11 == 0) f.cuts = {3, UINT64_MAX};
    if (i == 500) f.fields = {1, kAbsent, 0};
    if (i == 501) f.compression = "gzip";
    if (i == 502) f.shown_as = "other";
    list.push_back(std::move(f));
  }
  const auto written = std::as_const(list).write(path("files.bin"));
  ASSERT_TRUE(written) << written.error().message;
  const auto back = FileList::open(path("files.bin"));
  ASSERT_TRUE(back) << back.error().message;
  ASSERT_EQ(back->size(), 1000U);
  EXPECT_EQ(back->facts().bytes, std::as_const(list).facts().bytes);
  EXPECT_TRUE(back->facts().compressed);
  EXPECT_FALSE(back->facts().same_columns);
  std::size_t i = 0;
  const auto same = [](const SourceFile& a, const SourceFile& b) {
    EXPECT_EQ(a.path, b.path);
    EXPECT_EQ(a.bytes, b.bytes);
    EXPECT_EQ(a.mtime_ns, b.mtime_ns);
    EXPECT_EQ(a.fingerprint, b.fingerprint);
    EXPECT_EQ(a.folder_values, b.folder_values);
    EXPECT_EQ(a.data_offset, b.data_offset);
    EXPECT_EQ(a.rows, b.rows);
    EXPECT_EQ(a.cuts, b.cuts);
    EXPECT_EQ(a.fields, b.fields);
    EXPECT_EQ(a.compression, b.compression);
    EXPECT_EQ(a.shown_as, b.shown_as);
  };
  for (const auto& f : *back) same(f, std::as_const(list)[i++]);
  EXPECT_EQ(i, 1000U);
  same((*back)[501], std::as_const(list)[501]);
  EXPECT_THROW((void)back->at(1000), std::out_of_range);
}

TEST_F(FileLists, ThatAreCutOffOrGoneAreLost) {
  const FileList list{file("/a/b", 1), file("/a/c", 2)};
  ASSERT_TRUE(list.write(path("files.bin")));
  std::filesystem::resize_file(path("files.bin"), 20);
  const auto cut = FileList::open(path("files.bin"));
  ASSERT_FALSE(cut);
  EXPECT_TRUE(cut.error().message.starts_with("output lost: ")) << cut.error().message;
  EXPECT_FALSE(FileList::open(path("none.bin")));
}

}  // namespace
}  // namespace polysome
