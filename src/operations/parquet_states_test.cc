// States of groups straight from Parquet's pages: the same bits as SQL's aggregates of the same
// rows.
#include "operations/parquet_states.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>

#include "data/data_fixture.h"
#include "kernels/row_source.h"

namespace polysome {
namespace {

constexpr int kRows = 4500;

struct Ask {
  std::vector<std::string> keys, values;
  bool squares = true;
  std::uint64_t memory = 0;
};

class ParquetStates : public DataTest {
 protected:
  // Keys with few values, which come in dictionaries, and with many, which do not; both with
  // missing ones. Rows come in groups of 2048.
  std::string file(const std::string& name, const std::string& options) {
    const std::string out = path(name);
    const Status made = session_->run(fmt::format(
        "COPY (SELECT CASE WHEN i % 7 <> 3 THEN 'gene ' || (i * 31 % 50) END AS t, "
        "CASE WHEN i % 11 <> 3 THEN 'a longer name, of transcript ' || (i * 3) END AS u, "
        "CASE WHEN i % 5 <> 1 THEN i * 17 % 9 - 4 END::BIGINT AS i, (i % 13)::SMALLINT AS k, "
        "CASE WHEN i % 17 <> 1 THEN i * 1000003 END AS j, 'one' AS same, NULL::VARCHAR AS none, "
        "CASE WHEN i % 3 = 0 THEN NULL WHEN i % 97 = 1 THEN 'NaN'::DOUBLE WHEN i % 89 = 2 THEN "
        "'Infinity'::DOUBLE WHEN i % 13 = 4 THEN -0.0 ELSE (i - 50) * power(10, i % 40 - 20) / 3 "
        "END AS x, i / 8 AS y, (i / 7)::FLOAT AS f, (i % 3)::DOUBLE AS d, "
        "CASE WHEN i % 4 <> 0 THEN i * 4611686018427 END AS n, (i % 100)::TINYINT AS small "
        "FROM range({}) r(i)) TO {} (FORMAT parquet, ROW_GROUP_SIZE 2048{})",
        kRows, sql_text(out), options));
    EXPECT_TRUE(made) << made.error().message;
    return out;
  }
  ParquetStatesPlan plan(const TableSource& source, const Ask& ask) {
    ParquetStatesPlan out{ask.keys, ask.values, {}, ask.squares, ask.memory};
    const auto type = [&](const std::string& name) {
      const auto at = std::ranges::find(source.columns, name, &SourceColumn::name);
      EXPECT_NE(at, source.columns.end()) << name;
      return value_type_from_name(at->type).value_or(ValueType::kString);
    };
    for (const auto& k : ask.keys) out.shape.keys.push_back(type(k));
    for (const auto& v : ask.values) out.shape.values.push_back(type(v));
    out.shape.extremes = true;
    out.shape.memory = ask.memory;
    return out;
  }
  // Adds the states that there are to the table `into` of the session.
  Status keep(PartialStates& states, const std::vector<std::uint32_t>& places, ValueType type,
              const std::string& into) {
    POLYSOME_TRY(register_row_source(*session_));
    const auto handle = session_->hold(states.states(type, true, places));
    const std::string rows =
        fmt::format("SELECT * {}FROM ps_rows({}::UBIGINT)",
                    type == ValueType::kInt64 ? "REPLACE (s::DECIMAL(38,0) AS s) " : "", handle);
    const Status done =
        session_->run(fmt::format("CREATE TABLE IF NOT EXISTS {0} AS {1} LIMIT 0", into, rows));
    if (!done) return done;
    const Status added = session_->run(fmt::format("INSERT INTO {} {}", into, rows));
    session_->release(handle);
    return added;
  }
  // States of these pieces by both ways; both are merged, so that it does not matter how often the
  // table was full.
  void expect_as_sql(const std::string& path, const Ask& ask, std::vector<Partition> pieces,
                     int* taken = nullptr) {
    const auto source = look(path);
    ASSERT_TRUE(source) << source.error().message;
    const ParquetStatesPlan asked = plan(*source, ask);
    std::vector<std::uint32_t> places;
    for (std::uint32_t v = 0; v < ask.values.size(); ++v) places.push_back(v);
    const auto states = make_parquet_states(*source, pieces, {}, asked);
    const auto take = [&]() -> Status {
      if (taken != nullptr) ++*taken;
      for (const auto type : {ValueType::kInt64, ValueType::kDouble})
        if (std::ranges::find(asked.shape.values, type) != asked.shape.values.end())
          POLYSOME_TRY(keep(*states, places, type, std::string("found_") + name(type).data()));
      return {};
    };
    const auto done = states->read(take);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_TRUE(*done);
    const Status last = take();
    ASSERT_TRUE(last) << last.error().message;
    std::uint64_t rows_asked = 0;
    for (const auto& p : pieces) rows_asked += p.length;
    EXPECT_EQ(states->rows(), rows_asked);

    const auto opened = open_view(*session_, "v", *source, pieces, {});
    ASSERT_TRUE(opened) << opened.error().message;
    std::string keys, names;
    for (std::size_t k = 0; k < ask.keys.size(); ++k) {
      keys += fmt::format("{} AS k{}, ", ask.keys[k], k);
      names += fmt::format("k{}, ", k);
    }
    for (const auto type : {ValueType::kInt64, ValueType::kDouble}) {
      const bool whole = type == ValueType::kInt64;
      const std::string sum = whole ? "sum(s)::DECIMAL(38,0) AS s, " : "";
      std::string sql;
      for (std::uint32_t v = 0; v < ask.values.size(); ++v) {
        if (asked.shape.values[v] != type) continue;
        const std::string x = ask.values[v] + (whole ? "" : " + 0.0");
        sql += fmt::format(
            "{}SELECT {}{} AS col, count(*) AS rows, count({}) AS n, {}({}) AS m, {}min({}) AS lo, "
            "max({}) AS hi FROM v GROUP BY ALL",
            sql.empty() ? "" : " UNION ALL ", keys, v, ask.values[v],
            ask.squares ? "ps_moments" : "ps_sums", x,
            whole ? fmt::format("sum({})::DECIMAL(38,0) AS s, ", ask.values[v]) : "", x, x);
      }
      if (sql.empty()) continue;
      const std::string found = fmt::format(
          "SELECT {0}col, sum(rows) AS rows, sum(n) AS n, ps_moments_merge(m) AS m, {1}min(lo) AS "
          "lo, max(hi) AS hi FROM found_{2} GROUP BY {0}col ORDER BY ALL",
          names, sum, name(type));
      // Merging also makes states of no values alike.
      const std::string wanted = fmt::format(
          "SELECT {}col, rows, n, ps_moments_merge(m) AS m, {}lo, hi FROM ({}) GROUP BY "
          "ALL ORDER BY ALL",
          names, whole ? "s, " : "", sql);
      const auto direct = rows(found), expected = rows(wanted);
      ASSERT_TRUE(direct) << direct.error().message;
      ASSERT_TRUE(expected) << expected.error().message;
      ASSERT_EQ(direct->size(), expected->size());
      for (std::size_t i = 0; i < direct->size(); ++i)
        ASSERT_EQ((*direct)[i], (*expected)[i]) << fmt::format("{} by {}", ask.values, ask.keys);
      ASSERT_TRUE(session_->run(fmt::format("DROP TABLE found_{}", name(type))));
    }
  }
  static Partition rows_of(std::uint64_t first, std::uint64_t n) { return {0, first, n, n, n}; }
  // What read() says; false: not this way.
  Result<bool> read(const std::string& path, const Ask& ask, std::vector<Partition> pieces,
                    const ScanOptions& options = {}) {
    POLYSOME_ASSIGN(const auto source, look(path));
    return make_parquet_states(source, std::move(pieces), options, plan(source, ask))->read();
  }
  std::string encodings(const std::string& path, const std::string& column) {
    const auto found = rows(fmt::format(
        "SELECT DISTINCT encodings FROM parquet_metadata({}) WHERE path_in_schema = {} ORDER BY 1",
        sql_text(path), sql_text(column)));
    EXPECT_TRUE(found);
    std::string out;
    for (const auto& row : *found) out += row[0].value_or("") + ";";
    return out;
  }
};

const std::vector<std::vector<std::string>> kKeys = {
    {"t"},    {"u"},      {"i"},      {"k"},      {"j"},           {"same"},
    {"none"}, {"t", "i"}, {"k", "t"}, {"u", "t"}, {"i", "j", "t"}, {"same", "none"}};

TEST_F(ParquetStates, EveryKindOfKeyIsWhatSqlSays) {
  const std::string source = file("t.parquet", "");
  // Dictionaries where values repeat, none where they do not: both ways to a group are met.
  EXPECT_THAT(encodings(source, "t"), testing::HasSubstr("DICTIONARY"));
  EXPECT_THAT(encodings(source, "i"), testing::HasSubstr("DICTIONARY"));
  EXPECT_THAT(encodings(source, "u"), testing::Not(testing::HasSubstr("DICTIONARY")));
  EXPECT_THAT(encodings(source, "j"), testing::Not(testing::HasSubstr("DICTIONARY")));
  EXPECT_THAT(encodings(source, "d"), testing::HasSubstr("DICTIONARY"));
  for (const auto& keys : kKeys)
    expect_as_sql(source, {keys, {"x", "n", "y", "f", "d", "small"}}, {rows_of(0, kRows)});
}

TEST_F(ParquetStates, AnyRowsOfAFile) {
  const std::string source = file("t.parquet", "");
  for (const auto& pieces :
       {std::vector{rows_of(1, 1)}, std::vector{rows_of(2047, 2)}, std::vector{rows_of(3000, 1500)},
        std::vector{rows_of(0, 1000), rows_of(1000, 3096)}, std::vector{rows_of(4096, 404)}})
    for (const auto& keys : {std::vector<std::string>{"t"}, {"u"}, {"k", "i"}})
      expect_as_sql(source, {keys, {"x", "n"}, false}, pieces);
}

TEST_F(ParquetStates, EveryEncodingAndCompression) {
  for (const char* options : {", PARQUET_VERSION v2", ", COMPRESSION uncompressed",
                              ", COMPRESSION zstd, PARQUET_VERSION v2", ", DICTIONARY_SIZE_LIMIT 1",
                              ", STRING_DICTIONARY_PAGE_SIZE_LIMIT 300"}) {
    SCOPED_TRACE(options);
    const std::string source = file("t.parquet", options);
    for (const auto& keys : {std::vector<std::string>{"t"}, {"u"}, {"i"}, {"k", "t"}, {"j", "u"}})
      expect_as_sql(source, {keys, {"x", "n", "f"}}, {rows_of(9, 4000)});
  }
}

TEST_F(ParquetStates, TwoFilesOfOneDataset) {
  std::filesystem::create_directory(path("parts"));
  file("parts/a.parquet", "");
  file("parts/b.parquet", ", DICTIONARY_SIZE_LIMIT 1");
  for (const auto& keys : {std::vector<std::string>{"t"}, {"i", "t"}, {"j"}})
    expect_as_sql(path("parts"), {keys, {"x", "n"}},
                  {{0, 0, kRows, 100, kRows}, {1, 0, kRows, 100, kRows}});
}

TEST_F(ParquetStates, AFullTableIsTakenAndReadingGoesOn) {
  const std::string source = file("t.parquet", "");
  for (const auto& keys : {std::vector<std::string>{"u"}, {"t", "j"}}) {
    int taken = 0;
    expect_as_sql(source, {keys, {"x", "n"}, true, 400'000}, {rows_of(0, kRows)}, &taken);
    EXPECT_GT(taken, 2);
    const auto nobody_takes = read(source, {keys, {"x", "n"}, true, 400'000}, {rows_of(0, kRows)});
    ASSERT_TRUE(nobody_takes) << nobody_takes.error().message;
    EXPECT_FALSE(*nobody_takes);
  }
}

TEST_F(ParquetStates, WhatIsNotForThisWayIsReadAnotherWay) {
  const std::string source = file("t.parquet", "");
  const auto other = path("other.parquet");
  ASSERT_TRUE(session_->run(fmt::format(
      "COPY (SELECT CASE WHEN i = 70 THEN chr(0) ELSE 'a' END AS nul, i::UINTEGER AS unsigned, "
      "i::DECIMAL(9, 2) AS decimal, i::DOUBLE AS x, 'b'::BLOB AS bytes, {{'a': i}} AS nested FROM "
      "range(100) r(i)) TO {} (FORMAT parquet)",
      sql_text(other))));
  const auto refused = [&](const std::string& file, const Ask& ask, Partition piece) {
    const auto done = read(file, ask, {piece});
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_FALSE(done.value_or(true)) << fmt::format("{} by {}", ask.values, ask.keys);
  };
  refused(other, {{"nul"}, {"x"}}, rows_of(0, 100));
  refused(other, {{"unsigned"}, {"x"}}, rows_of(0, 100));
  refused(other, {{"bytes"}, {"x"}}, rows_of(0, 100));
  refused(other, {{"nested"}, {"x"}}, rows_of(0, 100));
  // Rows that are not there, and pages for which there is no memory.
  refused(other, {{"nul"}, {"x"}}, rows_of(0, 50'000));
  refused(source, {{"t"}, {"x"}}, rows_of(0, kRows + 1));
  refused(source, {{"t"}, {"x"}, true, 1000}, rows_of(0, kRows));
  // The key that is not for this way is not met.
  expect_as_sql(other, {{"nul"}, {"x"}}, {rows_of(0, 70)});
}

TEST_F(ParquetStates, ABrokenPageIsForDuckDbToTell) {
  const std::string source = file("t.parquet", ", COMPRESSION zstd");
  std::string bytes;
  {
    std::ifstream in(source, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  int failed = 0;
  for (std::size_t at = 4; at < bytes.size() / 2; at += 997) {
    std::string broken = bytes;
    broken[at] = static_cast<char>(~broken[at]);
    write("broken.parquet", broken);
    const auto done = read(path("broken.parquet"), {{"t"}, {"x", "n"}}, {rows_of(0, kRows)});
    ASSERT_TRUE(done) << done.error().message;
    failed += *done ? 0 : 1;
  }
  EXPECT_GT(failed, 0);
}

TEST_F(ParquetStates, ItCanBeCancelledAndTellsHowFarItIs) {
  const std::string source = file("t.parquet", "");
  const std::atomic<bool> cancelled = true;
  ScanOptions options;
  options.cancelled = &cancelled;
  const auto done = read(source, {{"t"}, {"x"}}, {rows_of(0, kRows)}, options);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kCancelled);
  std::vector<std::uint64_t> told;
  options = {};
  options.progress = [&](std::uint64_t bytes) { told.push_back(bytes); };
  ASSERT_TRUE(read(source, {{"t"}, {"x"}}, {{0, 0, kRows, 100 * kRows, kRows}}, options));
  EXPECT_THAT(told, testing::ElementsAre(0));
}

}  // namespace
}  // namespace polysome
