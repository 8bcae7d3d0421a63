#include "operations/text_rows.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace polysome {
namespace {

constexpr std::size_t kBlock = 1 << 18;

enum class Kind : std::uint8_t {
  kText,
  kRaw,
  kBool,
  kDouble,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint64
};

// How a column is asked for and written.
struct Written {
  Kind kind = Kind::kText;
  std::string sql;
};

Written written(const ResultColumn& column, bool json) {
  const std::string name = sql_identifier(column.name);
  const std::string& type = column.sql_type;
  if (type == "VARCHAR") return {Kind::kText, name};
  if (type == "BIGINT") return {Kind::kInt64, name};
  if (type == "INTEGER") return {Kind::kInt32, name};
  if (type == "SMALLINT") return {Kind::kInt16, name};
  if (type == "TINYINT") return {Kind::kInt8, name};
  if (type == "UBIGINT") return {Kind::kUint64, name};
  if (type == "DOUBLE") return {Kind::kDouble, name};
  if (type == "BOOLEAN") return {Kind::kBool, name};
  if (json && type == "FLOAT") return {Kind::kDouble, fmt::format("CAST({} AS DOUBLE)", name)};
  if (json && type != "DATE" && type != "TIMESTAMP")
    return {Kind::kRaw, fmt::format("CAST(to_json({}) AS VARCHAR)", name)};
  return {Kind::kText, fmt::format("CAST({} AS VARCHAR)", name)};
}

template <class T>
void append_integer(std::string* out, T value) {
  std::array<char, 24> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): written to
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out->append(text.data(), end);
}

std::string_view text_of(const duckdb_string_t& value) {
  const std::uint32_t size = value.value.inlined.length;
  const bool inlined = size <= sizeof value.value.inlined.inlined;
  return {inlined ? value.value.inlined.inlined : value.value.pointer.ptr, size};
}

struct Column {
  Kind kind = Kind::kText;
  std::string key;  // JSON: what stands before the value
  const void* data = nullptr;
  std::uint64_t* validity = nullptr;

  template <class T>
  const T& at(std::size_t row) const {
    return static_cast<const T*>(data)[row];
  }
};

void append_value(std::string* out, const Column& c, std::size_t row, char delimiter) {
  switch (c.kind) {
    case Kind::kText: {
      const auto text = text_of(c.at<duckdb_string_t>(row));
      return delimiter != '\0' ? append_csv_text(out, text, delimiter)
                               : append_json_text(out, text);
    }
    case Kind::kRaw: out->append(text_of(c.at<duckdb_string_t>(row))); return;
    case Kind::kBool: out->append(c.at<bool>(row) ? "true" : "false"); return;
    case Kind::kDouble:
      return delimiter != '\0' ? append_double(out, c.at<double>(row))
                               : append_json_double(out, c.at<double>(row));
    case Kind::kInt8: return append_integer(out, c.at<std::int8_t>(row));
    case Kind::kInt16: return append_integer(out, c.at<std::int16_t>(row));
    case Kind::kInt32: return append_integer(out, c.at<std::int32_t>(row));
    case Kind::kInt64: return append_integer(out, c.at<std::int64_t>(row));
    case Kind::kUint64: return append_integer(out, c.at<std::uint64_t>(row));
  }
}

void append_row(std::string* out, const std::vector<Column>& columns, std::size_t row,
                char delimiter) {
  const bool json = delimiter == '\0';
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Column& c = columns[i];
    if (json)
      out->append(c.key);
    else if (i > 0)
      out->push_back(delimiter);
    const bool there = c.validity == nullptr || duckdb_validity_row_is_valid(c.validity, row);
    if (there)
      append_value(out, c, row, delimiter);
    else if (json)
      out->append("null");
  }
  if (json) out->push_back('}');
}

}  // namespace

void append_double(std::string* out, double value) {
  std::array<char, 40> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): written to
  const char* end = fmt::format_to(text.data(), FMT_COMPILE("{}"), value);
  const std::string_view all(text.data(), static_cast<std::size_t>(end - text.data()));
  out->append(all);
  if (all.find_first_not_of("-0123456789") == std::string_view::npos) out->append(".0");
}

