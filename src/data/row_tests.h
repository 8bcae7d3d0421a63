// A simple WHERE that the reader of text evaluates itself, so that values of rows which it leaves
// out are never parsed: comparisons of columns with constants, joined by AND and OR. As JSON in a
// plan: {"and": [...]}, {"or": [...]}, {"column", "op", "values"}; made by operations/simple_where.
// What SQL answers with NULL counts as false, which is the same without NOT. Plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/values.h"
#include "model/json.h"

namespace polysome {

struct ScanColumn;

struct RowTest {
  enum class Op : std::uint8_t {
    kAnd,
    kOr,
    kEqual,
    kUnequal,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kBetween,
    kIn,
    kNotIn,
    kMissing,
    kPresent
  };
  Op op = Op::kAnd;
  std::vector<RowTest> children;  // of kAnd, kOr
  std::uint32_t column = 0;       // of the scan
  ValueType type = ValueType::kString;
  // Constants, of the column's type.
  std::vector<std::int64_t> wholes;
  std::vector<double> doubles;
  std::vector<std::string> texts;

  // Columns that are tested, each once, ascending.
  std::vector<std::uint32_t> columns() const;
};

std::string_view name(RowTest::Op op);

// Null when the tests are about columns that are not here, or of another type.
std::shared_ptr<const RowTest> row_tests(const Json& tests, const std::vector<ScanColumn>& columns);

}  // namespace polysome
