#include "kernels/sql_cage.h"

#include <gmock/gmock.h>

namespace polysome {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SqlCage : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    session_ = Session::open({}).value().release();
    ASSERT_TRUE(session_->lock());
    ASSERT_TRUE(session_->run("CREATE TABLE t AS SELECT 1 AS a, 2 AS b, 'x' AS c"));
  }
  static void TearDownTestSuite() { delete session_; }

  static Result<CheckedExpression> expression(std::string_view text, ExpressionRules rules = {}) {
    return check_expression(*session_, text, rules);
  }
  static std::string refused_expression(std::string_view text) {
    const auto r = expression(text);
    return r ? "accepted" : r.error().message;
  }
  static CheckedQuery query(std::string_view text) {
    auto r = check_query(*session_, text, {"t", "samples"});
    EXPECT_TRUE(r) << text << ": " << (r ? "" : r.error().message);
    return r.value_or(CheckedQuery{});
  }
  static std::string refused(std::string_view text) {
    const auto r = check_query(*session_, text, {"t", "samples"});
    return r ? "accepted" : r.error().message;
  }
  static std::string why(std::string_view text) { return query(text).why_not_map; }

  static Session* session_;
};
Session* SqlCage::session_ = nullptr;

TEST_F(SqlCage, ExpressionsTellTheirColumns) {
  EXPECT_THAT(expression("a > 1 AND (b + \"Odd name\") < a OR c IN ('x')")->columns,
              ElementsAre("a", "b", "Odd name", "c"));
  EXPECT_THAT(expression("t.a + list_sum(list_transform(v, lambda x: x + k))")->columns,
              ElementsAre("t", "v", "k"));
  EXPECT_THAT(expression("j -> '$.x' = 1 or case when q then r else s end")->columns,
              ElementsAre("j", "q", "r", "s"));
  EXPECT_THAT(expression("current_date > d")->columns, ElementsAre("d"));
  EXPECT_FALSE(expression("random() < 0.5")->is_deterministic);
  EXPECT_FALSE(expression("now() > d")->is_deterministic);
  EXPECT_TRUE(expression("nullif(split_part(c, '-', 1), '') = 'x'")->is_deterministic);
}

TEST_F(SqlCage, AcceptedExpressionsCanBePutIntoAStatement) {
  for (const char* text :
       {"a > 0", "a > 0 -- a comment", "(a) = (1)", "a /* here */ = 1 or c = ')'"}) {
    const auto checked = expression(text);
    ASSERT_TRUE(checked) << text;
    EXPECT_EQ(session_->integer("SELECT count(*) FROM t WHERE " + checked->sql + " AND true"), 1)
        << text;
  }
}

TEST_F(SqlCage, ExpressionsCannotBreakOut) {
  for (const char* text :
       {"a) FROM t WHERE (b", "a, b", "a FROM t", "a) UNION SELECT (b", "a); DROP TABLE t; --",
        "1) AS x, (2", "a LIMIT 3", "a) ORDER BY (b", "1 WHERE true", "a;", "", "  ", "-- only",
        "a > (", "'open", "/* open", "$$open", "a AS b", "*"})
    EXPECT_FALSE(expression(text)) << text;
}

TEST_F(SqlCage, ExpressionsThatLookElsewhereAreRefusedWithAReason) {
  EXPECT_THAT(refused_expression("a IN (SELECT x FROM read_csv('/etc/passwd'))"),
              HasSubstr("subquery"));
  EXPECT_THAT(refused_expression("EXISTS (SELECT 1)"), HasSubstr("subquery"));
  EXPECT_THAT(refused_expression("getenv('HOME') = 'x'"), HasSubstr("getenv"));
  EXPECT_THAT(refused_expression("current_setting('temp_directory')"),
              HasSubstr("current_setting"));
  EXPECT_THAT(refused_expression("sum(a) > 3"), HasSubstr("aggregate"));
  EXPECT_THAT(refused_expression("geomean(a) > 3"), HasSubstr("aggregate"));
  EXPECT_THAT(refused_expression("row_number() OVER () = 1"), HasSubstr("window"));
  EXPECT_THAT(refused_expression("a > ?"), HasSubstr("parameter"));
  EXPECT_THAT(refused_expression("ps_mean(a)"), HasSubstr("not allowed"));
  EXPECT_THAT(refused_expression("a > AND 3"), HasSubstr("syntax error"));
}

