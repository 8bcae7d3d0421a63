// Rows of a database as plain-text parts: comma separated, \N for missing, a new file behind the
// row that fills one. What our text reader takes in; types are known, so nothing is guessed again.
// One thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/table_source.h"

namespace polysome {

class RowParts {
 public:
  static constexpr std::string_view kMissing = "\\N";
  // `stream` tells parts apart that are written side by side.
  RowParts(std::string prefix, std::uint32_t stream, std::uint64_t part_bytes)
      : prefix_(std::move(prefix)), stream_(stream), part_bytes_(part_bytes) {}

  // A whole row with its line end, quoted where need be.
  Status add(std::string_view row);
  // Appends a field to `row`: a separator if it is not the first, quotes where need be.
  static void append_text(std::string_view value, std::string* row);

  // The parts; one that is empty for a table without rows.
  Result<std::vector<UnpackedPart>> finish();
  std::uint64_t bytes() const { return total_; }

 private:
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  Status open();
  Status close();

  std::string prefix_;
  std::uint32_t stream_;
  std::uint64_t part_bytes_;
  std::uint64_t line_ = 1;
  std::uint64_t total_ = 0;
  std::unique_ptr<std::FILE, Close> file_;
  std::vector<UnpackedPart> parts_;
};

}  // namespace polysome