void append_json_double(std::string* out, double value) {
  if (!std::isfinite(value)) {
    out->append(std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    return;
  }
  const std::size_t begin = out->size();
  append_double(out, value);
  const auto e = out->find('e', begin);
  if (e == std::string::npos) return;
  // JSON writers leave out the exponent of more numbers: of those from 1e-6 up to below 1e21.
  const int exponent = std::atoi(out->c_str() + e + 1);
  std::string digits;
  for (std::size_t i = begin; i < e; ++i)
    if ((*out)[i] >= '0' && (*out)[i] <= '9') digits.push_back((*out)[i]);
  const bool negative = (*out)[begin] == '-';
  out->resize(begin);
  if (negative) out->push_back('-');
  const int before = exponent + 1;  // digits before the point
  if (before <= 0 && before > -6) {
    out->append("0.").append(static_cast<std::size_t>(-before), '0').append(digits);
  } else if (before > 0 && before <= 21) {
    const auto point = static_cast<std::size_t>(before);
    if (digits.size() <= point)
      out->append(digits).append(point - digits.size(), '0').append(".0");
    else
      out->append(digits, 0, point).append(".").append(digits, point);
  } else {
    out->push_back(digits[0]);
    if (digits.size() > 1) out->append(".").append(digits, 1);
    fmt::format_to(std::back_inserter(*out), "e{}", exponent);
  }
}

void append_csv_text(std::string* out, std::string_view text, char delimiter) {
  bool plain = !text.empty() && text.front() != '#';  // which readers may take for a comment
  for (const char c : text) plain = plain && c != '"' && c != '\n' && c != '\r' && c != delimiter;
  if (plain) {
    out->append(text);
    return;
  }
  out->push_back('"');
  for (const char c : text) {
    if (c == '"') out->push_back('"');
    out->push_back(c);
  }
  out->push_back('"');
}

void append_json_text(std::string* out, std::string_view text) {
  out->push_back('"');
  std::size_t from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out->append(text.substr(from, i - from));
    from = i + 1;
    switch (c) {
      case '"': out->append("\\\""); break;
      case '\\': out->append("\\\\"); break;
      case '\b': out->append("\\b"); break;
      case '\f': out->append("\\f"); break;
      case '\n': out->append("\\n"); break;
      case '\r': out->append("\\r"); break;
      case '\t': out->append("\\t"); break;
      default: fmt::format_to(std::back_inserter(*out), "\\u{:04X}", c);
    }
  }
  out->append(text.substr(from));
  out->push_back('"');
}

std::string header_line(const std::vector<ResultColumn>& columns, char delimiter) {
  std::string line;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) line += delimiter;
    append_csv_text(&line, columns[i].name, delimiter);
  }
  return line + "\n";
}

Result<std::uint64_t> write_lines(Session& session, const std::vector<ResultColumn>& columns,
                                  const std::string& select, const TextLines& lines,
                                  ByteSink* sink) {
  const bool json = lines.delimiter == '\0';
  std::vector<Column> out;
  std::string list;
  bool as_it_is = true;
  for (const auto& c : columns) {
    Written w = written(c, json);
    as_it_is = as_it_is && w.sql == sql_identifier(c.name);
    list += (list.empty() ? "" : ", ") + w.sql;
    Column one;
    one.kind = w.kind;
    one.key = out.empty() ? "{" : ",";
    append_json_text(&one.key, c.name);
    one.key += ':';
    out.push_back(std::move(one));
  }
  POLYSOME_ASSIGN(
      RowStream stream,
      session.stream(as_it_is ? select : fmt::format("SELECT {} FROM ({})", list, select)));
  std::string block = lines.array ? "[" : "";
  std::uint64_t rows = 0;
  for (;;) {
    POLYSOME_ASSIGN(duckdb_data_chunk chunk, stream.fetch());
    if (chunk == nullptr) break;
    for (std::size_t i = 0; i < out.size(); ++i) {
      duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
      out[i].data = duckdb_vector_get_data(vector);
      out[i].validity = duckdb_vector_get_validity(vector);
    }
    const std::size_t n = duckdb_data_chunk_get_size(chunk);
    for (std::size_t row = 0; row < n; ++row, ++rows) {
      if (lines.array) block.append(rows == 0 ? "\n" : ",\n");
      append_row(&block, out, row, lines.delimiter);
      if (!lines.array) block.push_back('\n');
      if (block.size() < kBlock) continue;
      POLYSOME_TRY(sink->write(block));
      block.clear();
    }
  }
  if (lines.array) block.append("\n]\n");
  POLYSOME_TRY(sink->write(block));
  return rows;
}

}  // namespace polysome
