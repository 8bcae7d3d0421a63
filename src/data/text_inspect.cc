// What delimited text and NDJSON are, told from samples: delimiter, comments, headers, types.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <numeric>
#include <set>

#include "base/nearest.h"
#include "data/decompress.h"
#include "data/file_look.h"
#include "data/file_map.h"
#include "data/row_cutter.h"
#include "data/sqlite_file.h"
#include "data/text_header.h"
#include "data/text_pieces.h"
#include "data/text_sniff.h"
#include "data/text_source.h"
#include "data/type_guess.h"

namespace polysome {
namespace {

constexpr std::size_t kWholeBytes = 16'000'000;  // files up to this size are looked at whole
constexpr std::size_t kHeadBytes = 1'000'000;
constexpr std::size_t kMostHeadBytes = 256'000'000;  // of one very long header line
constexpr std::size_t kSpotBytes = 256'000;
constexpr std::size_t kSpots = 15;
constexpr std::size_t kSniffSpots = 7;
constexpr std::size_t kSniffBytes = 64'000;
constexpr std::uint64_t kSeenBytes = 64'000'000;  // of many files, for the types
constexpr std::size_t kMostSeenFiles = 2000;
constexpr std::size_t kMostTypeWarnings = 20;
constexpr std::size_t kRowsAtOnce = 64;

// How the rows of one file are looked at for their types.
struct Looking {
  TextShape shape;
  NumberStyle numbers;
  bool repair = false;
  std::size_t fields = 0;
  std::set<std::size_t> lengths;  // of rows that count
  std::vector<const MissingTexts*> missing;
  std::vector<TypeGuess> guesses;
};

// The texts that mean "missing" in each column; where nothing is declared, one list for all.
class ColumnMissing {
 public:
  ColumnMissing(const Json& null_values, const std::vector<std::string>& names) {
    if (null_values.is_null()) return;
    for (const auto& name : names) lists_.emplace_back(null_values, name);
  }
  const MissingTexts& of(std::size_t column) const {
    return lists_.empty() ? undeclared_ : lists_[column];
  }
  const MissingTexts& undeclared() const { return undeclared_; }

