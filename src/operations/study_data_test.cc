#include "operations/study_data.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/files.h"
#include "kernels/session.h"
#include "model/json.h"
#include "operations/byte_sink.h"

namespace polysome {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

void write(const std::string& path, const std::string& text) {
  const auto written = write_file(path, text, false);
  ASSERT_TRUE(written.has_value()) << written.error().message;
}

}  // namespace

StudyData::StudyData(std::size_t rows, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  for (std::size_t i = 0; i < rows; ++i) {
    StudyRow row;
    row.sample = fmt::format("s{:03}", below(40));
    if (below(10) > 0) row.batch = std::string(1, static_cast<char>('A' + below(3)));
    const double size = std::pow(10.0, static_cast<double>(below(12)) - 6);
    if (below(8) > 0)
      row.expression = (static_cast<double>(random() >> 11) * 0x1.0p-53 - 0.4) * size;
    if (below(20) == 0) row.expression = 2.5;
    if (below(9) > 0) row.reads = static_cast<std::int64_t>(below(50)) - 10;
    row.day = fmt::format("2024-01-{:02}", 1 + below(28));
    row.note =
        below(5) == 0 ? fmt::format("said \"{}\",\nthen left", i) : fmt::format("n{}", i % 97);
    rows_.push_back(std::move(row));
  }
}

std::string StudyData::csv_text(char delimiter, std::size_t from, std::size_t to) const {
  std::string out;
  const std::string d(1, delimiter);
  for (const char* name : {"sample", "batch", "expression", "reads", "day"}) out += name + d;
  out += "note\n";
  for (std::size_t i = from; i < std::min(to, rows_.size()); ++i) {
    const auto& r = rows_[i];
    out += r.sample + d + r.batch.value_or("") + d;
    if (r.expression) out += fmt::format("{}", *r.expression);
    out += d;
    if (r.reads) out += std::to_string(*r.reads);
    out += d + r.day + d + quoted(r.note) + "\n";
  }
  return out;
}

std::string StudyData::csv(const std::string& path, char delimiter, std::size_t from,
                           std::size_t to) const {
  write(path, csv_text(delimiter, from, to));
  return path;
}

std::string StudyData::ndjson(const std::string& path) const {
  std::string out;
  for (const auto& r : rows_) {
    Json row = {{"sample", r.sample},
                {"batch", r.batch ? Json(*r.batch) : Json()},
                {"expression", r.expression ? Json(*r.expression) : Json()},
                {"reads", r.reads ? Json(*r.reads) : Json()},
                {"day", r.day},
                {"note", r.note}};
    out += dump(row) + "\n";
  }
  write(path, out);
  return path;
}

std::string StudyData::json(const std::string& path) const {
  ndjson(path);
  std::string text = read_file(path).value();
  text.pop_back();
  for (std::size_t at = 0; (at = text.find("}\n{", at)) != std::string::npos;)
    text.replace(at, 3, "},\n{");
  write(path, "[" + text + "]\n");
  return path;
}

std::string StudyData::parquet(const std::string& path) const {
  csv(path + ".source", ',');
  auto session = Session::open({});
  EXPECT_TRUE(session.has_value()) << session.error().message;
  const auto status = (*session)->run(fmt::format(
      "COPY (SELECT * FROM read_csv({}, header = true, quote = '\"', escape = '\"', columns = "
      "{{'sample': 'VARCHAR', 'batch': 'VARCHAR', 'expression': 'DOUBLE', 'reads': 'BIGINT', "
      "'day': 'DATE', 'note': 'VARCHAR'}})) TO {} (FORMAT parquet, ROW_GROUP_SIZE 2048)",
      sql_text(path + ".source"), sql_text(path)));
  EXPECT_TRUE(status.has_value()) << status.error().message;
  EXPECT_TRUE(remove_all(path + ".source").has_value());
  return path;
}

std::string StudyData::compressed(const std::string& path, const std::string& compression) const {
  auto sink = ByteSink::create(path, compression);
  EXPECT_TRUE(sink.has_value());
  EXPECT_TRUE((*sink)->write(csv_text(',', 0, SIZE_MAX)).has_value());
  EXPECT_TRUE((*sink)->finish().has_value());
  return path;
}

}  // namespace polysome
