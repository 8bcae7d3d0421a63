#include "data/text_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>

#include "base/nearest.h"
#include "data/decompress.h"
#include "data/file_map.h"
#include "data/text_pieces.h"
#include "data/text_sniff.h"
#include "data/type_guess.h"

namespace polysome {
namespace {

constexpr std::size_t kWholeBytes = 16'000'000;  // files up to this size are looked at whole
constexpr std::size_t kHeadBytes = 1'000'000;
constexpr std::size_t kMostHeadBytes = 256'000'000;  // of one very long header line
constexpr std::size_t kSpotBytes = 256'000;
constexpr std::size_t kSpots = 15;

bool is_number(std::string_view text) { return parse_double(trim(text)).has_value(); }

struct Header {
  std::vector<std::string> names;
  std::size_t data_offset = 0;
  bool present = true;
  std::size_t fields = 0;  // of a data row
  Json warnings = Json::array();
};

void warn(Json* warnings, const char* code, std::size_t count, std::string message) {
  warnings->push_back({{"code", code}, {"count", count}, {"message", std::move(message)}});
}

std::string in_lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

void make_unique(std::vector<std::string>* names, Json* warnings) {
  std::set<std::string> used;
  std::size_t repeated = 0, empty = 0;
  for (std::size_t i = 0; i < names->size(); ++i) {
    std::string& name = (*names)[i];
    if (name.empty()) {
      name = fmt::format("column_{}", i + 1);
      ++empty;
    }
    const std::string base = name;
    // SQL does not tell names apart by case: Abc and ABC would be read as one.
    for (int n = 1; used.contains(in_lower_case(name)); ++n) name = fmt::format("{}_{}", base, n);
    if (name != base) ++repeated;
    used.insert(in_lower_case(name));
  }
  if (repeated > 0)
    warn(warnings, "repeated_column_names", repeated,
         fmt::format("{} column name{} stood there before; a number was added", repeated,
                     repeated == 1 ? "" : "s"));
  if (empty > 0)
    warn(warnings, "empty_column_names", empty,
         fmt::format("{} column{} had no name and got column_N", empty, empty == 1 ? "" : "s"));
}

Result<Header> read_header(std::string_view text, std::size_t at, TextShape shape,
                           const Json& layout, const std::string& label, bool whole) {
  RowScanner rows(text, at, shape);
  if (rows.next_row() >= text.size())
    return fail(Code::kUserData, fmt::format("{} is empty", label),
                "it needs at least a header line");
  if (!rows.read_row())
    return fail(Code::kUserData,
                fmt::format("{}: the header's quoted field is never closed", label));
  Header out;
  std::string buffer;
  const auto first_row_at = static_cast<std::size_t>(rows.fields().front().begin - text.data());
  bool all_numbers = true;
  for (const auto& f : rows.fields()) {
    const auto name = field_text(f, shape.quote, &buffer);
    if (!valid_utf8(name) || name.find('\0') != std::string_view::npos)
      return fail(Code::kUserData, fmt::format("{}: the header is not text in UTF-8", label),
                  "is this a delimited text file? Give its format, or convert it to UTF-8");
    all_numbers = all_numbers && is_number(name);
    out.names.emplace_back(name);
  }
  out.present = layout.contains("header") ? layout["header"].get<bool>() : !all_numbers;
  out.fields = out.names.size();
  if (!out.present) {
    out.data_offset = first_row_at;
    for (std::size_t i = 0; i < out.names.size(); ++i)
      out.names[i] = fmt::format("column_{}", i + 1);
    return out;
  }
  out.data_offset = rows.next_row();
  // R's row names: the header is one field shorter than the rows.
  if (rows.next_row() < text.size()) {
    std::size_t rows_seen = 0, longer = 0;
    while (rows_seen < kSniffRows && rows.next_row() < text.size()) {
      if (!rows.read_row()) break;
      if (rows.next_row() >= text.size() && !whole && rows_seen > 0) break;
      ++rows_seen;
      longer += rows.fields().size() == out.names.size() + 1 ? 1 : 0;
    }
    if (rows_seen > 0 && longer == rows_seen) {
      out.names.insert(out.names.begin(), "row_name");
      ++out.fields;
    }
  }
  make_unique(&out.names, &out.warnings);
  return out;
}

// Shows the rows of [at, end of text) to the guesses; rows with another number of fields are left
// out (a spot may have begun inside a quoted field).
void see_rows(std::string_view text, std::size_t at, TextShape shape, char decimal,
              std::size_t fields, bool to_the_end, const std::vector<MissingTexts>& missing,
              std::vector<TypeGuess>* guesses) {
  RowScanner rows(text, at, shape);
  std::string buffer;
  while (rows.next_row() < text.size()) {
    const bool good = rows.read_row();
    if (!good || rows.fields().size() != fields) continue;
    if (!to_the_end && rows.next_row() >= text.size()) break;
    for (std::size_t i = 0; i < fields; ++i)
      (*guesses)[i].see(field_text(rows.fields()[i], shape.quote, &buffer), decimal, missing[i]);
  }
}

Status guess_types(TableSource* source, TextShape shape, char decimal, std::size_t fields,
                   const std::vector<MissingTexts>& missing, std::vector<TypeGuess>* guesses,
                   bool* all_seen) {
  *all_seen = true;
  for (const auto& file : source->files) {
    std::vector<TypeGuess> in_order(fields);
    std::vector<MissingTexts> missing_here(fields);
    for (std::size_t c = 0; c < fields; ++c) {
      const std::size_t f = file.fields.empty() ? c : file.fields[c];
      in_order[f] = (*guesses)[c];
      missing_here[f] = missing[c];
    }
    if (!file.compression.empty() || file.bytes <= kWholeBytes) {
      POLYSOME_ASSIGN(const Sample sample, head_sample(file, kWholeBytes));
      see_rows(sample.text, std::min<std::size_t>(file.data_offset, sample.text.size()), shape,
               decimal, fields, sample.whole, missing_here, &in_order);
      *all_seen = *all_seen && sample.whole;
    } else {
      *all_seen = false;
      POLYSOME_ASSIGN(const auto mapped, FileMap::open(file.path));
      const auto text = mapped->text();
      see_rows(text.substr(0, std::max<std::size_t>(kHeadBytes, file.data_offset * 8)),
               file.data_offset, shape, decimal, fields, false, missing_here, &in_order);
      for (std::size_t i = 1; i <= kSpots; ++i) {
        const std::size_t from = text.size() / (kSpots + 1) * i;
        // A spot holds some rows, however long they are.
        const std::size_t spot = std::max<std::size_t>(kSpotBytes, file.data_offset * 3);
        const std::size_t begin = row_start_at_or_after(text, from, false, shape);
        if (begin >= text.size() || begin - from > kMostHeadBytes) continue;
        see_rows(text.substr(0, std::min(text.size(), begin + spot)), begin, shape, decimal, fields,
                 false, missing_here, &in_order);
      }
    }
    for (std::size_t c = 0; c < fields; ++c)
      (*guesses)[c] = in_order[file.fields.empty() ? c : file.fields[c]];
  }
  return {};
}

// The header of each further file: the same names; their order may differ.
Status match_header(const std::vector<std::string>& names, const Header& header,
                    const std::string& first, const std::string& label, SourceFile* file) {
  file->data_offset = header.data_offset;
  if (header.names == names) return {};
  std::map<std::string, std::uint32_t> place;
  for (std::size_t i = 0; i < header.names.size(); ++i)
    place[header.names[i]] = static_cast<std::uint32_t>(i);
  std::string differs;
  for (const auto& name : names)
    if (!place.contains(name)) differs += (differs.empty() ? "" : ", ") + name;
  if (!differs.empty() || header.names.size() != names.size())
    return fail(
        Code::kUserData,
        differs.empty()
            ? fmt::format("{} has {} columns, {} has {}", label, header.names.size(), first,
                          names.size())
            : fmt::format("{} lacks columns that {} has: {}", label, first, differs.substr(0, 300)),
        "files of one dataset have the same columns; load the others under a name of their own");
  for (const auto& name : names) file->fields.push_back(place[name]);
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

char letter(const Json& layout, const char* key, char otherwise) {
  const auto it = layout.find(key);
  if (it == layout.end() || !it->is_string()) return otherwise;
  const auto text = it->get<std::string>();
  return text.empty() ? '\0' : text.front();
}

}  // namespace

std::uint64_t share(std::uint64_t total, std::uint64_t part, std::uint64_t parts) {
  // Exact without 128 bits.
  return total / parts * part + total % parts * part / parts;
}

TextShape shape_of(const Json& dialect) {
  return {letter(dialect, "delimiter", ','), letter(dialect, "quote", '"'),
          letter(dialect, "comment", '\0')};
}

Result<Sample> head_sample(const SourceFile& file, std::size_t bytes) {
  Sample out;
  if (file.compression.empty()) {
    POLYSOME_ASSIGN(const auto mapped, FileMap::open(file.path));
    out.text = mapped->text().substr(0, bytes);
    out.whole = mapped->text().size() <= bytes;
    return out;
  }
  out.whole = true;
  POLYSOME_TRY(decompress(file.path, file.compression,
                          [&](std::string_view block) -> Result<bool> {
                            out.text.append(block);
                            if (out.text.size() <= bytes) return true;
                            out.text.resize(bytes);
                            out.whole = false;
                            return false;
                          },
                          {}));
  return out;
}

Status inspect_delimited(TableSource* source, const Json& layout) {
  TextShape shape;
  shape.comment = letter(layout, "comment", '\0');
  const char decimal = letter(layout, "decimal", '.');
  Header first;
  std::string first_label;
  for (std::size_t i = 0; i < source->files.size(); ++i) {
    SourceFile& file = source->files[i];
    const std::string label = shown_name(file);
    // Enough of the head for the header and some rows, however wide the table is.
    Sample sample;
    std::size_t head = kHeadBytes;
    std::size_t at = 0;
    for (;;) {
      POLYSOME_ASSIGN(sample, head_sample(file, head));
      at = starts_with_bom(sample.text) ? 3 : 0;
      at = skip_preamble(sample.text, at, shape.comment);
      const auto line = sample.text.find('\n', at);
      const bool enough =
          line != std::string::npos && sample.text.find('\n', line + 1) != std::string::npos;
      if (enough || sample.whole || head >= kMostHeadBytes) break;
      head *= 8;
    }
    if (sample.text.substr(0, kHeadBytes).find('\0') != std::string::npos)
      return fail(Code::kUserData, fmt::format("{} is not text: it holds NUL bytes", label),
                  "give its format, or convert it to delimited text in UTF-8");
    const bool fresh =
        i == 0 && !layout.contains("delimiter");  // the first file tells the delimiter
    if (i == 0) shape.delimiter = letter(layout, "delimiter", ',');
    if (shape.comment == '\0' && !layout.contains("comment") && at < sample.text.size() &&
        sample.text[at] == '#') {
      at = told_preamble(sample, at, source->format, fresh, &shape);
    } else {
      at = skip_preamble(sample.text, at, shape.comment);
      if (fresh)
        shape.delimiter =
            sniff_delimiter(sample.text, at, source->format, shape.quote, sample.whole);
    }
    POLYSOME_ASSIGN(Header header,
                    read_header(sample.text, at, shape, layout, label, sample.whole));
    if (i == 0) {
      first = header;
      first_label = label;
      file.data_offset = header.data_offset;
    } else {
      POLYSOME_TRY(match_header(first.names, header, first_label, label, &file));
    }
  }
  POLYSOME_TRY(check_declared(layout, first.names, source->id));

  const Json null_values = layout.contains("null_values") ? layout["null_values"] : Json();
  std::vector<MissingTexts> missing;
  for (const auto& name : first.names) missing.emplace_back(null_values, name);
  std::vector<TypeGuess> guesses(first.fields);
  bool all_seen = true;
  POLYSOME_TRY(guess_types(source, shape, decimal, first.fields, missing, &guesses, &all_seen));
  for (std::size_t c = 0; c < first.names.size(); ++c) {
    SourceColumn column;
    column.name = first.names[c];
    column.type = name(guesses[c].type(all_seen));
    column.from = "guessed";
    if (layout.contains("types") && layout["types"].contains(column.name)) {
      column.type = layout["types"][column.name].get<std::string>();
      column.from = "declared";
    }
    source->columns.push_back(std::move(column));
  }
  source->dialect = {{"delimiter", std::string(1, shape.delimiter)},
                     {"quote", "\""},
                     {"comment", shape.comment == '\0' ? "" : std::string(1, shape.comment)},
                     {"header", first.present},
                     {"decimal", std::string(1, decimal)},
                     {"fields", first.fields}};
  if (!null_values.is_null()) source->dialect["null_values"] = null_values;
  // What text cannot tell, matrix operations want to know.
  for (const char* key : {"kind", "orientation", "label_columns", "scale", "zero_is_missing"})
    if (layout.contains(key)) source->dialect[key] = layout[key];
  if (!first.warnings.empty()) source->dialect["warnings"] = first.warnings;
  return {};
}

Status inspect_ndjson(TableSource* source, const Json& layout) {
  std::vector<std::string> names;
  std::map<std::string, TypeGuess> guesses;
  std::map<std::string, bool> only_text;  // strings and nested values stay text
  bool all_seen = true;
  for (auto& file : source->files) {
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
        if (!text) guess->second.see(dump(value), '.', {});
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

Result<std::vector<Partition>> cut_text(const TableSource& source, std::uint64_t partition_size) {
  const TextShape shape =
      source.format == "ndjson" ? TextShape{'\n', '\0', '\0'} : shape_of(source.dialect);
  std::vector<Partition> out;
  for (std::uint32_t f = 0; f < source.files.size(); ++f) {
    const SourceFile& file = source.files[f];
    const std::uint64_t begin = std::min(file.data_offset, file.bytes);
    const std::uint64_t bytes = file.bytes - begin;
    const std::uint64_t parts =
        std::max<std::uint64_t>(1, (bytes + partition_size - 1) / partition_size);
    if (parts == 1) {
      out.push_back({f, begin, bytes, bytes, 0});
      continue;
    }
    POLYSOME_ASSIGN(const auto mapped, FileMap::open(file.path));
    const auto text = mapped->text();
    std::uint64_t from = begin;
    for (std::uint64_t i = 1; i <= parts; ++i) {
      const auto target = begin + share(bytes, i, parts);
      const std::uint64_t to =
          i == parts ? text.size() : border_at_or_after(text, std::max(from, target), shape);
      if (to <= from) continue;
      out.push_back({f, from, to - from, to - from, 0});
      from = to;
    }
  }
  return out;
}

}  // namespace polysome
