#include "data/row_tests.h"

#include <algorithm>
#include <array>
#include <optional>

#include "data/text_pieces.h"

namespace polysome {
namespace {

using Op = RowTest::Op;

constexpr std::array<std::pair<Op, std::string_view>, 13> kNames{{
    {Op::kAnd, "and"},
    {Op::kOr, "or"},
    {Op::kEqual, "="},
    {Op::kUnequal, "<>"},
    {Op::kLess, "<"},
    {Op::kLessOrEqual, "<="},
    {Op::kGreater, ">"},
    {Op::kGreaterOrEqual, ">="},
    {Op::kBetween, "between"},
    {Op::kIn, "in"},
    {Op::kNotIn, "not in"},
    {Op::kMissing, "missing"},
    {Op::kPresent, "present"},
}};

std::size_t constants(Op op) {
  switch (op) {
    case Op::kBetween: return 2;
    case Op::kIn:
    case Op::kNotIn: return SIZE_MAX;  // any number but none
    case Op::kMissing:
    case Op::kPresent: return 0;
    default: return 1;
  }
}

bool take_constants(const Json& values, RowTest* test) {
  for (const auto& v : values) {
    if (test->type == ValueType::kInt64 && v.is_number_integer())
      test->wholes.push_back(v.get<std::int64_t>());
    else if (test->type == ValueType::kDouble && v.is_number())
      test->doubles.push_back(v.get<double>());
    else if (test->type == ValueType::kString && v.is_string())
      test->texts.push_back(v.get<std::string>());
    else
      return false;
  }
  const std::size_t n = values.size();
  const std::size_t wanted = constants(test->op);
  return wanted == SIZE_MAX ? n > 0 : n == wanted;
}

std::optional<RowTest> read(const Json& j, const std::vector<ScanColumn>& columns) {
  RowTest out;
  for (const char* key : {"and", "or"}) {
    const auto list = j.find(key);
    if (list == j.end()) continue;
    out.op = std::string_view(key) == "and" ? Op::kAnd : Op::kOr;
    for (const auto& child : *list) {
      auto one = read(child, columns);
      if (!one) return std::nullopt;
      out.children.push_back(std::move(*one));
    }
    return out;
  }
  const auto column =
      std::ranges::find(columns, j.value("column", std::string()), &ScanColumn::name);
  const auto op = std::ranges::find(kNames, j.value("op", std::string()),
                                    [](const auto& n) { return n.second; });
  if (column == columns.end() || op == kNames.end()) return std::nullopt;
  out.op = op->first;
  out.column = static_cast<std::uint32_t>(column - columns.begin());
  out.type = column->type;
  const bool known = out.type == ValueType::kInt64 || out.type == ValueType::kDouble ||
                     out.type == ValueType::kString;
  if (!known || !take_constants(j.at("values"), &out)) return std::nullopt;
  return out;
}

void collect(const RowTest& test, std::vector<std::uint32_t>* out) {
  if (test.op != Op::kAnd && test.op != Op::kOr) out->push_back(test.column);
  for (const auto& child : test.children) collect(child, out);
}

}  // namespace

std::string_view name(Op op) {
  return std::ranges::find(kNames, op, [](const auto& n) { return n.first; })->second;
}

std::vector<std::uint32_t> RowTest::columns() const {
  std::vector<std::uint32_t> out;
  collect(*this, &out);
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::shared_ptr<const RowTest> row_tests(const Json& tests,
                                         const std::vector<ScanColumn>& columns) {
  if (!tests.is_object()) return nullptr;
  auto test = read(tests, columns);
  return test ? std::make_shared<const RowTest>(std::move(*test)) : nullptr;
}

}  // namespace polysome
