#include "data/column_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "data/parquet_source.h"
#include "data/text_source.h"

namespace polysome {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kTypes{{
    {"BIGINT", "int64"},
    {"INTEGER", "int64"},
    {"SMALLINT", "int64"},
    {"TINYINT", "int64"},
    {"UINTEGER", "int64"},
    {"USMALLINT", "int64"},
    {"UTINYINT", "int64"},
    {"DOUBLE", "double"},
    {"FLOAT", "double"},
    {"BOOLEAN", "bool"},
    {"DATE", "date"},
    {"VARCHAR", "string"},
}};

// How a column is read: 64 bits wide, NaN as missing, nested values as JSON text.
std::string read_as(const SourceColumn& column) {
  const std::string c = sql_identifier(column.name);
  if (column.type == "double")
    return fmt::format("nullif(CAST({} AS DOUBLE), 'NaN'::DOUBLE) AS {}", c, c);
  if (column.type == "int64") return fmt::format("CAST({} AS BIGINT) AS {}", c, c);
  if (column.from == "declared" && column.type == "bool")
    return fmt::format("CAST({} AS BOOLEAN) AS {}", c, c);
  if (column.from == "declared" || column.from == "widened")
    return fmt::format("CAST({} AS {}) AS {}", c, column.type == "string" ? "VARCHAR" : column.type,
                       c);
  if (column.from == "nested") return fmt::format("CAST(to_json({}) AS VARCHAR) AS {}", c, c);
  return c;
}

bool nested(const std::string& type) {
  return type.ends_with("]") || type.starts_with("STRUCT") || type.starts_with("MAP") ||
         type.starts_with("UNION") || type == "BLOB" || type == "JSON";
}

std::string wider_of(const std::string& a, const std::string& b) {
  const auto are = [&](const char* x, const char* y) {
    return (a == x && b == y) || (a == y && b == x);
  };
  if (are("int64", "double")) return "double";
  if (are("date", "timestamp")) return "timestamp";
  for (const auto& [one, other] : {std::pair(a, b), std::pair(b, a)})
    if (one.starts_with("DECIMAL") && (other == "int64" || other == "double")) return "double";
  return {};
}

}  // namespace

SchemaUnion::SchemaUnion(const Json& layout) {
  if (const auto types = layout.find("types"); types != layout.end()) declared_ = *types;
}

Status SchemaUnion::add(const std::vector<Described>& file, const std::string& label) {
  bool shared = columns_.empty();
  for (const auto& d : file) {
    const bool deep = nested(d.type);
    SourceColumn column{d.name, deep ? "string" : our_type(d.type),
                        deep && d.type != "JSON" ? "nested" : "format"};
    if (declared_.contains(d.name)) {
      column.type = declared_[d.name].get<std::string>();
      column.from = "declared";
    }
    const auto at = place_.find(d.name);
    if (at == place_.end()) {
      place_[d.name] = columns_.size();
      columns_.push_back(std::move(column));
      seen_in_.push_back(label);
      continue;
    }
    shared = true;
    SourceColumn& known = columns_[at->second];
    if (known.type == column.type) {
      if (known.from != column.from && known.from != "declared") known.from = "nested";
      continue;
    }
    const std::string wider = wider_of(known.type, column.type);
    if (wider.empty())
      return fail(Code::kUserData,
                  fmt::format("column \"{}\" is {} in {} and {} in {}", d.name, known.type,
                              seen_in_[at->second], column.type, label),
                  fmt::format("say how to read it: \"layout\": {{\"types\": {{\"{}\": "
                              "\"string\"}}}}, or load the files apart",
                              d.name));
    known.type = wider;
    known.from = "widened";
  }
  if (!shared)
    return fail(Code::kUserData, fmt::format("{} has no column of {}", label, seen_in_.front()),
                "files of one dataset share columns; load the others under a name of their own");
  return {};
}

// Which of the columns a file lacks; nothing when it has all.
std::vector<std::uint32_t> SchemaUnion::fields_of(const std::vector<Described>& file) const {
  std::vector<std::uint32_t> out(columns_.size(), kAbsent);
  std::uint32_t n = 0;
  for (const auto& d : file) out[place_.at(d.name)] = n++;
  return std::ranges::find(out, kAbsent) == out.end() ? std::vector<std::uint32_t>{} : out;
}

Status SchemaUnion::finish(TableSource* source,
                           const std::vector<const std::vector<Described>*>& files) {
  for (const auto& [name, type] : declared_.items())
    if (!place_.contains(name))
      return fail(
          Code::kUserData,
          fmt::format("layout names column \"{}\", which is not in dataset {}", name, source->id));
  for (std::size_t i = 0; i < files.size(); ++i)
    if (files[i] != nullptr) source->files[i].fields = fields_of(*files[i]);
  source->columns = std::move(columns_);
  Json warnings = Json::array();
  warn_of_absent(*source, &warnings);
  if (!warnings.empty()) source->dialect["warnings"] = std::move(warnings);
  return {};
}

Result<std::vector<Described>> describe(Session& session, const std::string& select) {
  POLYSOME_ASSIGN(QueryResult rows, session.query("DESCRIBE " + select));
  std::vector<Described> out;
  const auto text = [](duckdb_vector vector, idx_t i) {
    auto* s = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector)) + i;
    return std::string(duckdb_string_t_data(s), duckdb_string_t_length(*s));
  };
  while (duckdb_data_chunk chunk = rows.fetch())
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); ++i)
      out.push_back({text(duckdb_data_chunk_get_vector(chunk, 0), i),
                     text(duckdb_data_chunk_get_vector(chunk, 1), i)});
  return out;
}

std::string select_list(const TableSource& source) {
  if (source.columns.size() == 1 && source.columns[0].name == "ps_row")
    return "1 AS ps_row";  // of files that have none of the columns asked for
  std::string out;
  for (const auto& c : source.columns) out += (out.empty() ? "" : ", ") + read_as(c);
  return out;
}

std::string our_type(const std::string& duckdb_type) {
  for (const auto& [theirs, ours] : kTypes)
    if (theirs == duckdb_type) return std::string(ours);
  if (duckdb_type.starts_with("TIMESTAMP") && duckdb_type.find("TIME ZONE") == std::string::npos)
    return "timestamp";
  return duckdb_type;
}

}  // namespace polysome
