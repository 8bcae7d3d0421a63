#include "data/missing_report.h"

#include <algorithm>
#include <map>

#include "data/row_scanner.h"
#include "data/text_source.h"
#include "data/values.h"

namespace polysome {
namespace {

constexpr std::size_t kLookedAt = 1'000'000;  // bytes
constexpr std::size_t kMostColumns = 200;

bool is_number(const SourceColumn& column) {
  return column.type == "int64" || column.type == "double";
}

}  // namespace

Result<Json> missing_report(const TableSource& source) {
  if (!is_delimited(source.format) || source.files.empty()) return Json();
  const SourceFile& file = source.files.front();
  POLYSOME_ASSIGN(const Sample sample, head_sample(file, kLookedAt));
  const TextShape shape = shape_of(source.dialect);
  const Json null_values =
      source.dialect.contains("null_values") ? source.dialect["null_values"] : Json();
  std::vector<MissingTexts> declared;
  for (const auto& c : source.columns) declared.emplace_back(null_values, c.name);
  std::vector<std::map<std::string, std::uint64_t>> seen(source.columns.size());
  const std::size_t fields =
      file.row_fields > 0 ? file.row_fields : source.dialect.value("fields", source.columns.size());
  std::uint64_t rows = 0, shorter = 0, longer = 0;
  std::string buffer;
  RowScanner scanner(sample.text, std::min<std::size_t>(file.data_offset, sample.text.size()),
                     shape);
  while (scanner.next_row() < sample.text.size()) {
    if (!scanner.read_row()) break;
    // The last row of a sample may be cut off.
    if (!sample.whole && scanner.next_row() >= sample.text.size()) break;
    ++rows;
    shorter += scanner.fields().size() < fields ? 1 : 0;
    longer += scanner.fields().size() > fields ? 1 : 0;
    for (std::size_t c = 0; c < source.columns.size(); ++c) {
      if (source.columns[c].from == "folder") continue;
      const std::size_t field = file.fields.empty() ? c : file.fields[c];
      if (field >= scanner.fields().size()) continue;
      const auto raw = field_text(scanner.fields()[field], shape.quote, &buffer);
      const auto text = trim(raw);
      const bool missing = declared[c].declared()
                               ? declared[c].holds(text) || declared[c].holds(raw)
                           : is_number(source.columns[c]) ? is_missing_number(text)
                                                          : raw.empty();
      if (missing) ++seen[c][std::string(text)];
    }
  }
  Json columns = Json::array();
  for (std::size_t c = 0; c < seen.size() && columns.size() < kMostColumns; ++c) {
    if (seen[c].empty()) continue;
    std::uint64_t total = 0;
    Json texts = Json::object();
    for (const auto& [text, n] : seen[c]) {
      total += n;
      texts[text] = n;
    }
    columns.push_back(
        {{"column", source.columns[c].name}, {"missing", total}, {"texts", std::move(texts)}});
  }
  Json out = {{"rows_looked_at", rows}, {"columns", std::move(columns)}};
  if (shorter > 0) out["short_rows"] = shorter;
  if (longer > 0) out["long_rows"] = longer;
  return out;
}

}  // namespace polysome
