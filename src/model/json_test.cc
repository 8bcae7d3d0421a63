#include "model/json.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace polysome {
namespace {

TEST(Json, AMillionDoublesSurviveARoundTripExactly) {
  std::mt19937_64 random(1);
  int wrong = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const auto back = parse_trusted_json(dump(Json{value}));
    if (!back || std::bit_cast<std::uint64_t>((*back)[0].get<double>()) !=
                     std::bit_cast<std::uint64_t>(value))
      ++wrong;
  }
  EXPECT_EQ(wrong, 0);
}

TEST(Json, DuplicateKeysAreRefusedByName) {
  const auto r = parse_json(R"({"a":1,"b":{"a":2,"a":3}})");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kMalformed);
  EXPECT_NE(r.error().message.find("\"a\" stands twice"), std::string::npos) << r.error().message;
}

TEST(Json, NestingDeeperThan32IsRefusedAndThe32ndIsNot) {
  const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(parse_json(nested(32)));
  const auto r = parse_json(nested(33));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kMalformed);
  EXPECT_FALSE(parse_json(std::string(500'000, '[')));
}

TEST(Json, ErrorsNameLineAndColumn) {
  const auto r = parse_json("{\n  \"a\": ?\n}");
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().message.find("line 2, column 8"), std::string::npos) << r.error().message;
}

TEST(Json, TextsThatAreNotUtf8AreRefusedInRequestsAndReplacedInAnswers) {
  EXPECT_FALSE(parse_json("{\"a\":\"\xff\"}"));
  EXPECT_EQ(dump(Json{"\xff"}), "[\"\xef\xbf\xbd\"]");
}

TEST(Json, HugeObjectsAreRefused) {
  std::string text = "{";
  for (int i = 0; i < 5000; ++i) text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":1";
  EXPECT_FALSE(parse_json(text + "}"));
}

TEST(Json, NumbersThatJsonCannotHoldBecomeTexts) {
  EXPECT_EQ(dump(number_json(std::numeric_limits<double>::infinity())), "\"Infinity\"");
  EXPECT_EQ(dump(number_json(std::nan(""))), "\"NaN\"");
  EXPECT_EQ(dump(number_json(4)), "4.0");
}

TEST(ObjectReader, UnknownFieldsNameTheNearestKnownOne) {
  const Json body = {{"n_worker", 3}};
  ObjectReader r(body, "");
  r.integer("n_workers", 1, 32);
  const auto status = r.finish();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "unknown field \"n_worker\"; did you mean \"n_workers\"?");
  EXPECT_EQ(status.error().errors.at(0).pointer, "/n_worker");
}

TEST(ObjectReader, RangesAndTypesAreChecked) {
  const Json body = {{"a", 33}, {"b", "2GB"}, {"c", 1.5}, {"d", 4.0}};
  ObjectReader good(body, "");
  EXPECT_EQ(good.bytes("b"), 2'000'000'000u);
  EXPECT_EQ(good.integer("d", 1, 9), 4);
  EXPECT_TRUE(good.ok());
  EXPECT_FALSE(good.integer("c", 1, 9));
  EXPECT_FALSE(good.ok());
  ObjectReader range(body, "");
  EXPECT_FALSE(range.integer("a", 1, 32));
  const auto status = range.finish();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "a must be a whole number from 1 to 32, not 33");
}

}  // namespace
}  // namespace polysome
