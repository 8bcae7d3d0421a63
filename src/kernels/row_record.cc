#include "kernels/row_record.h"

#include <fmt/format.h>

#include <cstring>

namespace polysome {
namespace {

constexpr std::uint32_t kText = 0;
constexpr std::uint32_t kNone = UINT32_MAX;

std::uint32_t width_of(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN:
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_UTINYINT: return 1;
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_USMALLINT: return 2;
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DATE: return 4;
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_TIME:
    case DUCKDB_TYPE_TIME_TZ:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ: return 8;
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
    case DUCKDB_TYPE_UUID:
    case DUCKDB_TYPE_INTERVAL: return 16;
    case DUCKDB_TYPE_VARCHAR:
    case DUCKDB_TYPE_BLOB:
    case DUCKDB_TYPE_BIT: return kText;
    default: return kNone;
  }
}

std::uint32_t width_of(duckdb_logical_type type) {
  const duckdb_type id = duckdb_get_type_id(type);
  if (id == DUCKDB_TYPE_DECIMAL) return width_of(duckdb_decimal_internal_type(type));
  if (id == DUCKDB_TYPE_ENUM) return width_of(duckdb_enum_internal_type(type));
  return width_of(id);
}

bool is_valid(const std::uint64_t* mask, std::size_t row) {
  return mask == nullptr || ((mask[row / 64] >> (row % 64)) & 1U) != 0;
}

void set_missing(duckdb_vector vector, std::size_t row) {
  duckdb_vector_ensure_validity_writable(vector);
  duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
}

}  // namespace

Result<RowCodec> RowCodec::of(const RowStream& stream, std::size_t first) {
  RowCodec out;
  for (std::size_t i = first; i < stream.column_count(); ++i) {
    Column column{stream.column_name(i), SharedType(stream.column_type(i), LogicalTypeDeleter()),
                  kText};
    column.width = width_of(column.type.get());
    if (column.width == kNone)
      return fail(
          Code::kInternal,
          fmt::format("column \"{}\" is of a nested type, which has no record", column.name));
    out.columns_.push_back(std::move(column));
  }
  return out;
}

std::vector<RowSource::Column> RowCodec::columns() const {
  std::vector<RowSource::Column> out;
  for (const auto& c : columns_) out.push_back({c.name, DUCKDB_TYPE_INVALID, c.type});
  return out;
}

RowCodec::View RowCodec::view(duckdb_data_chunk chunk, std::size_t first) const {
  View out;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, first + i);
    out.data.push_back(static_cast<const char*>(duckdb_vector_get_data(vector)));
    out.validity.push_back(duckdb_vector_get_validity(vector));
  }
  return out;
}

void RowCodec::encode(const View& view, std::size_t row, std::string* out) const {
  const std::size_t bits = out->size();
  out->append((columns_.size() + 7) / 8, '\0');
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (!is_valid(view.validity[i], row)) {
      (*out)[bits + i / 8] = static_cast<char>((*out)[bits + i / 8] | (1 << (i % 8)));
      continue;
    }
    const std::uint32_t width = columns_[i].width;
    if (width != kText) {
      out->append(view.data[i] + row * width, width);
      continue;
    }
    auto text = reinterpret_cast<const duckdb_string_t*>(view.data[i])[row];
    const std::uint32_t length = duckdb_string_t_length(text);
    out->append(reinterpret_cast<const char*>(&length), sizeof length);
    out->append(duckdb_string_t_data(&text), length);
  }
}

RowCodec::Place RowCodec::place(const std::vector<duckdb_vector>& vectors) {
  Place out;
  out.vectors = vectors;
  for (auto* v : vectors) out.data.push_back(static_cast<char*>(duckdb_vector_get_data(v)));
  return out;
}

RowCodec::Place RowCodec::place(duckdb_data_chunk chunk, std::size_t first) const {
  std::vector<duckdb_vector> vectors;
  for (std::size_t i = 0; i < columns_.size(); ++i)
    vectors.push_back(duckdb_data_chunk_get_vector(chunk, first + i));
  return place(vectors);
}

void RowCodec::decode(std::string_view record, Place& place, std::size_t row) const {
  const char* at = record.data() + (columns_.size() + 7) / 8;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (((record[i / 8] >> (i % 8)) & 1) != 0) {
      set_missing(place.vectors[i], row);
      continue;
    }
    const std::uint32_t width = columns_[i].width;
    if (width != kText) {
      std::memcpy(place.data[i] + row * width, at, width);
      at += width;
      continue;
    }
    std::uint32_t length = 0;
    std::memcpy(&length, at, sizeof length);
    at += sizeof length;
    duckdb_vector_assign_string_element_len(place.vectors[i], row, at, length);
    at += length;
  }
}

void RowCodec::decode_missing(Place& place, std::size_t row) {
  for (auto* vector : place.vectors) set_missing(vector, row);
}

}  // namespace polysome
