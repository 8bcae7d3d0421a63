// A seeded long table with known values, written in every format: what tests of operations read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace polysome {

struct StudyRow {
  std::string sample;                // s000 …
  std::optional<std::string> batch;  // A, B, C or missing
  std::optional<double> expression;  // values of very different size
  std::optional<std::int64_t> reads;
  std::string day;   // 2024-01-…
  std::string note;  // text with commas, quotes and line ends
};

class StudyData {
 public:
  explicit StudyData(std::size_t rows, std::uint64_t seed = 7);
  const std::vector<StudyRow>& rows() const { return rows_; }
  // Each writes a file and answers its path. `from`, `to`: only these rows.
  std::string csv(const std::string& path, char delimiter = ',', std::size_t from = 0,
                  std::size_t to = SIZE_MAX) const;
  std::string ndjson(const std::string& path) const;
  std::string json(const std::string& path) const;
  // From a CSV written beside it.
  std::string parquet(const std::string& path) const;
  std::string compressed(const std::string& path, const std::string& compression) const;

 private:
  std::string csv_text(char delimiter, std::size_t from, std::size_t to) const;
  std::vector<StudyRow> rows_;
};

}  // namespace polysome
