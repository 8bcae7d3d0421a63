#include "data/postgres_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/nearest.h"
#include "data/postgres.h"
#include "data/row_parts.h"

namespace polysome {
namespace {

constexpr std::uint64_t kStreams = 4;
constexpr std::uint64_t kWorthAStream = 32'000'000;  // bytes of the table
constexpr int kTidRangeScans = 140'000;  // before, each range would read the whole table

struct TypeOf {
  std::string_view theirs;  // pg_type.typname
  std::string_view ours;
  std::string_view read;  // {} is the column
};
constexpr std::array<TypeOf, 11> kTypes{{
    {"int2", "int64", "{}"},
    {"int4", "int64", "{}"},
    {"int8", "int64", "{}"},
    {"oid", "int64", "{}"},
    {"float4", "double", "{}::float8"},
    {"float8", "double", "{}"},
    {"numeric", "double", "{}"},
    {"bool", "bool", "CASE WHEN {} THEN 'true' WHEN NOT {} THEN 'false' END"},
    {"date", "date", "{}"},
    {"timestamp", "timestamp", "{}"},
    {"timestamptz", "timestamp", "{} AT TIME ZONE 'UTC'"},
}};

const TypeOf* known_type(const std::string& theirs) {
  const auto it = std::ranges::find(kTypes, theirs, &TypeOf::theirs);
  return it == kTypes.end() ? nullptr : &*it;
}

std::string read_as(const std::string& column, const std::string& theirs) {
  std::string form = theirs == "bytea" ? "encode({}, 'hex')" : "{}::text";
  if (const TypeOf* type = known_type(theirs)) form = type->read;
  for (auto at = form.find("{}"); at != std::string::npos; at = form.find("{}", at + column.size()))
    form.replace(at, 2, column);
  return form;
}

std::uint64_t whole(const std::string& text) {
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

struct Relation {
  std::string oid;
  std::string kind;  // pg_class.relkind
  std::uint64_t bytes = 0;
  std::int64_t rows = -1;  // estimate of the last ANALYZE
  std::uint64_t pages = 0;
};

Result<Relation> find_relation(Postgres& db, const DatabaseUrl& url) {
  POLYSOME_ASSIGN(
      const auto found,
      db.query(fmt::format(
          "SELECT c.oid, c.relkind, pg_total_relation_size(c.oid), c.reltuples::bigint, "
          "pg_relation_size(c.oid) / current_setting('block_size')::bigint "
          "FROM pg_class c WHERE c.oid = to_regclass({}) AND c.relkind IN ('r','v','m','p','f')",
          db.literal(db.table_name(url.table)))));
  if (found.rows() == 1) {
    Relation out{found.text(0, 0), found.text(0, 1), whole(found.text(0, 2)), -1,
                 whole(found.text(0, 4))};
    if (!found.text(0, 3).starts_with('-'))
      out.rows = static_cast<std::int64_t>(whole(found.text(0, 3)));
    return out;
  }
  std::vector<std::string> tables;
  POLYSOME_ASSIGN(const auto others,
                  db.query("SELECT CASE WHEN pg_table_is_visible(c.oid) THEN relname ELSE nspname "
                           "|| '.' || relname END FROM pg_class c JOIN pg_namespace n ON n.oid = "
                           "relnamespace WHERE relkind IN ('r','v','m','p','f') AND nspname NOT IN "
                           "('pg_catalog', 'information_schema') ORDER BY 1 LIMIT 1000"));
  for (int i = 0; i < others.rows(); ++i) tables.push_back(others.text(i, 0));
  return fail(Code::kUserData, fmt::format("the database at {} has no table \"{}\"{}", url.host,
                                           url.table, did_you_mean(url.table, tables)));
}

// Names of columns and of their types, in order.
Result<std::vector<std::pair<std::string, std::string>>> columns_of(Postgres& db,
                                                                    const Relation& relation) {
  POLYSOME_ASSIGN(
      const auto rows,
      db.query(fmt::format(
          "SELECT a.attname, CASE WHEN t.typtype = 'd' THEN b.typname ELSE t.typname END "
          "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
          "LEFT JOIN pg_type b ON b.oid = t.typbasetype "
          "WHERE a.attrelid = {} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
          relation.oid)));
  std::vector<std::pair<std::string, std::string>> out;
  for (int i = 0; i < rows.rows(); ++i) out.emplace_back(rows.text(i, 0), rows.text(i, 1));
  return out;
}

// "COPY (SELECT …) TO STDOUT" of a stream's pages [first, end); the last one has no end.
std::string copy_of(const std::string& select, std::size_t columns, std::uint64_t first,
                    std::uint64_t end, bool last) {
  std::string where;
  if (first > 0) where = fmt::format(" WHERE ctid >= '({},0)'::tid", first);
  if (!last) where += fmt::format("{} ctid < '({},0)'::tid", first > 0 ? " AND" : " WHERE", end);
  // An empty text alone in its row would be a blank line.
  return fmt::format("COPY ({}{}) TO STDOUT (FORMAT csv, NULL '\\N'{})", select, where,
                     columns == 1 ? ", FORCE_QUOTE *" : "");
}

}  // namespace

Status inspect_postgres(const DatabaseUrl& url, const Connections& connections,
                        TableSource* source) {
  POLYSOME_ASSIGN(auto db, Postgres::connect(url, connections));
  POLYSOME_ASSIGN(const Relation relation, find_relation(db, url));
  POLYSOME_ASSIGN(const auto columns, columns_of(db, relation));
  std::size_t numeric = 0;
  for (const auto& [name, theirs] : columns) {
    const TypeOf* type = known_type(theirs);
    source->columns.push_back(
        {name, std::string(type != nullptr ? type->ours : "string"), "format"});
    numeric += theirs == "numeric" ? 1 : 0;
  }
  if (columns.empty())
    return fail(Code::kUserData, fmt::format("table \"{}\" has no columns", url.table));
  if (numeric > 0)
    source->dialect["warnings"] = Json::array(
        {{{"code", "numeric_as_double"},
          {"count", numeric},
          {"message",
           fmt::format("{} column{} of type numeric {} read as double (15 digits)", numeric,
                       numeric == 1 ? "" : "s", numeric == 1 ? "is" : "are")}}});
  source->files.front().bytes = std::max<std::uint64_t>(relation.bytes, 1);
  if (relation.rows >= 0) source->dialect["estimated_rows"] = relation.rows;
  return {};
}

Result<std::vector<UnpackedPart>> ingest_postgres(
    const DatabaseUrl& url, const Connections& connections, const TableSource& source,
    std::uint64_t partition_size, const std::string& prefix, const ScanOptions& options) {
  constexpr const char* kBegin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
  POLYSOME_ASSIGN(auto first, Postgres::connect(url, connections));
  POLYSOME_TRY(first.run(kBegin));
  POLYSOME_ASSIGN(const Relation relation, find_relation(first, url));
  POLYSOME_ASSIGN(const auto types, columns_of(first, relation));
  std::string list;
  for (const auto& c : source.columns) {
    const auto it = std::ranges::find(types, c.name, [](const auto& t) { return t.first; });
    if (it == types.end())
      return fail(Code::kUserData, fmt::format("column \"{}\" of table \"{}\" is no longer there",
                                               c.name, url.table));
    list += (list.empty() ? "" : ", ") + read_as(first.identifier(c.name), it->second);
  }
  const std::string select = fmt::format("SELECT {} FROM {}", list, first.table_name(url.table));
  const bool by_pages = (relation.kind == "r" || relation.kind == "m") &&
                        PQserverVersion(first.get()) >= kTidRangeScans;
  const std::uint64_t streams =
      by_pages ? std::clamp<std::uint64_t>(relation.bytes / kWorthAStream, 1, kStreams) : 1;
  std::vector<Postgres> others;
  if (streams > 1) {
    POLYSOME_ASSIGN(const auto snapshot, first.query("SELECT pg_export_snapshot()"));
    for (std::uint64_t i = 1; i < streams; ++i) {
      POLYSOME_ASSIGN(auto one, Postgres::connect(url, connections));
      POLYSOME_TRY(one.run(kBegin));
      POLYSOME_TRY(one.run("SET TRANSACTION SNAPSHOT " + one.literal(snapshot.text(0, 0))));
      others.push_back(std::move(one));
    }
  }
  std::vector<Postgres*> all{&first};
  for (auto& one : others) all.push_back(&one);
  std::vector<RowParts> parts;
  for (std::uint64_t i = 0; i < streams; ++i) {
    const std::uint64_t from = relation.pages * i / streams;
    const std::uint64_t to = relation.pages * (i + 1) / streams;
    POLYSOME_TRY(all[i]->run(copy_of(select, source.columns.size(), from, to, i + 1 == streams)));
    parts.emplace_back(prefix, static_cast<std::uint32_t>(i), partition_size);
  }
  std::uint64_t done = 0, rows = 0;
  POLYSOME_TRY(read_copies(
      all,
      [&](std::size_t i, std::string_view row) -> Status {
        done += row.size();
        if (options.progress && ++rows % 4096 == 0)
          options.progress(std::min(done, source.total_bytes()));
        return parts[i].add(row);
      },
      options.cancelled));
  std::vector<UnpackedPart> out;
  for (auto& p : parts) {
    POLYSOME_ASSIGN(auto made, p.finish());
    for (auto& part : made)
      if (part.bytes > 0 || (out.empty() && &p == &parts.back())) out.push_back(std::move(part));
  }
  return out;
}

}  // namespace polysome
