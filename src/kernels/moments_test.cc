#include "kernels/moments.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

namespace polysome {
namespace {

std::unique_ptr<Session> open_session(std::uint64_t memory = 1'000'000'000) {
  SessionConfig config;
  config.memory = memory;
  config.temp_folder = (std::filesystem::path(testing::TempDir()) / "moments_spill").string();
  auto session = Session::open(config);
  EXPECT_TRUE(session) << (session ? "" : session.error().message);
  return std::move(*session);
}

std::string text(Session& session, const std::string& sql) {
  const auto out = session.text(sql);
  return out ? *out : "error: " + out.error().message;
}

TEST(MomentsInSql, MissingValuesAreNeitherCountedNorAdded) {
  auto s = open_session();
  const std::string from = " FROM (VALUES (1.5), (NULL), ('nan'::DOUBLE), (2.5)) t(x)";
  EXPECT_EQ(text(*s, "SELECT ps_count(ps_moments(x::DOUBLE))" + from), "2");
  EXPECT_EQ(text(*s, "SELECT ps_sum(ps_sums(x::DOUBLE))" + from), "4.0");
  EXPECT_EQ(text(*s, "SELECT ps_mean(ps_moments(x::DOUBLE))" + from), "2.0");
  EXPECT_EQ(text(*s, "SELECT ps_var(ps_moments(x::DOUBLE), 1)" + from), "0.5");
  EXPECT_EQ(text(*s, "SELECT ps_std(ps_moments(x::DOUBLE), 0)" + from), "0.5");
}

TEST(MomentsInSql, EmptyGroupsHaveSumZeroAndNoMean) {
  auto s = open_session();
  EXPECT_EQ(text(*s, "SELECT ps_sum(ps_moments(x)) FROM (SELECT 1.0::DOUBLE x) WHERE x > 2"),
            "0.0");
  EXPECT_EQ(text(*s, "SELECT ps_count(NULL::BLOB)"), "0");
  EXPECT_EQ(text(*s, "SELECT ps_mean(ps_moments(NULL::DOUBLE)) IS NULL"), "true");
  EXPECT_EQ(text(*s, "SELECT ps_var(ps_moments(1.0::DOUBLE), 1) IS NULL"), "true");
  EXPECT_EQ(text(*s, "SELECT ps_var(ps_moments(1.0::DOUBLE), 0)"), "0.0");
  EXPECT_EQ(text(*s, "SELECT ps_var(ps_sums(x::DOUBLE), 0) IS NULL FROM range(9) t(x)"), "true");
}

TEST(MomentsInSql, IntegerColumnsAreSummedAsIntegers) {
  auto s = open_session();
  EXPECT_EQ(
      text(*s,
           "SELECT ps_sum(ps_sums(x)) FROM (VALUES (9007199254740993), (-9007199254740992)) t(x)"),
      "1.0");
  EXPECT_EQ(text(*s, "SELECT ps_mean(ps_moments(x::INTEGER)) FROM range(5) t(x)"), "2.0");
}

TEST(MomentsInSql, DamagedStateIsAnErrorOfTheQuery) {
  auto s = open_session();
  const auto r = s->text("SELECT ps_mean('abc'::BLOB)");
  ASSERT_FALSE(r);
  EXPECT_THAT(r.error().message, testing::HasSubstr("not a state"));
  EXPECT_FALSE(s->run("SELECT ps_moments_merge('abc'::BLOB)"));
}

// Values that need the full range in each group, with states merged over partitions.
TEST(MomentsInSql, PartitionsMergeToTheSameBytes) {
  auto s = open_session();
  ASSERT_TRUE(s->run(
      "CREATE TABLE t AS SELECT x % 300 AS g, x % 7 AS p, "
      "((hash(x) % 1000003)::BIGINT - 500000) * pow(10, x % 60 - 30) AS v FROM range(60000) r(x)"));
  for (const auto* f : {"ps_moments", "ps_sums"}) {
    const std::string whole = fmt::format("SELECT g, {}(v) m FROM t GROUP BY g", f);
    const std::string merged = fmt::format(
        "SELECT g, ps_moments_merge(m) m FROM (SELECT g, p, {}(v) m FROM t GROUP BY g, p) "
        "GROUP BY g",
        f);
    EXPECT_EQ(text(*s, fmt::format("SELECT count(*) FROM (({}) INTERSECT ({}))", whole, merged)),
              "300");
  }
  ASSERT_TRUE(s->run("CREATE TABLE shuffled AS SELECT * FROM t ORDER BY hash(v)"));
  EXPECT_EQ(text(*s,
                 "SELECT count(*) FROM (SELECT g, ps_moments(v) m FROM t GROUP BY g "
                 "INTERSECT SELECT g, ps_moments(v) FROM shuffled GROUP BY g)"),
            "300");
}

TEST(MomentsInSql, SpilledGroupsGiveTheSameStates) {
  auto roomy = open_session();
  auto tight = open_session(80'000'000);
  // The states of these groups take more than the tight session has.
  const std::string sql =
      "SELECT bit_xor(hash(g, m)) FROM (SELECT x % 600000 AS g, "
      "ps_moments(x * 0.1 + 1e-7 * hash(x)::DOUBLE) m FROM range(900000) t(x) GROUP BY g)";
  const std::string whole = text(*roomy, sql);
  const std::string spilled = text(*tight, sql);
  EXPECT_EQ(whole, spilled);
  EXPECT_THAT(whole, testing::MatchesRegex("[0-9]+"));
}

TEST(MomentsInSql, AgreesWithDuckDbWhereDoublesAreExact) {
  auto s = open_session();
  EXPECT_EQ(text(*s,
                 "SELECT max(abs(a - b)) < 1e-9 FROM (SELECT avg(x) a, ps_mean(ps_moments(x)) b "
                 "FROM range(100000) t(x) GROUP BY x % 97)"),
            "true");
  EXPECT_EQ(text(*s,
                 "SELECT max(abs(a / b - 1)) < 1e-12 FROM (SELECT var_samp(x) a, "
                 "ps_var(ps_moments(x), 1) b FROM range(100000) t(x) GROUP BY x % 97)"),
            "true");
}

}  // namespace
}  // namespace polysome