TEST_F(SqlCage, AggregatesAreAllowedWhenAskedFor) {
  const auto checked = expression("sum(a) / count(*)", {.allow_aggregates = true});
  ASSERT_TRUE(checked);
  EXPECT_TRUE(checked->has_aggregate);
  EXPECT_TRUE(expression("rank() OVER (ORDER BY a)", {.allow_windows = true}));
}

TEST_F(SqlCage, PlainMapsAreProjectionAndFilterOfOneTable) {
  const auto q =
      query("SELECT a, b * 2 AS twice, upper(c) FROM t AS x WHERE x.a > 1 AND c LIKE 'y%';");
  EXPECT_TRUE(q.is_plain_map) << q.why_not_map;
  EXPECT_TRUE(q.single_table);
  EXPECT_THAT(q.tables, ElementsAre("t"));
  EXPECT_THAT(q.columns, ElementsAre("a", "b", "c"));
  EXPECT_TRUE(query("FROM t").is_plain_map);
  EXPECT_TRUE(query("SELECT * FROM T").has_star);
  EXPECT_TRUE(query("SELECT unnest([a, b]) FROM t").is_plain_map);
}

TEST_F(SqlCage, EverythingElseSaysWhyItIsNoMap) {
  EXPECT_THAT(why("SELECT sum(a) FROM t"), HasSubstr("aggregate"));
  EXPECT_THAT(why("SELECT weighted_avg(a, b) FROM t"), HasSubstr("aggregate"));
  EXPECT_THAT(why("SELECT a FROM t GROUP BY a"), HasSubstr("GROUP BY"));
  EXPECT_THAT(why("SELECT a FROM t GROUP BY ALL"), HasSubstr("GROUP BY"));
  EXPECT_THAT(why("SELECT DISTINCT a FROM t"), HasSubstr("DISTINCT"));
  EXPECT_THAT(why("SELECT a FROM t ORDER BY a"), HasSubstr("ORDER BY"));
  EXPECT_THAT(why("SELECT a FROM t LIMIT 3"), HasSubstr("LIMIT"));
  EXPECT_THAT(why("SELECT a FROM t OFFSET 3"), HasSubstr("LIMIT"));
  EXPECT_THAT(why("SELECT row_number() OVER () FROM t"), HasSubstr("window"));
  EXPECT_THAT(why("SELECT a FROM t QUALIFY row_number() OVER () = 1"), HasSubstr("window"));
  EXPECT_THAT(why("SELECT random() FROM t"), HasSubstr("changes"));
  EXPECT_THAT(why("SELECT now(), a FROM t"), HasSubstr("changes"));
  EXPECT_THAT(why("SELECT t.a FROM t, t AS u"), HasSubstr("one table"));
  EXPECT_THAT(why("SELECT t.a FROM t JOIN samples USING (a)"), HasSubstr("one table"));
  EXPECT_THAT(why("SELECT a FROM t, range(3)"), HasSubstr("one table"));
  EXPECT_THAT(why("SELECT 1"), HasSubstr("one table"));
  EXPECT_THAT(why("SELECT a FROM t UNION ALL SELECT b FROM t"), HasSubstr("set operation"));
  EXPECT_THAT(why("WITH q AS (SELECT * FROM t) SELECT * FROM q"), HasSubstr("CTE"));
  EXPECT_THAT(why("SELECT a FROM (SELECT a FROM t)"), HasSubstr("subquery"));
  EXPECT_THAT(why("SELECT a FROM t WHERE a > (SELECT avg(a) FROM t)"), HasSubstr("subquery"));
  EXPECT_THAT(why("SELECT a FROM t TABLESAMPLE 10%"), HasSubstr("sample"));
  EXPECT_THAT(why("SELECT a FROM t USING SAMPLE 10"), HasSubstr("sample"));
  EXPECT_THAT(why("SELECT a FROM t HAVING true"), testing::Not(IsEmpty()));
}

TEST_F(SqlCage, QueriesOverSeveralTablesTellThem) {
  const auto q = query(
      "WITH q AS (SELECT a FROM t), r AS (SELECT * FROM q) "
      "SELECT r.a, s.b AS z FROM r JOIN samples s ON s.a = r.a ORDER BY z");
  EXPECT_THAT(q.tables, ElementsAre("t", "samples"));
  EXPECT_FALSE(q.single_table);
  EXPECT_THAT(q.columns, ElementsAre("a", "b"));
}

