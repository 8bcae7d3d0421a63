#include "kernels/record_sorter.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

namespace polysome {
namespace {

using Records = std::vector<std::pair<std::string, std::string>>;

class RecordSorterTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "polysome_runs_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder),
                                                  std::filesystem::directory_iterator()));
  }
  static Records random_records(std::size_t n, std::uint32_t keys, std::size_t body) {
    std::mt19937 random(5);
    Records out;
    for (std::size_t i = 0; i < n; ++i) {
      // Keys of several lengths, some the beginning of others, with zero bytes.
      std::string key(random() % keys % 12, '\0');
      key += fmt::format("{}", random() % keys);
      out.emplace_back(std::move(key), fmt::format("{:0{}}", i, body));
    }
    return out;
  }
  // A run of the records, and what it must hold.
  std::string sorted(const Records& records, std::size_t memory, const std::string& name,
                     std::optional<std::uint64_t> limit = {}) {
    const std::string path = folder + "/" + name;
    RecordSorter sorter(memory, path + ".aside", limit);
    for (const auto& [key, body] : records) EXPECT_TRUE(sorter.add(key, body));
    EXPECT_TRUE(sorter.finish(path));
    return path;
  }
  static Records read(RunMerge merge) {
    Records out;
    for (;;) {
      const auto more = merge.next();
      EXPECT_TRUE(more.has_value());
      if (!more || !*more) return out;
      out.emplace_back(merge.key(), merge.body());
    }
  }
  static Records in_order(Records records) {
    std::ranges::stable_sort(records, {}, &std::pair<std::string, std::string>::first);
    return records;
  }

  std::string folder;
};

TEST_F(RecordSorterTest, OrderIsStableHoweverLittleMemoryThereIs) {
  const Records records = random_records(60'000, 500, 200);
  for (const std::size_t memory : {std::size_t{4} << 20, std::size_t{1} << 30}) {
    const std::string path = sorted(records, memory, fmt::format("run{}", memory));
    const auto index = read_run_index(path);
    ASSERT_TRUE(index);
    EXPECT_EQ(index->records, records.size());
    auto merge = merge_between({path}, {*index}, nullptr, nullptr, 1 << 20);
    ASSERT_TRUE(merge);
    EXPECT_EQ(read(*std::move(merge)), in_order(records)) << memory;
  }
  EXPECT_EQ(files(), 2U) << "what was set aside is gone";
}

TEST_F(RecordSorterTest, LimitKeepsTheFirst) {
  const Records records = random_records(50'000, 300, 300);
  for (const std::uint64_t limit : {0, 1, 7000}) {
    const std::string path = sorted(records, 4 << 20, "run", limit);
    auto merge = merge_between({path}, {*read_run_index(path)}, nullptr, nullptr, 1 << 20);
    Records expected = in_order(records);
    expected.resize(limit);
    EXPECT_EQ(read(*std::move(merge)), expected) << limit;
  }
}

TEST_F(RecordSorterTest, RecordsLongerThanABlockAreKept) {
  Records records;
  for (int i = 0; i < 12; ++i)
    records.emplace_back(std::string(1, static_cast<char>('z' - i)),
                         std::string(static_cast<std::size_t>(i) * 150'000, 'x'));
  const std::string path = sorted(records, 4 << 20, "run");
  auto merge = merge_between({path}, {*read_run_index(path)}, nullptr, nullptr, 4096);
  EXPECT_EQ(read(*std::move(merge)), in_order(records));
  RecordSorter sorter(4 << 20, folder + "/one");
  const Status refused = sorter.add("k", std::string(3 << 20, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
}

// The parts of several runs, one after another, are all their records in order, and no part is much
// larger than the others, also where most records have the same key.
TEST_F(RecordSorterTest, PartsOfRunsAreTheWholeInOrder) {
  for (const std::uint32_t keys : {1U, 3U, 100'000U}) {
    const Records records = random_records(90'000, keys, 40);
    std::vector<std::string> paths;
    std::vector<RunIndex> runs;
    for (std::size_t i = 0; i < 3; ++i) {
      const Records some(records.begin() + static_cast<std::ptrdiff_t>(i * 30'000),
                         records.begin() + static_cast<std::ptrdiff_t>((i + 1) * 30'000));
      paths.push_back(sorted(some, 1 << 30, fmt::format("run{}", i)));
      runs.push_back(*read_run_index(paths.back()));
    }
    for (const bool together : {false, true})
      for (const std::uint32_t parts : {1U, 2U, 7U, 50U}) {
        const auto cuts = cut_runs(runs, parts, together);
        ASSERT_EQ(cuts.size(), parts - 1);
        Records all;
        std::string last;
        for (std::uint32_t part = 0; part < parts; ++part) {
          auto merge = merge_between(paths, runs, part > 0 ? &cuts[part - 1] : nullptr,
                                     part + 1 < parts ? &cuts[part] : nullptr, 1 << 16);
          ASSERT_TRUE(merge);
          const Records mine = read(*std::move(merge));
          if (!together) {
            EXPECT_LT(mine.size(), 2 * records.size() / parts + 3000);
          } else if (part > 0 && !mine.empty() && !all.empty()) {
            EXPECT_NE(mine.front().first, all.back().first) << "a key in two parts";
          }
          all.insert(all.end(), mine.begin(), mine.end());
        }
        EXPECT_EQ(all, in_order(records)) << keys << " keys, " << parts << " parts";
      }
  }
}

TEST_F(RecordSorterTest, ARunThatIsNotWholeIsRefused) {
  const std::string path = sorted(random_records(1000, 50, 20), 4 << 20, "run");
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_FALSE(read_run_index(path));
  std::filesystem::resize_file(path, 3);
  EXPECT_FALSE(read_run_index(path));
  std::ofstream(folder + "/empty");
  EXPECT_FALSE(read_run_index(folder + "/empty"));
  EXPECT_FALSE(read_run_index(folder + "/absent"));
}

}  // namespace
}  // namespace polysome
