#include "kernels/group_index.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

namespace polysome {
namespace {

TEST(GroupIndex, NumbersKeysOfAnyBytesInTheOrderTheyCome) {
  std::mt19937_64 random(12);
  GroupIndex index;
  std::map<std::string, std::uint32_t> expected;
  for (int i = 0; i < 100'000; ++i) {
    std::string key(random() % 40, ' ');
    for (auto& c : key) c = static_cast<char>(random() % 3);
    const auto hash = GroupIndex::hash(key);
    index.prefetch(hash);
    const auto found = index.find(key, hash);
    const auto it = expected.find(key);
    if (const auto guess = index.guess(hash); guess != GroupIndex::kNone) {
      ASSERT_LT(guess, index.size());
    }
    if (it == expected.end()) {
      ASSERT_EQ(found, GroupIndex::kNone);
      ASSERT_EQ(index.add(key, hash), expected.size());
      expected.emplace(key, static_cast<std::uint32_t>(expected.size()));
    } else {
      ASSERT_EQ(found, it->second);
    }
  }
  EXPECT_EQ(index.size(), expected.size());
  for (const auto& [key, group] : expected) EXPECT_EQ(index.key(group), key);
}

}  // namespace
}  // namespace polysome
