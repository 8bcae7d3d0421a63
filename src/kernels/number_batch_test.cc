// Numbers side by side are, bit for bit, those one by one, on every kind of CPU.
#include "kernels/number_batch.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/number_text.h"
#include "kernels/text_marks.h"

namespace polysome {
namespace {

class NumberBatch : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { use_vector_target(GetParam()); }
  void TearDown() override { use_vector_target(0); }
};

TEST_P(NumberBatch, IsEachNumberByItself) {
  std::mt19937_64 random(16);
  std::uint64_t taken_in_all = 0, all = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t n = 1 + random() % kNumberBatch;
    std::string text = "01234567,";
    std::vector<std::uint32_t> marks{8};
    for (std::size_t i = 0; i < n; ++i) {
      std::string field;
      const auto size = random() % 11;
      for (std::size_t k = 0; k < size; ++k)
        field += round % 4 == 0 ? "0123456789.-+e \r\xe9"[random() % 17]
                                : static_cast<char>('0' + random() % 10);
      if (random() % 3 != 0 && !field.empty()) field[random() % field.size()] = '.';
      if (random() % 4 == 0 && !field.empty()) field[0] = '-';
      text += field;
      marks.push_back(static_cast<std::uint32_t>(text.size()));
      text += ',';
    }
    std::vector<double> out(n);
    const std::uint64_t taken = convert_fields(text.data(), marks.data(), n, out.data());
    for (std::size_t i = 0; i < n; ++i) {
      double expected = 0;
      const char* const end = text.data() + marks[i + 1];
      const bool good = quick_double(text.data() + marks[i] + 1, end, end - 8, &expected);
      const bool was_taken = (taken >> i & 1) != 0;
      // A minus before eight letters makes nine: they may be left to the full reader.
      if (marks[i + 1] - marks[i] - 1 <= 8) {
        ASSERT_EQ(was_taken, good)
            << std::string_view(text).substr(marks[i] + 1, marks[i + 1] - marks[i] - 1);
      }
      ASSERT_TRUE(good || !was_taken);
      if (was_taken) {
        ASSERT_EQ(std::bit_cast<std::uint64_t>(out[i]), std::bit_cast<std::uint64_t>(expected));
      }
      taken_in_all += good ? 1 : 0;
    }
    if (n < 64) {
      ASSERT_EQ(taken >> n, 0U);
    }
    all += n;
  }
  EXPECT_GT(taken_in_all, all / 2);
}

TEST_P(NumberBatch, FieldsAnywhereAreEachByItself) {
  std::mt19937_64 random(17);
  std::uint64_t taken_in_all = 0, all = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t n = 1 + random() % kNumberBatch;
    std::string text = "0123456789.12345,";
    std::vector<std::pair<std::size_t, std::size_t>> fields;  // begin, end
    for (std::size_t i = 0; i < n; ++i) {
      std::string field;
      const auto size = random() % 19;
      for (std::size_t k = 0; k < size; ++k)
        field += round % 4 == 0 ? "0123456789.-+e \r\xe9"[random() % 17]
                                : static_cast<char>('0' + random() % 10);
      if (random() % 3 != 0 && !field.empty()) field[random() % field.size()] = '.';
      if (random() % 4 == 0 && !field.empty()) field[0] = '-';
      fields.emplace_back(text.size(), text.size() + field.size());
      text += field;
      text += ',';
    }
    std::shuffle(fields.begin(), fields.end(), random);
    std::vector<const char*> ends;
    std::vector<std::uint64_t> sizes;
    for (const auto& [begin, end] : fields) {
      ends.push_back(text.data() + end);
      sizes.push_back(end - begin);
    }
    std::vector<double> out(n);
    const std::uint64_t taken = convert_spread(ends.data(), sizes.data(), n, out.data());
    for (std::size_t i = 0; i < n; ++i) {
      double expected = 0;
      const bool good = quick_double(ends[i] - sizes[i], ends[i], ends[i] - 16, &expected);
      const bool was_taken = (taken >> i & 1) != 0;
      // The longest ones may be left to the full reader.
      if (sizes[i] <= 15) {
        ASSERT_EQ(was_taken, good) << std::string_view(ends[i] - sizes[i], sizes[i]);
      }
      ASSERT_TRUE(good || !was_taken) << std::string_view(ends[i] - sizes[i], sizes[i]);
      if (was_taken) {
        ASSERT_EQ(std::bit_cast<std::uint64_t>(out[i]), std::bit_cast<std::uint64_t>(expected))
            << std::string_view(ends[i] - sizes[i], sizes[i]);
      }
      taken_in_all += was_taken ? 1 : 0;
    }
    if (n < 64) {
      ASSERT_EQ(taken >> n, 0U);
    }
    all += n;
  }
  EXPECT_GT(taken_in_all, all / 2);
}

INSTANTIATE_TEST_SUITE_P(EachCpu, NumberBatch, testing::ValuesIn(vector_targets()),
                         [](const auto& info) {
                           return std::string(vector_target_name(info.param));
                         });

}  // namespace
}  // namespace polysome