TEST_F(SqlCage, OneSelectAndNothingElse) {
  for (const char* text : {"",
                           ";",
                           "DROP TABLE t",
                           "INSERT INTO t VALUES (1)",
                           "COPY t TO '/tmp/x'",
                           "ATTACH '/tmp/x.db'",
                           "PRAGMA database_list",
                           "SET threads = 4",
                           "INSTALL httpfs",
                           "LOAD httpfs",
                           "CALL range(3)",
                           "EXPORT DATABASE '/tmp/x'",
                           "CREATE TABLE x AS SELECT 1",
                           "CREATE MACRO m() AS 1",
                           "SELECT 1; SELECT 2",
                           "EXPLAIN SELECT 1",
                           "DESCRIBE t",
                           "SUMMARIZE t",
                           "SHOW TABLES",
                           "PREPARE p AS SELECT 1",
                           "VACUUM",
                           "UPDATE t SET a = 2",
                           "SELECT a FROM t WHERE"})
    EXPECT_NE(refused(text), "accepted") << text;
}

TEST_F(SqlCage, FilesSettingsAndForeignTablesCannotBeReached) {
  EXPECT_THAT(refused("SELECT * FROM read_csv('/etc/passwd')"), HasSubstr("read_csv"));
  EXPECT_THAT(refused("SELECT * FROM read_text('/etc/passwd')"), HasSubstr("read_text"));
  EXPECT_THAT(refused("SELECT * FROM glob('/*')"), HasSubstr("glob"));
  EXPECT_THAT(refused("SELECT * FROM ps_scan(1)"), HasSubstr("ps_scan"));
  EXPECT_THAT(refused("SELECT * FROM query('SELECT 1')"), HasSubstr("query"));
  EXPECT_THAT(refused("SELECT * FROM query_table('t')"), HasSubstr("query_table"));
  EXPECT_THAT(refused("SELECT * FROM duckdb_settings()"), HasSubstr("duckdb_settings"));
  EXPECT_THAT(refused("SELECT * FROM pragma_database_list()"), HasSubstr("pragma"));
  EXPECT_THAT(refused("SELECT * FROM '/etc/passwd'"), HasSubstr("/etc/passwd"));
  EXPECT_THAT(refused("SELECT * FROM 'x.parquet'"), HasSubstr("x.parquet"));
  EXPECT_THAT(refused("SELECT * FROM information_schema.tables"), HasSubstr("tables"));
  EXPECT_THAT(refused("SELECT * FROM main.t"), HasSubstr("not one of"));
  EXPECT_THAT(refused("SELECT a FROM t WHERE a IN (SELECT x FROM read_csv('f'))"),
              HasSubstr("read_csv"));
  EXPECT_THAT(refused("WITH q AS (FROM glob('*')) SELECT * FROM q"), HasSubstr("glob"));
  EXPECT_THAT(refused("SELECT (SELECT max(x) FROM secret) FROM t"), HasSubstr("secret"));
  EXPECT_THAT(refused("SELECT a FROM t ORDER BY (SELECT x FROM secret)"), HasSubstr("secret"));
  EXPECT_THAT(refused("SELECT a FROM t LIMIT (SELECT x FROM secret)"), HasSubstr("secret"));
  EXPECT_THAT(refused("SELECT sum(a) OVER (ORDER BY (SELECT x FROM secret)) FROM t"),
              HasSubstr("secret"));
  EXPECT_THAT(refused("SELECT a FROM t UNION SELECT x FROM secret"), HasSubstr("secret"));
  EXPECT_NE(refused("FROM (PIVOT secret ON a USING sum(b))"), "accepted");
  EXPECT_THAT(refused("FROM (UNPIVOT secret ON a INTO NAME n VALUE v)"), HasSubstr("secret"));
  EXPECT_THAT(refused("WITH RECURSIVE q AS (SELECT 1 UNION ALL SELECT x FROM secret) FROM q"),
              HasSubstr("secret"));
  EXPECT_THAT(refused("SELECT * FROM t, LATERAL (SELECT x FROM secret)"), HasSubstr("secret"));
  EXPECT_THAT(refused("SELECT getenv('HOME') FROM t"), HasSubstr("getenv"));
  // A CTE is known only where it is in scope.
  EXPECT_THAT(refused("SELECT * FROM (WITH q AS (SELECT 1) SELECT * FROM q), q"),
              HasSubstr("\"q\""));
}

TEST_F(SqlCage, AMistypedTableIsAnsweredWithTheNearest) {
  EXPECT_THAT(refused("SELECT * FROM sampels"), HasSubstr("did you mean \"samples\""));
}

}  // namespace
}  // namespace polysome
