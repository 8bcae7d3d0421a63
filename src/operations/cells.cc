#include "operations/cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

namespace polysome {
namespace {

constexpr std::int64_t kExact = std::int64_t{1} << 53;

Fetch fetch_of(const std::string& t) {
  if (t == "BOOLEAN") return Fetch::kBoolean;
  if (t == "BIGINT" || t == "INTEGER" || t == "SMALLINT" || t == "TINYINT" || t == "UINTEGER" ||
      t == "USMALLINT" || t == "UTINYINT")
    return Fetch::kInteger;
  if (t == "UBIGINT" || t == "HUGEINT" || t == "UHUGEINT" ||
      (t.starts_with("DECIMAL") && t.ends_with(",0)")))
    return Fetch::kBigNumber;
  if (t == "DOUBLE" || t == "FLOAT" || t.starts_with("DECIMAL")) return Fetch::kDouble;
  if (t.starts_with("TIMESTAMP")) return Fetch::kTimestamp;
  return Fetch::kText;
}

const char* fetch_type(Fetch f) {
  switch (f) {
    case Fetch::kBoolean: return "BOOLEAN";
    case Fetch::kInteger: return "BIGINT";
    case Fetch::kDouble: return "DOUBLE";
    default: return "VARCHAR";
  }
}

Json integer_json(std::int64_t v) {
  if (v > kExact || v < -kExact) return std::to_string(v);
  return v;
}

std::string_view text_at(duckdb_vector vector, idx_t row) {
  auto* texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
  return {duckdb_string_t_data(&texts[row]), duckdb_string_t_length(texts[row])};
}

Json text_json(Fetch fetch, std::string_view text) {
  if (fetch == Fetch::kBigNumber) {
    std::int64_t v = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (ec == std::errc() && end == text.data() + text.size()) return integer_json(v);
  }
  std::string out(text);
  if (fetch == Fetch::kTimestamp && out.size() > 10 && out[10] == ' ') out[10] = 'T';
  return out;
}

Json cell(duckdb_vector vector, Fetch fetch, idx_t row) {
  auto* validity = duckdb_vector_get_validity(vector);
  if (validity != nullptr && !duckdb_validity_row_is_valid(validity, row)) return nullptr;
  void* data = duckdb_vector_get_data(vector);
  switch (fetch) {
    case Fetch::kBoolean: return static_cast<bool*>(data)[row];
    case Fetch::kInteger: return integer_json(static_cast<std::int64_t*>(data)[row]);
    case Fetch::kDouble: return number_json(static_cast<double*>(data)[row]);
    default: return text_json(fetch, text_at(vector, row));
  }
}

}  // namespace

std::string fetch_list(const std::vector<ResultColumn>& columns) {
  std::string list;
  for (const auto& c : columns) {
    if (!list.empty()) list += ", ";
    list += fmt::format("CAST({} AS {})", sql_identifier(c.name), fetch_type(c.fetch()));
  }
  return list;
}

Fetch ResultColumn::fetch() const { return fetch_of(sql_type); }

std::string ResultColumn::type() const {
  switch (fetch()) {
    case Fetch::kBoolean: return "bool";
    case Fetch::kInteger: return "int64";
    case Fetch::kDouble: return "double";
    case Fetch::kTimestamp: return "timestamp";
    default: break;
  }
  if (sql_type == "VARCHAR") return "string";
  std::string out = sql_type;
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

Result<std::vector<ResultColumn>> columns_of(Session& session, const std::string& select) {
  POLYSOME_ASSIGN(QueryResult result,
                  session.query(fmt::format("SELECT * FROM ({}) LIMIT 0", select)));
  std::vector<ResultColumn> out;
  for (std::size_t i = 0; i < result.column_count(); ++i)
    out.push_back({result.column_name(i), result.column_type_name(i)});
  return out;
}

Json columns_json(const std::vector<ResultColumn>& columns, std::size_t most) {
  Json out = Json::array();
  for (std::size_t i = 0; i < columns.size() && i < most; ++i)
    out.push_back({{"name", columns[i].name}, {"type", columns[i].type()}});
  return out;
}

Result<std::size_t> append_rows(Session& session, const std::vector<ResultColumn>& columns,
                                const std::string& from, const RowLimits& limits, std::size_t used,
                                Json* rows, bool* stopped) {
  *stopped = false;
  if (columns.empty() || limits.max_rows == 0) return used;
  std::vector<Fetch> fetches;
  for (const auto& c : columns) fetches.push_back(c.fetch());
  POLYSOME_ASSIGN(QueryResult result,
                  session.query(fmt::format("SELECT {} FROM {} LIMIT {}", fetch_list(columns), from,
                                            limits.max_rows)));
  std::uint64_t added = 0;
  while (duckdb_data_chunk chunk = result.fetch()) {
    const idx_t n = duckdb_data_chunk_get_size(chunk);
    for (idx_t row = 0; row < n; ++row) {
      Json object = Json::object();
      for (std::size_t c = 0; c < columns.size(); ++c)
        object[columns[c].name] = cell(duckdb_data_chunk_get_vector(chunk, c), fetches[c], row);
      const std::size_t bytes = dump(object).size() + 1;
      if (used + bytes > limits.max_bytes && !(limits.always_first && rows->empty())) {
        *stopped = true;
        return used;
      }
      used += bytes;
      rows->push_back(std::move(object));
      ++added;
    }
  }
  *stopped = added >= limits.max_rows;
  return used;
}

Result<Json> single_value(Session& session, const std::vector<ResultColumn>& columns,
                          const std::string& from) {
  Json rows = Json::array();
  bool stopped = false;
  POLYSOME_TRY(
      append_rows(session, {columns.at(0)}, from, {1, SIZE_MAX / 2, true}, 0, &rows, &stopped));
  if (rows.empty()) return Json();
  return rows[0].begin().value();
}

}  // namespace polysome