 private:
  MissingTexts undeclared_;
  std::vector<MissingTexts> lists_;
};

enum class Place : std::uint8_t { kHead, kSpot };

// Shows the rows of [at, end of text) to the guesses. Rows with another number of fields are left
// out, also where they are repaired unless the head had such rows: a spot may have begun inside a
// quoted field. The last row may be cut off: it counts only if the text goes `to_the_end`.
void see_rows(std::string_view text, std::size_t at, Place place, bool to_the_end, Looking* look) {
  std::vector<std::uint32_t> all(look->fields);
  std::iota(all.begin(), all.end(), 0U);
  RowCutter rows(text, at, text.size(), look->shape, look->fields, all);
  const char* const end = text.data() + text.size();
  const auto is_cut_off = [&](const char* row_end) { return !to_the_end && row_end + 1 >= end; };
  const auto see = [&](std::size_t column, std::string_view value) {
    look->guesses[column].see(value, look->numbers, *look->missing[column]);
  };
  std::string buffer;
  RowCutter::Row row;
  for (;;) {
    const auto some = rows.take_rows(kRowsAtOnce);
    const char* from = some.begin;
    const std::uint32_t* mark = some.marks;
    for (std::size_t r = 0; r < some.n; ++r) {
      if (is_cut_off(some.base + mark[look->fields - 1])) return;
      for (std::size_t i = 0; i < look->fields; ++i) {
        const char* const to = some.base + *mark++;
        const bool returns = i + 1 == look->fields && to != from && to[-1] == '\r';
        see(i, {from, returns ? to - 1 : to});
        from = to + 1;
      }
    }
    if (some.n > 0) continue;
    if (rows.next(&row) != RowCutter::Next::kRow) return;
    if (look->repair && place == Place::kHead) look->lengths.insert(row.fields);
    if (!look->lengths.contains(row.fields)) continue;
    if (is_cut_off(row.end)) return;
    for (std::size_t i = 0; i < std::min<std::size_t>(row.fields, look->fields); ++i)
      see(i, field_text(rows.field(row, i), look->shape.quote, &buffer));
  }
}

// The files whose rows tell the types: all of them, or so many that the planning stays short.
std::vector<std::size_t> telling_files(const TableSource& source, const InspectOptions& options) {
  const std::size_t n = source.files.size();
  const std::uint64_t each = std::max<std::uint64_t>(1, source.total_bytes() / n);
  const std::uint64_t most = std::max<std::uint64_t>(8, kSeenBytes / std::min(each, kSeenBytes));
  return spread_over(
      n, std::min({static_cast<std::size_t>(most), kMostSeenFiles, options.most_files}));
}

bool is_text(const TypeGuess& guess) { return guess.type(false) == ValueType::kString; }

Status guess_types(TableSource* source, const Looking& how, std::size_t row_fields,
                   const InspectOptions& options, const ColumnMissing& missing,
                   std::vector<TypeGuess>* guesses, bool* all_seen, Json* warnings) {
  const auto telling = telling_files(*source, options);
  *all_seen = telling.size() == source->files.size();
  std::vector<std::string> first_seen(guesses->size());  // the file a column was first seen in
  for (const auto index : telling) {
    const SourceFile& file = source->files[index];
    const std::size_t fields = file.row_fields > 0 ? file.row_fields : row_fields;
    Looking look = how;
    look.fields = fields;
    look.lengths = {fields};
    look.guesses.resize(fields);
    look.missing.assign(fields, &missing.undeclared());
    std::vector<TypeGuess>& in_order = look.guesses;
    for (std::size_t c = 0; c < guesses->size(); ++c) {
      const std::size_t f = file.fields.empty() ? c : file.fields[c];
      if (f >= fields) continue;
      in_order[f] = (*guesses)[c];
      look.missing[f] = &missing.of(c);
    }
    if (!file.compression.empty() || file.bytes <= kWholeBytes) {
      POLYSOME_ASSIGN(const Sample sample, head_sample(file, kWholeBytes));
      see_rows(sample.text, std::min<std::size_t>(file.data_offset, sample.text.size()),
               Place::kHead, sample.whole, &look);
      *all_seen = *all_seen && sample.whole;
    } else {
      *all_seen = false;
      POLYSOME_ASSIGN(const auto mapped, FileMap::open(file.path));
      const auto text = mapped->text();
      see_rows(text.substr(0, std::max<std::size_t>(kHeadBytes, file.data_offset * 4)),
               file.data_offset, Place::kHead, false, &look);
      for (std::size_t i = 1; i <= kSpots; ++i) {
        const std::size_t from = text.size() / (kSpots + 1) * i;
        // A spot holds a row at least, however long they are.
        const std::size_t spot = std::max<std::size_t>(kSpotBytes, file.data_offset * 2);
        const std::size_t begin = row_start_at_or_after(text, from, false, look.shape);
        if (begin >= text.size() || begin - from > kMostHeadBytes) continue;
        see_rows(text.substr(0, std::min(text.size(), begin + spot)), begin, Place::kSpot, false,
                 &look);
      }
    }
    const std::string shown = shown_name(file);
    for (std::size_t c = 0; c < guesses->size(); ++c) {
      const std::size_t f = file.fields.empty() ? c : file.fields[c];
      if (f >= fields) continue;
      TypeGuess& guess = (*guesses)[c];
      if (!first_seen[c].empty() && !is_text(guess) && is_text(in_order[f]) &&
          warnings->size() < kMostTypeWarnings)
        warn(warnings, "mixed_types", 1,
             fmt::format("column \"{}\" is {} in {}, but holds other text in {}: it is read as "
                         "string (layout.types decides otherwise)",
                         source->columns[c].name, name(guess.type(false)), first_seen[c], shown));
      guess = in_order[f];
      if (first_seen[c].empty() && !is_text(guess)) first_seen[c] = shown;
    }
  }
  return {};
}

Status check_declared(const Json& layout, const std::vector<std::string>& names,
                      const std::string& id) {
  std::vector<std::string> asked;
  if (layout.contains("types"))
    for (const auto& [name, type] : layout["types"].items()) asked.push_back(name);
  if (layout.contains("label_columns"))
    for (const auto& name : layout["label_columns"]) asked.push_back(name.get<std::string>());
  for (const auto& name : asked)
    if (std::ranges::find(names, name) == names.end())
      return fail(Code::kUserData,
                  fmt::format("layout names column \"{}\", which is not in dataset {}{}", name, id,
                              did_you_mean(name, names)));
  return {};
}

// The head, and the rows of some places further on that a delimiter is told from.
Result<SniffPlaces> sniff_places(const SourceFile& file, const Sample& sample, bool spots) {
  SniffPlaces out;
  out.head = sample.text;
  out.whole = sample.whole;
  if (!spots || sample.whole || !file.compression.empty()) return out;
  POLYSOME_ASSIGN(const auto mapped, FileMap::open(file.path));
  const auto text = mapped->text();
  for (std::size_t i = 1; i <= kSniffSpots; ++i) {
    const std::string_view spot = text.substr(text.size() / (kSniffSpots + 1) * i, kSniffBytes);
    const auto line = spot.find('\n');
    if (line != std::string_view::npos) out.spots.emplace_back(spot.substr(line + 1));
  }
  return out;
}

// Texts that would be numbers, were the layout to say how they are written.
void warn_of_commas(const TableSource& source, const std::vector<TypeGuess>& guesses,
                    const Json& layout, Json* warnings) {
  if (layout.contains("decimal") || layout.contains("thousands")) return;
  std::size_t n = 0;
  std::string first, how;
  for (std::size_t c = 0; c < guesses.size(); ++c) {
    const TypeGuess& g = guesses[c];
    const SourceColumn& column = source.columns[c];
    if (column.from != "guessed" || column.type != "string") continue;
    if (!g.decimal_comma() && !g.comma_thousands()) continue;
    if (++n > 1) continue;
    first = column.name;
    how = g.decimal_comma() && g.comma_thousands()
              ? "layout.decimal \",\" or layout.thousands \",\", whichever it is,"
          : g.decimal_comma() ? "layout.decimal \",\""
                              : "layout.thousands \",\"";
  }
  if (n > 0)
    warn(warnings, "numbers_with_commas", n,
         fmt::format("column \"{}\"{} holds numbers written with commas and is read as text: {} "
                     "reads numbers",
                     first, n > 1 ? fmt::format(" (and {} more)", n - 1) : "", how));
}

}  // namespace

std::vector<std::size_t> spread_over(std::size_t n, std::size_t most) {
  std::vector<std::size_t> out;
  most = std::max<std::size_t>(most, 2);
  if (n <= most) {
    for (std::size_t i = 0; i < n; ++i) out.push_back(i);
    return out;
  }
  for (std::size_t i = 0; i < most; ++i)
    out.push_back(static_cast<std::size_t>(share(n - 1, i, most - 1)));
  return out;
}

void warn_of_absent(const TableSource& source, Json* warnings) {
  std::size_t files = 0;
  std::string some;
  for (const auto& f : source.files) {
    const auto at = std::ranges::find(f.fields, kAbsent);
    if (at == f.fields.end()) continue;
    if (++files == 1)
      some = fmt::format("{} lacks \"{}\"", shown_name(f),
                         source.columns[static_cast<std::size_t>(at - f.fields.begin())].name);
  }
  if (files > 0)
    warn(warnings, "columns_differ", files,
         fmt::format("{} of {} files lack columns that others have ({}); the values are missing "
                     "there",
                     files, source.files.size(), some));
}

Status inspect_delimited(TableSource* source, const Json& layout, const InspectOptions& options,
                         const std::vector<std::uint64_t>& first_lines) {
  TextShape shape;
  shape.comment = letter(layout, "comment", '\0');
  const NumberStyle numbers = number_style_of(layout);
  const std::string ragged = layout.value("ragged", std::string("strict"));
  const bool gct = source->format == "gct";
  std::optional<GctHead> gct_head;
  Header first;
  std::string first_label;
  HeaderUnion all;
  std::vector<std::pair<std::size_t, Header>> others;  // whose header is not the first one's
  std::uint64_t header_line = 0;  // hash of a first line that is all of the header
  for (const auto i : spread_over(source->files.size(), options.most_files)) {
    SourceFile& file = source->files[i];
    if (header_line != 0 && first_lines[i] == header_line && file.compression.empty()) {
      file.data_offset = first.data_offset;
      continue;
    }
    const std::string label = shown_name(file);
    // Enough of the head for the header and some rows, however wide the table is.
    Sample sample;
    std::size_t head = kHeadBytes;
    std::size_t at = 0;
    for (;;) {
      POLYSOME_ASSIGN(sample, head_sample(file, head));
      at = starts_with_bom(sample.text) ? 3 : 0;
      if (gct) {
        shape = {'\t', '\0', '\0'};
        const bool last = sample.whole || head >= kMostHeadBytes;
        POLYSOME_ASSIGN(gct_head, read_gct_head(sample.text, at, last, label));
        if (gct_head) break;
        head *= 8;
        continue;
      }
      at = skip_preamble(sample.text, at, shape.comment);
      const auto line = sample.text.find('\n', at);
      const bool enough =
          line != std::string::npos && sample.text.find('\n', line + 1) != std::string::npos;
      if (enough || sample.whole || head >= kMostHeadBytes) break;
      head *= 8;
    }
    if (looks_like_sqlite(sample.text)) return fail(needs_table(file.path));
    if (sample.text.substr(0, kHeadBytes).find('\0') != std::string::npos)
      return fail(Code::kUserData, fmt::format("{} is not text: it holds NUL bytes", label),
                  "give its format, or convert it to delimited text in UTF-8");
    const bool fresh =
        i == 0 && !layout.contains("delimiter");  // the first file tells the delimiter
    if (i == 0 && !gct) shape.delimiter = letter(layout, "delimiter", ',');
    if (gct) {
      at = gct_head->header_at;
    } else if (shape.comment == '\0' && !layout.contains("comment") && at < sample.text.size() &&
               sample.text[at] == '#') {
      POLYSOME_ASSIGN(const SniffPlaces places, sniff_places(file, sample, fresh));
      at = told_preamble(places, at, source->format, fresh, &shape);
    } else {
      at = skip_preamble(sample.text, at, shape.comment);
      if (fresh) {
        POLYSOME_ASSIGN(const SniffPlaces places, sniff_places(file, sample, true));
        shape.delimiter = sniff_delimiter(places, at, source->format, shape.quote);
      }
    }
    POLYSOME_ASSIGN(Header header,
                    gct ? read_gct_header(sample.text, *gct_head, shape, label)
                        : read_header(sample.text, at, shape, layout, label, sample.whole));
    if (i == 0) {
      first = header;
      first_label = label;
      all.add(header.names);
      if (!gct && header.present && !first_lines.empty() && file.compression.empty() &&
          first_line_hash(std::string_view(sample.text).substr(0, header.data_offset)) ==
              first_lines[0])
        header_line = first_lines[0];
      file.data_offset = header.data_offset;
    } else {
      POLYSOME_TRY(check_header(all, first, header, first_label, label));
      all.add(header.names);
      file.data_offset = header.data_offset;
      if (header.names != first.names) others.emplace_back(i, std::move(header));
    }
  }
  if (all.names().size() > first.names.size() || !others.empty()) {
    std::vector<char> other(source->files.size(), 0);
    for (const auto& [i, header] : others) {
      place_columns(all, header, first.fields, &source->files[i]);
      other[i] = 1;
    }
    if (all.names().size() > first.names.size())
      for (std::size_t i = 0; i < source->files.size(); ++i)
        if (other[i] == 0) {
          const auto offset = source->files[i].data_offset;
          place_columns(all, first, first.fields, &source->files[i]);
          source->files[i].data_offset = offset;
        }
    const std::size_t fields = first.fields;
    first.names = all.names();
    first.fields = fields;
  }
  POLYSOME_TRY(check_declared(layout, first.names, source->id));

  const Json null_values = layout.contains("null_values") ? layout["null_values"] : Json();
  const ColumnMissing missing(null_values, first.names);
  std::vector<TypeGuess> guesses(first.names.size());
  bool all_seen = true;
  source->columns.reserve(first.names.size());
  for (const auto& n : first.names) source->columns.push_back({n, "", ""});
  Looking look;
  look.shape = shape;
  look.numbers = numbers;
  look.repair = ragged == "repair";
  POLYSOME_TRY(guess_types(source, look, first.fields, options, missing, &guesses, &all_seen,
                           &first.warnings));
  for (std::size_t c = 0; c < first.names.size(); ++c) {
    SourceColumn& column = source->columns[c];
    column.type = name(guesses[c].type(all_seen));
    column.from = "guessed";
    if (layout.contains("types") && layout["types"].contains(column.name)) {
      column.type = layout["types"][column.name].get<std::string>();
      column.from = "declared";
    }
  }
  warn_of_commas(*source, guesses, layout, &first.warnings);
  warn_of_absent(*source, &first.warnings);
  source->dialect = {{"delimiter", std::string(1, shape.delimiter)},
                     {"quote", shape.quote == '\0' ? "" : std::string(1, shape.quote)},
                     {"comment", shape.comment == '\0' ? "" : std::string(1, shape.comment)},
                     {"header", first.present},
                     {"decimal", std::string(1, numbers.decimal)},
                     {"fields", first.fields}};
  if (numbers.thousands != '\0') source->dialect["thousands"] = std::string(1, numbers.thousands);
  if (ragged != "strict") source->dialect["ragged"] = ragged;
  if (!null_values.is_null()) source->dialect["null_values"] = null_values;
  if (first.first_unnamed) source->dialect["first_unnamed"] = true;
  if (gct_head) {
    source->dialect["kind"] = "matrix";
    source->dialect["orientation"] = "features_as_rows";
    source->dialect["label_columns"] = std::vector<std::string>(
        first.names.begin(), first.names.begin() + static_cast<std::ptrdiff_t>(gct_head->labels));
  }
  if (!first.warnings.empty()) source->dialect["warnings"] = first.warnings;
  return {};
}

Status inspect_ndjson(TableSource* source, const Json& layout, const InspectOptions& options) {
  std::vector<std::string> names;
  std::map<std::string, TypeGuess> guesses;
  std::map<std::string, bool> only_text;  // strings and nested values stay text
  const auto telling = telling_files(*source, options);
  bool all_seen = telling.size() == source->files.size();
  for (const auto index : telling) {
    SourceFile& file = source->files[index];
    POLYSOME_ASSIGN(const Sample sample, head_sample(file, kWholeBytes));
    all_seen = all_seen && sample.whole;
    file.data_offset = starts_with_bom(sample.text) ? 3 : 0;
    RowScanner rows(sample.text, file.data_offset, {'\n', '\0', '\0'});
    for (;;) {
      const std::size_t at = rows.next_row();
      if (at >= sample.text.size()) break;
      rows.read_row();
      if (!sample.whole && rows.next_row() >= sample.text.size()) break;
      const Field& line = rows.fields().front();
      const auto object = parse_json({line.begin, static_cast<std::size_t>(line.end - line.begin)},
                                     {64, 1'000'000, SIZE_MAX});
      if (!object || !object->is_object())
        return fail(Code::kUserData,
                    fmt::format("{}, line {}: {}", file_label(file.path),
                                with_thousands(line_number(sample.text, at)),
                                object ? "not a JSON object" : object.error().message),
                    "NDJSON has one object a line; a file that is one array has the format json");
      for (const auto& [key, value] : object->items()) {
        const auto [guess, fresh] = guesses.try_emplace(key);
        if (fresh) names.push_back(key);
        if (value.is_null()) continue;
        const bool text = value.is_string() || value.is_structured();
        only_text[key] = only_text[key] || text;
        if (!text) guess->second.see(dump(value), {}, {});
      }
    }
  }
  if (names.empty())
    return fail(Code::kUserData, fmt::format("dataset {} is empty", source->id),
                "NDJSON needs at least one object");
  POLYSOME_TRY(check_declared(layout, names, source->id));
  for (const auto& key : names) {
    SourceColumn column{
        key, std::string(name(only_text[key] ? ValueType::kString : guesses[key].type(all_seen))),
        "guessed"};
    if (layout.contains("types") && layout["types"].contains(key)) {
      column.type = layout["types"][key].get<std::string>();
      column.from = "declared";
    }
    source->columns.push_back(std::move(column));
  }
  source->dialect = {{"fields", 1}};
  if (layout.contains("null_values")) source->dialect["null_values"] = layout["null_values"];
  return {};
}

}  // namespace polysome
