#include "data/database_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "data/file_look.h"
#include "data/postgres_source.h"
#include "data/row_parts.h"
#include "data/source_files.h"
#include "data/sqlite_source.h"

namespace polysome {
namespace {

constexpr const char* kUrl = "database";  // in the dialect
// How a table lies does not change when it is read.
constexpr const char* kLasting[] = {"kind", "orientation", "label_columns", "scale",
                                    "zero_is_missing"};

Status declare_types(const Json& layout, TableSource* source) {
  const auto types = layout.find("types");
  if (types == layout.end()) return {};
  for (const auto& [name, type] : types->items()) {
    const auto column = std::ranges::find(source->columns, name, &SourceColumn::name);
    if (column == source->columns.end())
      return fail(
          Code::kUserData,
          fmt::format("layout names column \"{}\", which is not in dataset {}", name, source->id));
    column->type = type.get<std::string>();
    column->from = "declared";
  }
  return {};
}

}  // namespace

bool is_database(const std::string& format) { return format == "sqlite" || format == "postgresql"; }

Result<TableSource> inspect_database(const DatasetRef& ref,
                                     const std::vector<std::string>& read_roots,
                                     const Connections& connections) {
  POLYSOME_ASSIGN(DatabaseUrl url, parse_database_url(ref.source));
  TableSource source;
  source.id = ref.id;
  SourceFile file;
  if (url.kind == DatabaseUrl::Kind::kSqlite) {
    source.format = "sqlite";
    DatasetRef where;
    where.source = url.path;
    where.format = source.format;
    POLYSOME_ASSIGN(FoundFiles found, find_files(where, read_roots));
    file = std::move(found.files.front());
    file.compression.clear();
    url.path = file.path;
  } else {
    source.format = "postgresql";
    file.path = url.text();
  }
  file.shown_as = url.label();
  source.files = {std::move(file)};
  POLYSOME_TRY(url.kind == DatabaseUrl::Kind::kSqlite
                   ? inspect_sqlite(url, &source)
                   : inspect_postgres(url, connections, &source));
  source.dialect[kUrl] = url.text();
  POLYSOME_TRY(declare_types(ref.layout, &source));
  return source;
}

Result<std::vector<UnpackedPart>> ingest_table(const TableSource& source,
                                               std::uint64_t partition_size,
                                               const std::string& output_prefix,
                                               const ScanOptions& options) {
  POLYSOME_ASSIGN(const DatabaseUrl url,
                  parse_database_url(source.dialect.at(kUrl).get<std::string>()));
  static const Connections kNone;
  const Connections& connections = options.connections != nullptr ? *options.connections : kNone;
  return source.format == "sqlite"
             ? ingest_sqlite(url, source, partition_size, output_prefix, options)
             : ingest_postgres(url, connections, source, partition_size, output_prefix, options);
}

TableSource ingested_source(const TableSource& source) {
  TableSource out = source;
  out.format = "csv";
  out.files.clear();
  // NaN is a number that means missing; of text only what the database calls so.
  Json missing = {{"*", {std::string(RowParts::kMissing)}}};
  for (const auto& c : source.columns)
    if (c.type == "double") missing[c.name] = {std::string(RowParts::kMissing), "NaN", "nan"};
  out.dialect = {{"delimiter", ","},
                 {"quote", "\""},
                 {"comment", ""},
                 {"header", false},
                 {"decimal", "."},
                 {"fields", source.columns.size()},
                 {"null_values", std::move(missing)}};
  for (const char* key : kLasting)
    if (source.dialect.contains(key)) out.dialect[key] = source.dialect[key];
  return out;
}

}  // namespace polysome
