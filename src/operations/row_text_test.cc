#include "operations/row_text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "model/json.h"

namespace polysome {
namespace {

// What a row of JSON says, as a page of a result has it.
std::string real_json(double value) { return dump(number_json(value)) + "\n"; }

TEST(RowText, DoublesAreThoseOfJson) {
  std::mt19937_64 random(7);
  std::vector<double> values = {
      0.0, -0.0, 5.0, 0.1, 1e22, 1e-5, 123456.789, 5e-324, std::numeric_limits<double>::max()};
  for (int i = 0; i < 20'000; ++i) values.push_back(std::bit_cast<double>(random()));
  for (int i = 0; i < 20'000; ++i)
    values.push_back(std::round(std::uniform_real_distribution<>(-1e4, 1e4)(random) * 1e4) / 1e4);
  RowText rows(RowText::Format::kCsv, {"x"});
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    rows.buffer().clear();
    rows.real(v);
    rows.end_row();
    ASSERT_EQ(rows.buffer(), real_json(v));
  }
}

TEST(RowText, CsvQuotesWhatItMust) {
  RowText rows(RowText::Format::kCsv, {"a,b", "c"});
  rows.header();
  rows.text("plain text");
  rows.text("with \"quotes\",\nlines");
  rows.end_row();
  rows.missing();
  rows.real(HUGE_VAL);
  rows.end_row();
  rows.boolean(true);
  rows.whole(std::numeric_limits<std::int64_t>::min());
  rows.end_row();
  EXPECT_EQ(rows.buffer(),
            "\"a,b\",c\nplain text,\"with \"\"quotes\"\",\nlines\"\n,Infinity\n"
            "true,-9223372036854775808\n");
}

TEST(RowText, NdjsonIsWhatTheJsonWriterWrites) {
  const std::vector<std::string> names = {"t", "x\"y", "n", "b", "m"};
  const std::vector<std::string> texts = {"plain", "\x01\t\"\\", "µg/mL — é", "", "NaN"};
  RowText rows(RowText::Format::kNdjson, names);
  rows.header();
  for (const auto& t : texts) {
    for (const std::int64_t n :
         {std::int64_t{-7}, std::int64_t{1} << 53, (std::int64_t{1} << 53) + 1}) {
      rows.buffer().clear();
      rows.text(t);
      rows.real(-HUGE_VAL);
      rows.whole(n);
      rows.boolean(false);
      rows.missing();
      rows.end_row();
      const Json big = n > std::int64_t{1} << 53 ? Json(std::to_string(n)) : Json(n);
      EXPECT_EQ(
          rows.buffer(),
          dump(Json{{"t", t}, {"x\"y", "-Infinity"}, {"n", big}, {"b", false}, {"m", nullptr}}) +
              "\n");
    }
  }
}

TEST(RowText, WholeNumbersOfManyDigitsKeepThem) {
  RowText rows(RowText::Format::kNdjson, {"a", "b"});
  rows.whole("170141183460469231731687303715884105727");
  rows.whole("12");
  rows.end_row();
  EXPECT_EQ(rows.buffer(), "{\"a\":\"170141183460469231731687303715884105727\",\"b\":12}\n");
}

}  // namespace
}  // namespace polysome
