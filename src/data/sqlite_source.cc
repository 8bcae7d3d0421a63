#include "data/sqlite_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "base/nearest.h"
#include "data/row_parts.h"
#include "data/sqlite_file.h"
#include "data/type_guess.h"

namespace polysome {
namespace {

constexpr int kSampleRows = 1000;
constexpr std::uint64_t kCountedBytes = 200'000'000;  // counting reads the file

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// Affinities as SQLite derives them from declared types (datatype3.html, 3.1); empty: look at the
// values.
std::string type_by_declaration(const std::string& declared) {
  const std::string d = upper(declared);
  const auto has = [&](const char* part) { return d.find(part) != std::string::npos; };
  if (has("INT")) return "int64";
  if (has("CHAR") || has("CLOB") || has("TEXT") || has("BLOB")) return "string";
  if (has("REAL") || has("FLOA") || has("DOUB")) return "double";
  return {};
}

void append_double(double value, std::string* row) {
  std::array<char, 32> text{};
  const auto [end, ec] = std::to_chars(text.data(), text.data() + text.size(), value);
  row->append(text.data(), static_cast<std::size_t>(end - text.data()));
}

void append_value(sqlite3_stmt* statement, int column, std::string* row) {
  if (column > 0) row->push_back(',');
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL: row->append(RowParts::kMissing); return;
    case SQLITE_INTEGER: *row += std::to_string(sqlite3_column_int64(statement, column)); return;
    case SQLITE_FLOAT: append_double(sqlite3_column_double(statement, column), row); return;
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const unsigned char*>(sqlite3_column_blob(statement, column));
      const int n = sqlite3_column_bytes(statement, column);
      std::string hex;
      for (int i = 0; i < n; ++i) hex += fmt::format("{:02x}", bytes[i]);
      RowParts::append_text(hex, row);
      return;
    }
    default: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      const auto n = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
      RowParts::append_text({text, n}, row);
    }
  }
}

std::string select_of(const DatabaseUrl& url, const std::vector<SourceColumn>& columns) {
  std::string list;
  for (const auto& c : columns) list += (list.empty() ? "" : ", ") + sql_identifier(c.name);
  return fmt::format("SELECT {} FROM {}", list, sql_identifier(url.table));
}

Status guess_by_values(SqliteFile& file, const DatabaseUrl& url, TableSource* source) {
  if (std::ranges::none_of(source->columns, [](const SourceColumn& c) { return c.type.empty(); }))
    return {};
  POLYSOME_ASSIGN(auto rows, file.prepare(select_of(url, source->columns) + " LIMIT " +
                                          std::to_string(kSampleRows)));
  std::vector<TypeGuess> guesses(source->columns.size());
  int seen = 0;
  for (;; ++seen) {
    POLYSOME_ASSIGN(const bool more, file.step(rows));
    if (!more) break;
    for (std::size_t c = 0; c < guesses.size(); ++c) {
      const int at = static_cast<int>(c);
      if (sqlite3_column_type(rows.get(), at) == SQLITE_NULL) continue;
      if (sqlite3_column_type(rows.get(), at) == SQLITE_BLOB)
        guesses[c].see("blob", {}, {});
      else
        guesses[c].see(rows.text(at), {}, {});
    }
  }
  for (std::size_t c = 0; c < guesses.size(); ++c) {
    auto& column = source->columns[c];
    if (!column.type.empty()) continue;
    column.type = name(guesses[c].type(seen < kSampleRows));
    column.from = "guessed";
  }
  return {};
}

}  // namespace

Status inspect_sqlite(const DatabaseUrl& url, TableSource* source) {
  SourceFile& at = source->files.front();
  POLYSOME_ASSIGN(auto file, SqliteFile::open(url.path, false, nullptr));
  POLYSOME_ASSIGN(const auto tables, file.tables());
  if (std::ranges::find(tables, url.table) == tables.end())
    return fail(Code::kUserData,
                fmt::format("{} has no table \"{}\"{}", url.path.substr(url.path.rfind('/') + 1),
                            url.table, did_you_mean(url.table, tables)),
                tables.empty() ? "it has no tables at all" : "");
  POLYSOME_ASSIGN(auto rows,
                  file.prepare(fmt::format("SELECT name, type FROM pragma_table_xinfo({}) "
                                           "WHERE hidden <> 1",
                                           sql_text(url.table))));
  for (;;) {
    POLYSOME_ASSIGN(const bool more, file.step(rows));
    if (!more) break;
    source->columns.push_back({rows.text(0), type_by_declaration(rows.text(1)), "format"});
  }
  POLYSOME_TRY(guess_by_values(file, url, source));
  if (at.bytes > kCountedBytes) return {};
  POLYSOME_ASSIGN(auto count, file.prepare("SELECT count(*) FROM " + sql_identifier(url.table)));
  POLYSOME_ASSIGN(const bool there, file.step(count));
  if (there) at.rows = static_cast<std::uint64_t>(sqlite3_column_int64(count.get(), 0));
  return {};
}

Result<std::vector<UnpackedPart>> ingest_sqlite(const DatabaseUrl& url, const TableSource& source,
                                                std::uint64_t partition_size,
                                                const std::string& prefix,
                                                const ScanOptions& options) {
  POLYSOME_ASSIGN(auto file, SqliteFile::open(url.path, false, options.cancelled));
  POLYSOME_ASSIGN(auto rows, file.prepare(select_of(url, source.columns)));
  RowParts parts(prefix, 0, partition_size);
  const int columns = static_cast<int>(source.columns.size());
  std::string row;
  for (std::uint64_t n = 0;; ++n) {
    POLYSOME_ASSIGN(const bool more, file.step(rows));
    if (!more) break;
    row.clear();
    for (int c = 0; c < columns; ++c) append_value(rows.get(), c, &row);
    row.push_back('\n');
    POLYSOME_TRY(parts.add(row));
    if (options.progress && n % 4096 == 0)
      options.progress(std::min(parts.bytes(), source.total_bytes()));
  }
  return parts.finish();
}

}  // namespace polysome
