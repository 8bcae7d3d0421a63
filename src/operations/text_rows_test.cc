#include "operations/text_rows.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <random>

#include "kernels/session.h"

namespace polysome {
namespace {

TEST(TextRows, DoublesAreWrittenAsDuckdbWritesThem) {
  auto session = Session::open({});
  ASSERT_TRUE(session) << session.error().message;
  std::mt19937_64 random(7);
  for (int i = 0; i < 3000; ++i) {
    double value = std::bit_cast<double>(random());
    if (i % 3 == 0) value = static_cast<double>(static_cast<std::int64_t>(random() >> 20)) / 1e6;
    if (value != value) continue;
    std::string csv, json;
    append_double(&csv, value);
    append_json_double(&json, value);
    const std::string exact = fmt::format("'{:.17g}'::DOUBLE", value);
    EXPECT_EQ((*session)->text(fmt::format("SELECT {}::VARCHAR", exact)).value_or("?"), csv);
    EXPECT_EQ(std::strtod(csv.c_str(), nullptr), value);
    EXPECT_EQ((*session)->text(fmt::format("SELECT to_json({})::VARCHAR", exact)).value_or("?"),
              json);
  }
}

TEST(TextRows, TextsAreQuotedWhereTheyMustBe) {
  const auto csv = [](std::string_view text) {
    std::string out;
    append_csv_text(&out, text, ';');
    return out;
  };
  EXPECT_EQ(csv("a,b"), "a,b");
  EXPECT_EQ(csv("a;b"), "\"a;b\"");
  EXPECT_EQ(csv("say \"x\""), "\"say \"\"x\"\"\"");
  EXPECT_EQ(csv(""), "\"\"");
  EXPECT_EQ(csv("#1"), "\"#1\"");
  EXPECT_EQ(csv("a\rb"), "\"a\rb\"");
  std::string json;
  append_json_text(&json, "a\"b\\c\n\x01\xc3\xa5");
  EXPECT_EQ(json, "\"a\\\"b\\\\c\\n\\u0001\xc3\xa5\"");
}

}  // namespace
}  // namespace polysome
