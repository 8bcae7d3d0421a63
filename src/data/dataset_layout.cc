#include "data/dataset_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/nearest.h"
#include "data/text_pieces.h"
#include "data/text_source.h"

namespace polysome {
namespace {

// What a dialect holds beside these is the readers' own.
constexpr std::array<std::string_view, 13> kKeys{
    "kind",        "orientation", "label_columns", "scale",  "zero_is_missing",
    "delimiter",   "quote",       "comment",       "header", "decimal",
    "null_values", "ragged",      "thousands"};
constexpr std::size_t kSampleBytes = 4'000'000;
constexpr std::size_t kSampleRows = 1000;
constexpr std::size_t kFewestValues = 8;  // numeric columns of what is taken for a matrix unasked

bool ends_in_id(const std::string& name) {
  if (name.size() < 2) return false;
  const auto lower = [&](std::size_t at) { return static_cast<char>(name[at] | 0x20); };
  return lower(name.size() - 2) == 'i' && lower(name.size() - 1) == 'd';
}

// Whether the first column's values differ from one another, as far as a look at the first rows
// tells.
Result<bool> distinct_in_text(const TableSource& source) {
  const SourceFile& file = source.files.front();
  POLYSOME_ASSIGN(const Sample sample, head_sample(file, kSampleBytes));
  const std::size_t field = file.fields.empty() ? 0 : file.fields.front();
  const TextShape shape = shape_of(source.dialect);
  RowScanner rows(sample.text, std::min<std::size_t>(file.data_offset, sample.text.size()), shape);
  std::set<std::string> seen;
  std::string buffer;
  for (std::size_t n = 0; n < kSampleRows && rows.next_row() < sample.text.size(); ++n) {
    if (!rows.read_row() || (!sample.whole && rows.next_row() >= sample.text.size())) break;
    if (field >= rows.fields().size()) continue;
    const auto text = field_text(rows.fields()[field], shape.quote, &buffer);
    if (text.empty() || !seen.emplace(text).second) return false;
  }
  return !seen.empty();
}

Result<bool> distinct_in_view(Session& session, const TableSource& source) {
  POLYSOME_ASSIGN(auto partitions, cut(source, kSampleBytes));
  if (partitions.empty()) return false;
  partitions.resize(1);
  POLYSOME_ASSIGN(const auto report, open_view(session, "ps_layout", source, partitions, {}));
  const auto name = sql_identifier(source.columns.front().name);
  const auto distinct = session.integer(
      fmt::format("SELECT (count(*) > 0 AND count(*) = count(DISTINCT {0}))::BIGINT FROM (SELECT "
                  "{0} FROM ps_layout LIMIT {1})",
                  name, kSampleRows));
  POLYSOME_TRY(session.run("DROP VIEW IF EXISTS ps_layout"));
  if (!distinct) return std::unexpected(distinct.error());
  return *distinct != 0;
}

Result<std::vector<std::string>> guess_labels(Session& session, const TableSource& source,
                                              bool first_unnamed) {
  std::vector<std::string> out;
  for (const auto& c : source.columns) {
    if (is_numeric(c) && c.name != "row_name") break;
    out.push_back(c.name);
  }
  if (!out.empty() || source.columns.empty() || source.files.empty()) return out;
  const SourceColumn& first = source.columns.front();
  if (first.type != "int64" || (!first_unnamed && !ends_in_id(first.name))) return out;
  const bool text = is_delimited(source.format);
  if (!text && !source.splittable()) return out;
  POLYSOME_ASSIGN(const bool distinct,
                  text ? distinct_in_text(source) : distinct_in_view(session, source));
  if (distinct) out.push_back(first.name);
  return out;
}

bool is_matrix(const TableSource& source, std::size_t labels) {
  if (labels == 0 || source.columns.size() < labels + kFewestValues) return false;
  return std::all_of(source.columns.begin() + static_cast<std::ptrdiff_t>(labels),
                     source.columns.end(), is_numeric);
}

std::vector<std::string> names_of(const TableSource& source) {
  std::vector<std::string> out;
  for (const auto& c : source.columns) out.push_back(c.name);
  return out;
}

}  // namespace

Status tell_layout(Session& session, TableSource* source, const Json& layout) {
  Json& dialect = source->dialect;
  const bool first_unnamed = dialect.value("first_unnamed", false);
  dialect.erase("first_unnamed");
  for (const char* key : {"kind", "orientation", "label_columns", "scale", "zero_is_missing"})
    if (layout.contains(key)) dialect[key] = layout[key];
  if (dialect.contains("label_columns")) {
    const auto names = names_of(*source);
    const bool declared = layout.contains("label_columns");
    Json there = Json::array();
    for (const auto& label : dialect["label_columns"]) {
      const auto name = label.get<std::string>();
      const bool known = std::ranges::find(names, name) != names.end();
      if (known) there.push_back(label);
      // A format's own label may be left out by `columns`.
      if (!known && declared)
        return fail(Code::kUserData,
                    fmt::format("layout.label_columns names column \"{}\", which is not in dataset "
                                "{}{}",
                                name, source->id, did_you_mean(name, names)));
    }
    dialect["label_columns"] = std::move(there);
  } else {
    POLYSOME_ASSIGN(const auto labels, guess_labels(session, *source, first_unnamed));
    dialect["label_columns"] = labels;
  }
  if (!dialect.contains("kind")) {
    const bool said = layout.contains("orientation") || layout.contains("scale");
    dialect["kind"] =
        said || is_matrix(*source, dialect["label_columns"].size()) ? "matrix" : "table";
  }
  return {};
}

Json layout_json(const TableSource& source, const Json& layout) {
  const bool gct = source.format == "gct";
  Json out = Json::object();
  for (const auto& [key, value] : source.dialect.items()) {
    if (std::ranges::find(kKeys, key) == kKeys.end()) continue;
    const bool by_format =
        (gct && key != "decimal") || (key == "quote" && !layout.contains("quote"));
    out[key] = {{"value", value},
                {"from", layout.contains(key) ? "declared"
                         : by_format          ? "format"
                                              : "guessed"}};
  }
  // The types of columns stand with the columns; here only those that were declared.
  if (layout.contains("types")) out["types"] = {{"value", layout["types"]}, {"from", "declared"}};
  if (!out.contains("orientation")) out["orientation"] = {{"value", nullptr}, {"from", nullptr}};
  return out;
}

Result<MatrixShape> matrix_shape(const TableSource& source) {
  MatrixShape out;
  out.orientation = source.dialect.value("orientation", std::string());
  std::set<std::uint32_t> labels;
  const auto names = names_of(source);
  for (const auto& label : source.dialect.value("label_columns", Json::array())) {
    const auto at = std::ranges::find(names, label.get<std::string>());
    if (at == names.end()) continue;
    out.labels.push_back(static_cast<std::uint32_t>(at - names.begin()));
    labels.insert(out.labels.back());
  }
  std::vector<std::string> texts;
  std::size_t n_texts = 0;
  for (std::uint32_t c = 0; c < source.columns.size(); ++c) {
    if (labels.contains(c)) continue;
    if (is_numeric(source.columns[c])) {
      out.values.push_back(c);
    } else if (++n_texts <= 5) {
      texts.push_back(fmt::format("\"{}\" ({})", source.columns[c].name, source.columns[c].type));
    }
  }
  const auto refuse = [&](const std::string& what, const std::string& hint) {
    return fail(Code::kUserData, fmt::format("dataset \"{}\" is no matrix: {}", source.id, what),
                hint);
  };
  if (n_texts > 0)
    return refuse(
        fmt::format(
            "{}{} {} neither label nor number", fmt::join(texts, ", "),
            n_texts > texts.size() ? fmt::format(" and {} more", n_texts - texts.size()) : "",
            n_texts == 1 ? "is" : "are"),
        "name it among layout.label_columns, or load the dataset with the columns that "
        "are wanted: \"columns\": [\"id\", \"sample1\", …]");
  if (out.labels.empty())
    return refuse("no column is a label of its rows",
                  "say which one is: \"layout\": {\"label_columns\": [\"gene_id\"]}");
  if (out.values.empty()) return refuse("it has no numeric columns", "");
  return out;
}

Result<std::string> known_orientation(const TableSource& source, const MatrixShape& shape,
                                      const std::string& rows) {
  if (!shape.orientation.empty()) return shape.orientation;
  return fail(Code::kUserData,
              fmt::format("dataset \"{}\": {} rows and {} numeric columns. Say which way it lies: "
                          "layout.orientation \"features_as_rows\" (genes in rows) or "
                          "\"samples_as_rows\".",
                          source.id, rows, with_thousands(shape.values.size())));
}

}  // namespace polysome
